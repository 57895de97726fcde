import { readdirSync } from "node:fs";
import { ifThere } from "../../fs/held-root.ts";
import { toIoError } from "../../fs/io.ts";
import { isConflictCopy } from "../../fs/strays.ts";
import { privateDirectory } from "../private-directory.ts";

/**
 * The lock of a database as a whole: whoever has it has every table, also those that are not there yet. No table has
 * such an id. A contender for a table makes its lock and then looks for this one; who takes this one has it and then
 * looks for the others: so one of two sees the other.
 */
export const WHOLE_DATABASE = "$all";

/** The tables that have a lock: a guarded operation makes one before it touches a table, and it stays for an hour at least. */
export function lockedTables(database: string): string[] {
  const directory = privateDirectory(database, "locks");
  try {
    return (ifThere(directory, () => readdirSync(directory, { withFileTypes: true })) ?? [])
      .filter((entry) => entry.isDirectory() && !isConflictCopy(entry.name))
      .map((entry) => entry.name);
  } catch (error) {
    throw toIoError(error, "list", directory);
  }
}
