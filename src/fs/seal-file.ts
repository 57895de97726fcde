import { chmodSync } from "node:fs";
import { io } from "./io.ts";

const OWNER_READS = 0o400;

/** Leaves a file to its owner, to be read: of what came from elsewhere nobody knows who else was to see it. */
export async function sealFile(path: string): Promise<void> {
  await io("protect", path, () => chmodSync(path, OWNER_READS));
}
