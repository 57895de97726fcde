import { existsSync } from "node:fs";
import {
  BackupError,
  ConflictError,
  type ConflictingVersions,
  CorruptError,
  LockedError,
} from "../errors.ts";
import { freeLocks } from "../lance/lock/free-locks.ts";
import type { LockSet } from "../lance/lock/lock-set.ts";
import { describeOwner } from "../lance/lock/owner.ts";
import { sweepStaging } from "../lance/staging.ts";
import type { Logger } from "../logger.ts";
import type { JournalEntry } from "./journal/entry.ts";
import { listEntries } from "./journal/journal.ts";
import { completeRestore } from "./restore/complete.ts";
import { backupOfRestore } from "./restore/restore-entry.ts";
import { carryOut, conflictError, type TableRestore } from "./rollback/act.ts";
import { bringFilesBack } from "./rollback/bring-files-back.ts";
import { recoveryConflict } from "./rollback/conflict-messages.ts";
import { type OnConflict, planRollback, type RollbackPlan } from "./rollback/plan.ts";
import { keepEntry, keptDirectory, sweepEntry } from "./settle.ts";

/**
 * `rolled-back`: its process died, the tables are as before. `restored`: its process died inside of
 * `restoreBackup`, and the restore was completed. `swept`: nothing had to be restored (it was
 * never complete, or it had finished). `kept`: closed with its backup kept and the
 * tables as they are, by `onConflict: "keep"`. `held`: a backup that waits for its owner's word. `active`: its process is alive. `conflict`: others have
 * committed since; nothing was touched. `locked`: whether its owner lives cannot be known. `damaged`: its
 * record cannot be read; nothing was touched. `failed`: the file system or LanceDB refused; to be tried again.
 */
export type RecoveryAction =
  | "rolled-back"
  | "restored"
  | "swept"
  | "kept"
  | "held"
  | "active"
  | "conflict"
  | "locked"
  | "damaged"
  | "failed";

export interface RecoveredEntry {
  readonly id: string;
  readonly action: RecoveryAction;
  /** For an interrupted `restoreBackup`: the backup that was restored. */
  readonly backup?: string | undefined;
  readonly tables: readonly TableRestore[];
  readonly conflicts: readonly ConflictingVersions[];
  /**
   * Versions that were rolled back as the dead process's own although it could not report them: they fit what it was
   * about to commit, and came when it may have been alive. Should one be somebody else's, `checkout` reaches it by
   * its number, unless the table itself was new.
   */
  readonly assumed?: readonly ConflictingVersions[] | undefined;
  readonly error?: BackupError | undefined;
}

export interface RecoverySettings {
  readonly database: string;
  readonly locks: LockSet;
  readonly logger: Logger;
  readonly onConflict: OnConflict | "keep";
  /** Treat owners of whom nothing can be known as dead. */
  readonly force: boolean;
}

/** Recovers every entry of the journal; one that cannot be does not hold up the others. */
export async function recoverAll(settings: RecoverySettings): Promise<RecoveredEntry[]> {
  const report = await recoverEntries(listEntries(settings.database), settings);
  if (settings.force) await freeLocks(settings.database);
  await sweepStaging(settings.database).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    settings.logger.warn("not everything that dead processes left could be removed", { error: reason });
  });
  return report;
}

/** Recovers these entries; one that cannot be does not hold up the others. */
export async function recoverEntries(
  entries: readonly JournalEntry[],
  settings: RecoverySettings,
): Promise<RecoveredEntry[]> {
  const report: RecoveredEntry[] = [];
  for (const entry of entries) report.push(await recoverEntry(entry, settings));
  return report;
}

/**
 * Settles what dead operations left on tables that are about to be restored; their locks must be held. What
 * cannot be rolled back waits on: the restore may be the way out of it.
 *
 * @throws the reason where another restore was cut off and cannot be completed: it would go over this one later.
 */
export async function recoverBeforeRestore(
  tables: readonly string[],
  settings: RecoverySettings,
): Promise<void> {
  const { locks } = settings;
  for (const entry of listEntries(settings.database)) {
    if (!claimsOf(entry, settings).some((table) => tables.includes(table))) continue;
    const { error } = await recoverEntry(entry, settings);
    if (!error) continue;
    if (entry.isRestore && entry.state === "armed") throw error;
    if (error instanceof LockedError && tables.some((table) => !holds(locks, table))) throw error;
    settings.logger.warn("an entry of the journal needs a look", { backup: entry.id, error: error.message });
  }
}

/**
 * Makes sure that no dead operation still has a claim on a table; its lock must be held.
 *
 * @throws ConflictError, CorruptError or LockedError where the table has to be looked at first.
 */
export async function recoverTable(table: string, settings: RecoverySettings, except: string): Promise<void> {
  for (const entry of listEntries(settings.database)) {
    if (entry.id === except || !claimsOf(entry, settings).includes(table)) continue;
    const { error } = await recoverEntry(entry, settings);
    if (error && (entry.state === "armed" || error instanceof LockedError)) throw error;
    if (error) settings.logger.warn("a finished backup could not be removed", { backup: entry.id });
  }
}

function holds(locks: LockSet, table: string): boolean {
  return locks.holds(table) || locks.isHeldByParent(table);
}

/** The tables that an entry captured. One whose list cannot be read holds up nobody. */
function claimsOf(entry: JournalEntry, { logger }: RecoverySettings): string[] {
  try {
    return entry.claims();
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error;
    logger.warn("an entry of the journal needs a look", { backup: entry.id, error: error.message });
    return [];
  }
}

