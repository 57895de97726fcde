import { rmdirSync } from "node:fs";
import { join } from "node:path";
import { makeDirectory } from "../fs/make-directory.ts";

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
