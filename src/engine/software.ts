import { packageVersion } from "../util/package-version.ts";

/** What a snapshot says that it was made with. */
export const software = { lancedbBackup: packageVersion, node: process.versions.node } as const;
