import { randomInt } from "node:crypto";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { ifThere } from "../../fs/held-root.ts";
import { toIoError } from "../../fs/io.ts";
import { isConflictCopy } from "../../fs/safe-names.ts";
import { NAMESPACE_TABLE, namespacedDirectories, rootDirectory } from "../database.ts";
import { privateDirectory } from "../private-directory.ts";
import { newOwner } from "./lock-owner.ts";
import { TableLock } from "./table-lock.ts";

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

/**
 * How long a table's lock lies unused before it goes. Longer than any freeze (`freeze.ts`) takes, so that none misses
 * an operation that comes and goes while it lasts.
 */
const UNUSED_MS = 3_600_000;

/** Locks that are looked at for each new one: more than one, so that what is not needed cannot pile up. */
const LOOKED_AT = 8;

/**
 * Removes the locks of some tables that are no more. Called when a table gets its first lock. Never throws: a
 * lock that stays costs a directory and two files.
 */
export async function forgetUnusedLocks(database: string, unusedMs = UNUSED_MS): Promise<void> {
  try {
    for (const table of someOf(lockedTables(database))) {
      if (await isUnused(database, table, unusedMs)) await forget(database, table);
    }
  } catch {
    return; // another one tries again
  }
}

function someOf(tables: string[]): string[] {
  if (tables.length <= LOOKED_AT) return tables;
  return Array.from({ length: LOOKED_AT }, () => tables[randomInt(tables.length)] as string);
}

async function isUnused(database: string, table: string, unusedMs: number): Promise<boolean> {
  const used = statSync(join(privateDirectory(database, "locks"), table), { throwIfNoEntry: false })?.mtimeMs;
  return used !== undefined && Date.now() - used > unusedMs && (await isGone(database, table));
}

async function isGone(database: string, table: string): Promise<boolean> {
  if (table === NAMESPACE_TABLE) return false;
  const root = rootDirectory(table);
  if (root !== undefined) return !existsSync(join(database, root));
  return (await namespacedDirectories(database, table)).length === 0;
}

async function forget(database: string, table: string): Promise<void> {
  const lock = new TableLock(database, table);
  const owner = newOwner();
  const attempt = await lock.attempt(owner, false);
  if (!attempt?.taken) return;
  try {
    if (!attempt.fromDead && lock.isPast(attempt.epoch) && (await isGone(database, table)))
      await lock.retire();
  } finally {
    lock.release(attempt.epoch, owner); // where it has gone, this does nothing
  }
}

/** Frees the tables whose holders are dead, or cannot be known to be alive. Live ones keep theirs. */
export async function freeLocks(database: string): Promise<void> {
  const owner = newOwner();
  for (const table of lockedTables(database)) {
    const lock = new TableLock(database, table);
    const attempt = await lock.attempt(owner, true);
    if (attempt?.taken) lock.release(attempt.epoch, owner);
  }
}
