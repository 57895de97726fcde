import { mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { IoError } from "../errors.ts";
import { assertMakeable } from "./held-root.ts";
import { errnoOf, toIoError } from "./io.ts";
import { takeOwner } from "./take-owner.ts";

/**
 * Makes a directory and its parents, where they are missing, but no root that an operation holds, nor what lies around
 * one. Node's own `recursive` answers "no such file" where the file system is read-only or broken; here the error is
 * the system's.
 *
 * @param within a directory that has to be there: it is not made, nor anything around it.
 */
export function makeDirectory(directory: string, within?: string): void {
  try {
    make(directory, within);
  } catch (error) {
    throw toIoError(error, "make directory", directory);
  }
}

/** Makes a directory that nobody else may look into, where its parent is. @throws IoError, also where it is there. */
export function makePrivateDirectory(directory: string): void {
  try {
    mkdirSync(directory, { mode: 0o700 });
    takeOwner(directory);
  } catch (error) {
    throw toIoError(error, "make directory", directory);
  }
}

function make(directory: string, within: string | undefined): void {
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory()) return;
  if (directory === within) {
    throw new IoError(
      `There is no directory ${directory} any more (ENOENT). Was it renamed, is its disk mounted?`,
      {
        path: directory,
        errno: "ENOENT",
      },
    );
  }
  try {
    assertMakeable(directory);
    mkdirSync(directory);
    takeOwner(directory);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "EEXIST" && statSync(directory).isDirectory()) return;
    if (errno !== "ENOENT" || dirname(directory) === directory) throw error;
    make(dirname(directory), within);
    make(directory, within);
  }
}
