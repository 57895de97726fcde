import { mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { errnoOf, toIoError } from "./io.ts";
import { takeOwner } from "./owner.ts";

/**
 * Makes a directory and its parents, where they are missing. Node's own `recursive` answers "no such file"
 * where the file system is read-only or broken; here the error is the system's.
 */
export function makeDirectory(directory: string): void {
  try {
    make(directory);
  } catch (error) {
    throw toIoError(error, "make directory", directory);
  }
}

function make(directory: string): void {
  try {
    mkdirSync(directory);
    takeOwner(directory);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "EEXIST" && statSync(directory).isDirectory()) return;
    if (errno !== "ENOENT" || dirname(directory) === directory) throw error;
    make(dirname(directory));
    make(directory);
  }
}
