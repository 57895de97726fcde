import { listNames } from "../../fs/list-names.ts";
import { privateDirectory } from "../private-directory.ts";

/** The tables that have a lock: a guarded operation makes one before it touches a table, and it stays for an hour at least. */
export function lockedTables(database: string): string[] {
  return listNames(privateDirectory(database, "locks"));
}
