import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import {
  BackupError,
  ConflictError,
  type ConflictingVersions,
  CorruptError,
  LanceError,
} from "../../errors.ts";
import { advice } from "../../hint.ts";
import type { LockSet } from "../../lance/lock/lock-set.ts";
import { listManifests } from "../../lance/manifest.ts";
import { hasShown } from "../../lance/put-back/plan-put-back.ts";
import { digestOfVersion } from "../../lance/put-back/table-state.ts";
import type { LanceDB } from "../../lance/which-lancedb.ts";
import type { Logger } from "../../logger.ts";
import { adviceOf } from "../../util/advice-of.ts";
import type { ArmedRestore, EntryRecord, OnConflict } from "../journal/entry-record.ts";
import type { JournalEntry } from "../journal/journal-entry.ts";
import { assertCopyInReach, keepEntry, keptDirectory, ownsBackup, removeEntry } from "../kept-backup.ts";
import { planRestore } from "../restore/arm-restore.ts";
import { conflictsOf, type DropPlan, planRollback, type RollbackPlan } from "../rollback/plan-rollback.ts";
import {
  carryOut,
  conflictError,
  restoreConflict,
  rollBackDrops,
  type TableRestore,
} from "../rollback/roll-back-tables.ts";
import { rollBackTaken, type Taking } from "../rollback/set-aside.ts";

/** Rolls back what an armed entry whose process died stands for, or finishes its restore. */
export async function rollBackDead(
  entry: JournalEntry,
  settings: RecoverySettings,
  result: MakeResult,
): Promise<RecoveredEntry> {
  const { locks } = settings;
  const wanted = entry.tableIds().filter((table) => !locks.isHeldByParent(table));
  const held = wanted.filter((table) => locks.holds(table));
  const extra = wanted.filter((table) => !held.includes(table));
  // Several that wait for tables of one dead operation would wait for each other, each with its own: so all of them
  // take all in one order. Nothing has been done yet to those that are let go here.
  if (extra.length > 0) for (const table of held) locks.release(table);
  try {
    await locks.acquireAll(wanted);
    // Somebody may have recovered it while we waited for the locks.
    const read = entry.state === "armed" ? entry.read("armed") : undefined;
    if (!read) return result("swept");
    const { restore } = read;
    // A restore that is given up needs no copy, and removes none; nor is one that is another database's needed here.
    const needsCopy = restore ? settings.onConflict !== "keep" : ownsBackup(entry, read);
    if (needsCopy) assertCopyInReach(entry.id, read);
    const dead = { entry, record: read, restore, settings };
    if (settings.onConflict === "keep") return await giveUp(dead, result);
    try {
      return await goBack(dead, result);
    } catch (error) {
      if (restore && error instanceof ConflictError)
        throw restoreConflict(error, restore.backup, settings.database);
      const isFinal = error instanceof CorruptError || error instanceof LanceError;
      throw isFinal && (restore || entry.state === "armed") ? withoutWayBack(error, dead) : error;
    }
  } finally {
    for (const table of extra) locks.release(table);
    await locks.acquireAll(held);
  }
}

/** What is to be recovered: guarded work, or the restore of a backup. */
interface DeadWork {
  readonly entry: JournalEntry;
  /** As it was written: its database may have been moved since. */
  readonly record: EntryRecord;
  readonly restore: ArmedRestore | undefined;
  readonly settings: RecoverySettings;
}

/**
 * All tables are as before guarded work, or as the backup has them that was being restored: the tables that the restore
 * had not reached go back as well, and what others have committed since to a table that was back already stays.
 *
 * @throws ConflictError where commits of others are in the way. @throws CorruptError where there is no way back.
 */
async function goBack(dead: DeadWork, result: MakeResult): Promise<RecoveredEntry> {
  const { entry, restore, settings } = dead;
  const { lancedb, database, logger } = settings;
  const started = performance.now();
  const onConflict = settings.onConflict === "overwrite" ? "overwrite" : (restore?.onConflict ?? "fail");
  const plan = await planDead(dead, onConflict);
  if (plan.conflicts.length > 0) {
    if (!restore) await rollBackDrops(lancedb, database, plan, plan.conflicts, logger);
    throw conflictError(plan.conflicts);
  }
  const tables = await carryOut(plan, { lancedb, ...takingOf(dead), onConflict, logger });
  await close(dead);
  if (restore) {
    logger.warn("finished a restore whose process had died", { backup: restore.backup, tables });
    return result("restored", { tables });
  }
  if (plan.assumed.length > 0) {
    logger.warn(
      "the process died during a write, and these versions were taken for what it wrote; if one is somebody else's, checkout reaches it by number",
      { backup: entry.id, assumed: plan.assumed },
    );
  }
  logger.warn("rolled back an operation whose process had died", {
    backup: entry.id,
    tables: tables.map((table) => table.table),
    ms: Math.round(performance.now() - started),
  });
  return result("rolled-back", { tables, assumed: plan.assumed });
}

function takingOf({ entry, restore, settings }: DeadWork): Taking {
  return { database: settings.database, asideName: restore?.backup ?? entry.id, by: entry.id };
}

async function planDead(dead: DeadWork, onConflict: OnConflict): Promise<RollbackPlan> {
  const { entry, restore } = dead;
  const { lancedb, database } = dead.settings;
  const record = { ...dead.record, database };
  await rollBackTaken(takingOf(dead));
  if (restore) {
    const whole = await planRestore(lancedb, database, restore.backup, record, onConflict, true);
    return whatRemains(database, whole, restore, onConflict);
  }
  return planRollback(lancedb, database, {
    record,
    kept: keptDirectory(entry, record),
    log: entry.readLog(),
    lastSign: entry.lastSign(),
    onConflict,
    explicit: false,
    again: true,
  });
}