async function recoverEntry(entry: JournalEntry, settings: RecoverySettings): Promise<RecoveredEntry> {
  const { id } = entry;
  let backup: string | undefined;
  const result = (action: RecoveryAction, more: Partial<RecoveredEntry> = {}): RecoveredEntry => ({
    id,
    action,
    ...(backup === undefined ? {} : { backup }),
    tables: [],
    conflicts: [],
    ...more,
  });
  try {
    backup = backupOfRestore(entry);
    // First whose it is, then its state: an owner names the state before it gives the entry up.
    const life = entry.liveness();
    const state = entry.state;
    if (state === "held") return result("held");
    if (life === "alive") return result("active");
    if (!entry.exists()) return result("swept"); // its owner has just done so
    if (life === "unknown" && !settings.force) return result("locked", { error: lockedError(entry) });
    if (state === "armed") return await rollBackDead(entry, settings, result);
    await sweep(entry, settings);
    settings.logger.info("leftovers of a dead operation swept", { backup: id, state });
    return result("swept");
  } catch (error) {
    if (error instanceof ConflictError) {
      const told = entry.isRestore ? error : recoveryConflict(error, id);
      return result("conflict", { conflicts: error.conflicts, error: told });
    }
    if (error instanceof CorruptError) return result("damaged", { error });
    if (error instanceof LockedError) return result("locked", { error });
    if (error instanceof BackupError) return result("failed", { error });
    throw error;
  }
}

type MakeResult = (action: RecoveryAction, more?: Partial<RecoveredEntry>) => RecoveredEntry;

async function rollBackDead(
  entry: JournalEntry,
  settings: RecoverySettings,
  result: MakeResult,
): Promise<RecoveredEntry> {
  const { database, locks, logger } = settings;
  const started = performance.now();
  const wanted = entry.tableIds().filter((table) => !locks.isHeldByParent(table));
  const held = wanted.filter((table) => locks.holds(table));
  const extra = wanted.filter((table) => !held.includes(table));
  // Several that wait for tables of one dead operation would wait for each other, each with its own: so all of them
  // take all in one order. Nothing has been done yet to those that are let go here.
  if (extra.length > 0) for (const table of held) locks.release(table);
  try {
    await locks.acquireAll(wanted);
    // Somebody may have recovered it while we waited for the locks.
    if (entry.state !== "armed") return result("swept");
    const record = entry.read("armed");
    if (!record) return result("swept");
    if (record.restore) {
      const { action, ...more } = await completeRestore(entry, { ...record, database }, settings);
      return result(action, more);
    }
    const keep = settings.onConflict === "keep";
    const onConflict = settings.onConflict === "overwrite" ? "overwrite" : "fail";
    let plan: RollbackPlan;
    let tables: TableRestore[];
    try {
      plan = await planRollback(database, {
        record: { ...record, database },
        kept: keptDirectory(entry, record),
        log: entry.readLog(),
        lastSign: entry.lastSign(),
        onConflict,
        explicit: false,
      });
      if (plan.conflicts.length > 0) {
        await bringFilesBack(plan, plan.conflicts, logger);
        if (!keep) throw conflictError(plan.conflicts);
        await keepEntry(entry, record);
        return result("kept", { conflicts: plan.conflicts });
      }
      tables = await carryOut(plan, { database, asideName: entry.id, onConflict, logger });
    } catch (error) {
      if (!(error instanceof CorruptError)) throw error;
      if (!keep) throw withoutWayBack(error, entry);
      logger.warn("gave up the rollback of an operation whose process had died", {
        backup: entry.id,
        error: error.message,
      });
      if (existsSync(keptDirectory(entry, record))) await keepEntry(entry, record);
      else {
        await entry.become("armed", "done");
        await sweep(entry, settings);
      }
      return result("kept");
    }
    await entry.become("armed", "done");
    await sweep(entry, settings);
    if (plan.assumed.length > 0) {
      logger.warn(
        "the process died inside of a write, and these versions were taken for what it wrote; should one be somebody else's, checkout reaches it by number",
        { backup: entry.id, assumed: plan.assumed },
      );
    }
    logger.warn("rolled back an operation whose process had died", {
      backup: entry.id,
      tables: tables.map((table) => table.table),
      ms: Math.round(performance.now() - started),
    });
    return result("rolled-back", { tables, assumed: plan.assumed });
  } finally {
    for (const table of extra) locks.release(table);
    await locks.acquireAll(held);
  }
}

async function sweep(entry: JournalEntry, { database, logger }: RecoverySettings): Promise<void> {
  const left = await sweepEntry(database, entry);
  if (left === undefined) return;
  logger.warn(
    "a backup was left where it is: this database is a copy, or was moved without its backups, and another may need it; if none does, remove it by hand",
    { backup: entry.id, path: left },
  );
}

function withoutWayBack(error: CorruptError, entry: JournalEntry): CorruptError {
  return new CorruptError(
    `The operation ${entry.id} was cut off by the death of its process, and cannot be rolled back: ${error.message} Its tables are closed to guarded work until that is mended, or given up: recover({ onConflict: "keep" }) leaves them as they are and keeps what there is of the backup.`,
    { path: error.path, cause: error },
  );
}

function lockedError(entry: JournalEntry): LockedError {
  const owner = entry.readOwner()?.owner;
  return new LockedError(
    `The journal entry ${entry.directory} belongs to ${owner ? describeOwner(owner) : "nobody"}. Whether it is alive cannot be known from here; if it is not, call recover({ force: true }).`,
  );
}
