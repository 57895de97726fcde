import { readFileSync } from "node:fs";

const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

/** What a snapshot says that it was made with. */
export const software = { lancedbBackup: manifest.version, node: process.versions.node } as const;