/**
 * Leaves the tables as they are, whatever is wrong with them. What there is of the backup of guarded work waits for
 * `restoreBackup` or `cleanupBackup`; that of a restore is where it was.
 */
async function giveUp(dead: DeadWork, result: MakeResult): Promise<RecoveredEntry> {
  const { entry, record, restore, settings } = dead;
  const { lancedb, database, logger } = settings;
  const backup = restore?.backup ?? entry.id;
  let conflicts: RollbackPlan["conflicts"] = [];
  try {
    const plan = await planDead(dead, restore?.onConflict ?? "fail"); // to say whose commits would have been in the way
    conflicts = plan.conflicts;
    if (!restore) await rollBackDrops(lancedb, database, plan, conflicts, logger);
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    const what = restore ? "a restore that cannot be finished" : "an operation that cannot be rolled back";
    logger.warn(what, { backup, error: error.message });
  }
  const tables = record.tables.map(({ id }) => id);
  if (!restore)
    logger.warn("the tables of an operation that was not finished were left as they are", { backup, tables });
  if (!restore && existsSync(keptDirectory(entry, record))) await keepEntry(entry, record);
  else await close(dead);
  if (restore) logger.warn("abandoned a restore whose process had died", { backup });
  return result("kept", { conflicts });
}

async function close({ entry, settings }: DeadWork): Promise<void> {
  await entry.become("armed", "done");
  await removeDeadEntry(entry, settings);
}

/** Removes what a dead operation left, and says where a copy had to be left alone. */
export async function removeDeadEntry(
  entry: JournalEntry,
  { lancedb, database, logger }: RecoverySettings,
): Promise<void> {
  const left = await removeEntry(lancedb, database, entry);
  if (left === undefined) return;
  logger.warn(
    "a backup was left where it is: this database is a copy, or was moved without its backups, and another may need it; if none does, remove it by hand",
    { backup: entry.id, path: left },
  );
}

function withoutWayBack(
  error: CorruptError | LanceError,
  { entry, restore, settings: { database } }: DeadWork,
): CorruptError | LanceError {
  const keep = { call: "recover", database, options: { onConflict: "keep" } } as const;
  const message = restore
    ? advice`The restore of backup ${restore.backup} was cut off, and cannot be finished: ${adviceOf(error)} ${keep} leaves the tables as they are.`
    : advice`The operation ${entry.id} ${howItEnded(entry)}, and cannot be rolled back: ${adviceOf(error)} Its tables are closed to guarded work until that is repaired or you decide: ${keep} leaves them as they are and keeps what is left of the backup.`;
  return error instanceof CorruptError
    ? new CorruptError(message, { path: error.path, cause: error })
    : new LanceError(message, { cause: error });
}

/** Whoever gives an entry up takes its owner out of it; a dead process did not come to that. */
function howItEnded(entry: JournalEntry): string {
  return entry.readOwner() ? "was cut off by the death of its process" : "failed";
}

/** The plan without the tables that the restore had reached, unless they show the backup still. */
async function whatRemains(
  database: string,
  plan: RollbackPlan,
  { heads }: ArmedRestore,
  onConflict: OnConflict,
): Promise<RollbackPlan> {
  const headOf = (directory: string) => heads.find((head) => head.directory === directory);
  const puts = [];
  for (const put of plan.puts) {
    const before = headOf(basename(put.target.dataset)) ?? { version: 0, digest: "" };
    if (put.action === "keep" || !(await hasShown(put.target, before))) puts.push(put);
  }
  const drops: DropPlan[] = [];
  for (const drop of plan.drops) {
    if (await isTheSame(join(database, drop.directory), headOf(drop.directory))) drops.push(drop);
  }
  const stay = new Set(plan.drops.filter((drop) => !drops.includes(drop)).map((drop) => drop.directory));
  const gone = plan.namespaces.gone.filter(({ location }) => location === null || !stay.has(location));
  const namespaces = { ...plan.namespaces, gone };
  return { ...plan, puts, drops, namespaces, conflicts: conflictsOf(puts, drops, onConflict) };
}

/** Whether a table that is to go is the one that was to go; another has come under its name otherwise. */
async function isTheSame(dataset: string, head: ArmedRestore["heads"][number] | undefined): Promise<boolean> {
  if (!head) return false;
  const newest = (await listManifests(dataset))[0]?.version ?? 0;
  if (head.version === 0 || newest < head.version) return head.version === newest;
  const digest = digestOfVersion(dataset, head.version);
  return digest === head.digest || digest === ""; // a cleanup takes old versions
}

/**
 * `rolled-back`: its process died, the tables are as before. `restored`: its process died inside of
 * `restoreBackup`, and the restore was finished. `swept`: nothing had to be restored (it was
 * never whole, or it had finished). `kept`: closed with its backup kept and the
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
  readonly lancedb: LanceDB;
  readonly database: string;
  readonly locks: LockSet;
  readonly logger: Logger;
  readonly onConflict: OnConflict | "keep";
  /** Treat owners of whom nothing can be known as dead. */
  readonly force: boolean;
}

/** Makes the report of an entry. */
export type MakeResult = (action: RecoveryAction, more?: Partial<RecoveredEntry>) => RecoveredEntry;
