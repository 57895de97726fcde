import { existsSync } from "node:fs";
import { BackupError, CorruptError, LanceError } from "../../errors.ts";
import type { EntryRecord } from "../journal/entry-record.ts";
import type { JournalEntry } from "../journal/journal-entry.ts";
import { assertCopyInReach, keepEntry, keptDirectory, sweepEntry } from "../kept-backup.ts";
import { ownsBackup } from "../ownership.ts";
import type { MakeResult, RecoveredEntry, RecoverySettings } from "../recovered.ts";
import { completeRestore } from "../restore/complete.ts";
import { bringFilesBack } from "../rollback/bring-files-back.ts";
import { type OnConflict, planRollback, type RollbackPlan } from "../rollback/plan-rollback.ts";
import { carryOut, conflictError } from "../rollback/roll-back-tables.ts";
import { returnTaken } from "../rollback/set-aside.ts";

/** Puts back what an armed entry whose process died stands for, or completes its restore. */
export async function rollBackDead(
  entry: JournalEntry,
  settings: RecoverySettings,
  result: MakeResult,
): Promise<RecoveredEntry> {
  const { database, locks } = settings;
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
    // A restore that is given up needs no copy, and removes none; nor is one that is another database's needed here.
    const needsCopy = record.restore ? settings.onConflict !== "keep" : ownsBackup(entry, record);
    if (needsCopy) assertCopyInReach(entry.id, record);
    if (settings.onConflict === "keep" && !record.restore)
      return await keepDead(entry, record, settings, result);
    if (record.restore) {
      const { action, ...more } = await completeRestore(entry, { ...record, database }, settings);
      return result(action, more);
    }
    try {
      return await goBack(entry, record, settings, result);
    } catch (error) {
      const isFinal = error instanceof CorruptError || error instanceof LanceError;
      throw isFinal && entry.state === "armed" ? withoutWayBack(error, entry) : error;
    }
  } finally {
    for (const table of extra) locks.release(table);
    await locks.acquireAll(held);
  }
}

/** @throws ConflictError where commits of others are in the way. @throws CorruptError where there is no way back. */
async function goBack(
  entry: JournalEntry,
  record: EntryRecord,
  settings: RecoverySettings,
  result: MakeResult,
): Promise<RecoveredEntry> {
  const { lancedb, database, logger } = settings;
  const started = performance.now();
  const onConflict = settings.onConflict === "overwrite" ? "overwrite" : "fail";
  const taking = { database, asideName: entry.id, by: entry.id };
  const plan = await planDead(entry, record, settings, onConflict);
  if (plan.conflicts.length > 0) {
    await bringFilesBack(lancedb, database, plan, plan.conflicts, logger);
    throw conflictError(plan.conflicts);
  }
  const tables = await carryOut(plan, { lancedb, ...taking, onConflict, logger });
  await entry.become("armed", "done");
  await sweepDead(entry, settings);
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
}

async function planDead(
  entry: JournalEntry,
  record: EntryRecord,
  { lancedb, database }: RecoverySettings,
  onConflict: OnConflict,
): Promise<RollbackPlan> {
  await returnTaken({ database, asideName: entry.id, by: entry.id });
  return planRollback(lancedb, database, {
    record: { ...record, database },
    kept: keptDirectory(entry, record),
    log: entry.readLog(),
    lastSign: entry.lastSign(),
    onConflict,
    explicit: false,
    again: true,
  });
}

/**
 * Leaves the tables as they are, whatever is wrong with them. What there is of the backup waits for `restoreBackup` or
 * `cleanupBackup`.
 */
async function keepDead(
  entry: JournalEntry,
  record: EntryRecord,
  settings: RecoverySettings,
  result: MakeResult,
): Promise<RecoveredEntry> {
  let conflicts: RollbackPlan["conflicts"] = [];
  try {
    const plan = await planDead(entry, record, settings, "fail"); // to say whose commits would have been in the way
    conflicts = plan.conflicts;
    await bringFilesBack(settings.lancedb, settings.database, plan, conflicts, settings.logger);
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    const { message } = error;
    settings.logger.warn("an operation that cannot be rolled back", { backup: entry.id, error: message });
  }
  settings.logger.warn("the tables of an operation that was not finished were left as they are", {
    backup: entry.id,
    tables: record.tables.map(({ id }) => id),
  });
  if (existsSync(keptDirectory(entry, record))) await keepEntry(entry, record);
  else {
    await entry.become("armed", "done");
    await sweepDead(entry, settings);
  }
  return result("kept", { conflicts });
}

/** Removes what a dead operation left, and says where a copy had to be left alone. */
export async function sweepDead(
  entry: JournalEntry,
  { lancedb, database, logger }: RecoverySettings,
): Promise<void> {
  const left = await sweepEntry(lancedb, database, entry);
  if (left === undefined) return;
  logger.warn(
    "a backup was left where it is: this database is a copy, or was moved without its backups, and another may need it; if none does, remove it by hand",
    { backup: entry.id, path: left },
  );
}

function withoutWayBack(error: CorruptError | LanceError, entry: JournalEntry): CorruptError | LanceError {
  // Whoever gives an entry up takes its owner out of it; a dead process did not come to that.
  const how = entry.readOwner() ? "was cut off by the death of its process" : "failed";
  const message = `The operation ${entry.id} ${how}, and cannot be rolled back: ${error.message} Its tables are closed to guarded work until that is mended, or given up: recover({ onConflict: "keep" }) leaves them as they are and keeps what there is of the backup.`;
  return error instanceof CorruptError
    ? new CorruptError(message, { path: error.path, cause: error })
    : new LanceError(message, { cause: error });
}
