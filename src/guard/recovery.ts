import { join } from "node:path";
import { remove } from "fs-extra/esm";
import {
  BackupError,
  ConflictError,
  type ConflictingVersions,
  CorruptError,
  LockedError,
} from "../errors.ts";
import { io } from "../fs/io.ts";
import { privateDirectory } from "../lance/private-directory.ts";
import { sweepStaging } from "../lance/staging.ts";
import type { Logger } from "../logger.ts";
import type { EntryRecord, JournalEntry } from "./journal/entry.ts";
import { listEntries } from "./journal/journal.ts";
import { freeLocks } from "./lock/free-locks.ts";
import type { LockSet } from "./lock/lock-set.ts";
import { describeOwner } from "./owner.ts";
import { carryOut, conflictError, type TableRestore } from "./rollback/act.ts";
import { type OnConflict, planRollback } from "./rollback/plan.ts";
import { directoryCopy } from "./strategies/directory-copy.ts";
import { strategyOf } from "./strategies/index.ts";

/**
 * `rolled-back`: its process died, the tables are as before. `swept`: nothing had to be restored (it was
 * never complete, or it had finished). `kept`: closed with its backup kept, by `onConflict: "keep"`.
 * `held`: a backup that waits for its owner's word. `active`: its process is alive. `conflict`: others have
 * committed since; nothing was touched. `locked`: whether its owner lives cannot be known. `damaged`: its
 * record cannot be read; nothing was touched. `failed`: the file system or LanceDB refused; to be tried again.
 */
export type RecoveryAction =
  | "rolled-back"
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
  readonly tables: readonly TableRestore[];
  readonly conflicts: readonly ConflictingVersions[];
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
  const report: RecoveredEntry[] = [];
  for (const entry of listEntries(settings.database)) report.push(await recoverEntry(entry, settings));
  if (settings.force) await freeLocks(settings.database);
  await sweepStaging(settings.database).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    settings.logger.warn("not everything that dead processes left could be removed", { error: reason });
  });
  return report;
}

/**
 * Makes sure that no dead operation still has a claim on a table; its lock must be held.
 *
 * @throws ConflictError, CorruptError or LockedError where the table has to be looked at first.
 */
export async function recoverTable(table: string, settings: RecoverySettings, except: string): Promise<void> {
  for (const entry of listEntries(settings.database)) {
    if (entry.id === except || !entry.tableIds().includes(table)) continue;
    const { error } = await recoverEntry(entry, settings);
    if (error && (entry.state === "armed" || error instanceof LockedError)) throw error;
    if (error) settings.logger.warn("a finished backup could not be removed", { backup: entry.id });
  }
}

async function recoverEntry(entry: JournalEntry, settings: RecoverySettings): Promise<RecoveredEntry> {
  const { id } = entry;
  const result = (action: RecoveryAction, more: Partial<RecoveredEntry> = {}): RecoveredEntry => ({
    id,
    action,
    tables: [],
    conflicts: [],
    ...more,
  });
  try {
    const state = entry.state;
    if (state === "held") return result("held");
    const life = entry.liveness();
    if (life === "alive") return result("active");
    if (life === "unknown" && !settings.force) return result("locked", { error: lockedError(entry) });
    if (state === "armed") return await rollBackDead(entry, settings, result);
    await sweepEntry(settings.database, entry);
    settings.logger.info("leftovers of a dead operation swept", { backup: id, state });
    return result("swept");
  } catch (error) {
    if (error instanceof ConflictError) return result("conflict", { conflicts: error.conflicts, error });
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
  const extra = entry.tableIds().filter((table) => !locks.holds(table) && !locks.isHeldByParent(table));
  await locks.acquireAll(extra);
  try {
    // Somebody may have recovered it while we waited for the locks.
    if (entry.state !== "armed") return result("swept");
    const record = entry.read("armed");
    if (!record) return result("swept");
    const keep = settings.onConflict === "keep";
    const onConflict = settings.onConflict === "overwrite" ? "overwrite" : "fail";
    const plan = await planRollback(database, {
      record: { ...record, database },
      kept: keptDirectory(entry, record),
      log: entry.readLog(),
      lastSign: entry.lastSign(),
      onConflict,
      explicit: false,
    });
    if (plan.conflicts.length > 0) {
      if (!keep) throw conflictError(plan.conflicts);
      await keepEntry(entry, record);
      return result("kept", { conflicts: plan.conflicts });
    }
    const tables = await carryOut(plan, { database, asideName: entry.id, onConflict, logger });
    await entry.become("armed", "done");
    await sweepEntry(database, entry);
    logger.warn("rolled back an operation whose process had died", {
      backup: entry.id,
      tables: tables.map((table) => table.table),
      ms: Math.round(performance.now() - started),
    });
    return result("rolled-back", { tables });
  } finally {
    for (const table of extra) locks.release(table);
  }
}

/** Where a backup's tables lie. */
export function keptDirectory(entry: Pick<JournalEntry, "pins">, record: EntryRecord): string {
  return strategyOf(record.strategy).tablesDirectory(entry, record.backupPath);
}

/** Closes an entry without going back; its backup waits for `restoreBackup` or `cleanupBackup`. */
export async function keepEntry(entry: JournalEntry, record: EntryRecord): Promise<void> {
  await strategyOf(record.strategy).seal(record);
  await entry.become("armed", "held");
  entry.abandon();
}

/** Removes what a finished or unfinished entry left: its copy, what was moved aside for it, itself. */
export async function sweepEntry(database: string, entry: JournalEntry): Promise<void> {
  const state = entry.state;
  const record = state === "done" ? entry.read("done") : undefined;
  const owner = entry.readOwner();
  const backupPath = record?.backupPath ?? owner?.backupPath;
  const uuid = record?.uuid ?? owner?.uuid;
  if (backupPath && uuid && backupPath !== entry.directory) await directoryCopy.discard(backupPath, uuid);
  const aside = join(privateDirectory(database, "aside"), entry.id);
  await io("remove", aside, () => remove(aside));
  await entry.remove();
}

function lockedError(entry: JournalEntry): LockedError {
  const owner = entry.readOwner()?.owner;
  return new LockedError(
    `The journal entry ${entry.directory} belongs to ${owner ? describeOwner(owner) : "nobody"}. Whether it is alive cannot be known from here; if it is not, call recover({ force: true }).`,
  );
}
