import { manifest } from "../util/build-facts.ts";

/** What a snapshot says that it was made with. */
export const software = { lancedbBackup: manifest.version, node: process.versions.node } as const;
