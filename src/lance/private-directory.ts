import { randomUUID } from "node:crypto";
import { mkdirSync, renameSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { listNames, makeDirectory } from "../fs/directory-tree.ts";
import { io, toIoError } from "../fs/io.ts";
import { takeOwner } from "../fs/take-owner.ts";
import { livenessOfToken, PROCESS_TOKEN } from "../fs/this-process.ts";

/** Our directory inside a database. LanceDB's listing and `dropAllTables` leave it alone. */
export const PRIVATE_DIRECTORY = ".lancedb-backup";

type Room = "dropped" | "identity" | "journal" | "ids" | "locks" | "aside" | "staging" | "pins";

export function privateDirectory(database: string, room: Room): string {
  return join(database, PRIVATE_DIRECTORY, room);
}

/** What an entry of the journal is called; anything else in there is somebody else's, and left alone. */
export const JOURNAL_ENTRY = /^(backup|restore)_\d+(_\d+)?$/;

/** Makes a room of our directory where it is missing, but never the database. */
export function ensurePrivateDirectory(database: string, room: Room): string {
  const directory = privateDirectory(database, room);
  makeDirectory(directory, database);
  return directory;
}

/** Removes a directory if it is empty; tells whether it did. */
export function removeIfEmpty(directory: string): boolean {
  try {
    rmdirSync(directory);
    return true;
  } catch {
    return false; // not empty, or not there: both are fine for a caller that only tidies up
  }
}

/**
 * Half-made things, each in a directory of its own that names its process, so that anybody can tell what a
 * dead one left: `<kind>.<process>.<uuid>`.
 */
type Kind = "door" | "look" | "table" | "entry" | "lock" | "snapshot" | "probe";

/** Makes an empty directory in `staging/`; who makes it removes it, or moves it to where it belongs. */
export function makeStagingDirectory(database: string, kind: Kind): string {
  const directory = newName(database, kind);
  try {
    mkdirSync(directory);
    takeOwner(directory);
  } catch (error) {
    throw toIoError(error, "make directory", directory);
  }
  return directory;
}

/**
 * Moves a directory to `staging/`, in one step, for whoever removes it from there; answers with its new path.
 * Throws the system's own error.
 */
export function moveToStaging(directory: string, database: string): string {
  const removed = newName(database, "removed");
  renameSync(directory, removed);
  return removed;
}

function newName(database: string, kind: Kind | "removed"): string {
  return join(ensurePrivateDirectory(database, "staging"), `${kind}.${PROCESS_TOKEN}.${randomUUID()}`);
}

/** Takes a staging directory away; one that resists is removed when this process has ended. */
export function removeStagingDirectory(directory: string): void {
  try {
    rmSync(directory, { recursive: true, force: true });
  } catch {
    return; // what was done by its means counts, or the error that brought us here
  }
}

/** Removes what dead processes left in `staging/`. Nothing there is ever needed by another process. */
export async function removeDeadStaging(database: string): Promise<void> {
  const staging = privateDirectory(database, "staging");
  for (const name of listNames(staging)) {
    const path = join(staging, name);
    if (livenessOfToken(name.split(".")[1] ?? "", path) !== "dead") continue;
    const { remove } = await import("fs-extra/esm");
    await io("remove", path, () => remove(path));
  }
}
