import { existsSync } from "node:fs";
import { join } from "node:path";
import { IoError, LockedError } from "../../errors.ts";
import { listNames } from "../../fs/list-names.ts";
import { isStray } from "../../fs/strays.ts";
import { JOURNAL_ENTRY, privateDirectory } from "../private-directory.ts";
import { LockSet } from "./lock-set.ts";
import { lockedTables } from "./locked-tables.ts";

export interface FreezeOptions {
  /** Whether a table, by its id, is to stand still. */
  readonly wants: (table: string) => boolean;
  /** How long to wait for guarded operations, milliseconds. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Errors by which a database says that we cannot write to it. */
const READ_ONLY = new Set(["EROFS", "EACCES", "EPERM"]);

/**
 * Runs `task` while no guarded operation is under way on any of the tables, so that what it sees of several tables
 * fits together. Plain writers are not held up. Where the database cannot be written to, it just runs the task.
 *
 * @param undo is given what the task made where it has to be run again.
 * @throws LockedError after the time limit; or at once where a dead process left guarded work on one of the tables.
 */
export async function whileFrozen<T>(
  database: string,
  options: FreezeOptions,
  task: () => Promise<T>,
  undo: (result: T) => Promise<void>,
): Promise<T> {
  const { wants, timeoutMs, signal } = options;
  for (;;) {
    const locks = new LockSet({ database, timeoutMs, signal });
    try {
      const known = lockedTables(database).filter(wants);
      if (!(await acquire(locks, known))) return await task();
      assertNothingLeft(database, wants);
      const result = await task();
      const isNew = lockedTables(database).some((table) => wants(table) && !known.includes(table));
      if (!isNew) return result;
      await undo(result); // a table has met its first guarded operation meanwhile
    } finally {
      locks.releaseAll();
    }
  }
}

/** False where no lock can be taken, since nothing can be written. */
async function acquire(locks: LockSet, tables: readonly string[]): Promise<boolean> {
  try {
    await locks.acquireAll(tables);
    return true;
  } catch (error) {
    if (error instanceof IoError && READ_ONLY.has(error.errno ?? "")) return false;
    throw error;
  }
}

/** Whoever held a table of an armed journal entry has ended, since we hold it now: the table may be half-written. */
export function assertNothingLeft(database: string, wants: (table: string) => boolean): void {
  const journal = privateDirectory(database, "journal");
  for (const entry of listNames(journal)) {
    if (!JOURNAL_ENTRY.test(entry) || !existsSync(join(journal, entry, "armed.json"))) continue;
    const claims = listNames(join(journal, entry, "tables")).filter((name) => !isStray(name));
    const table = claims.find(wants);
    if (table === undefined) continue;
    throw new LockedError(
      `Table ${table} was left by guarded work that did not end (${entry} in the journal of ${database}). Call recover() of a BackupManager on it first, or "lancedb-backup recover".`,
    );
  }
}
