import { readdirSync } from "node:fs";
import { isMissing, toIoError } from "../../fs/io.ts";
import { isConflictCopy } from "../../fs/strays.ts";
import { privateDirectory } from "../private-directory.ts";

/** The tables that have a lock: a guarded operation makes one before it touches a table, and it stays for an hour at least. */
export function lockedTables(database: string): string[] {
  const directory = privateDirectory(database, "locks");
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !isConflictCopy(entry.name))
      .map((entry) => entry.name);
  } catch (error) {
    if (isMissing(error)) return [];
    throw toIoError(error, "list", directory);
  }
}
