import { linkSync, writeFileSync } from "node:fs";
import { errnoOf } from "./io.ts";
import { takeOwner } from "./take-owner.ts";

/**
 * Makes a file whose name alone counts; one that has the name stays. As a link to `body` where that can be: a file of
 * its own is dear where thousands were removed within the last minute, since ext4 passes over their inodes one by
 * one (docs/performance.md). Throws the system's own error.
 */
export function nameFile(body: string, path: string): void {
  try {
    linkSync(body, path);
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return;
    writeFileSync(path, "");
    takeOwner(path);
  }
}
