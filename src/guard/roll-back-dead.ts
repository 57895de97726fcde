import { existsSync } from "node:fs";
import { CorruptError } from "../errors.ts";
import type { JournalEntry } from "./journal/entry.ts";
import type { MakeResult, RecoveredEntry, RecoverySettings } from "./recovered.ts";
import { completeRestore } from "./restore/complete.ts";
import { carryOut, conflictError, type TableRestore } from "./rollback/act.ts";
import { bringFilesBack } from "./rollback/bring-files-back.ts";
import { planRollback, type RollbackPlan } from "./rollback/plan.ts";
import { keepEntry, keptDirectory, sweepEntry } from "./settle.ts";

/** Puts back what an armed entry whose process died stands for, or completes its restore. */
export async function rollBackDead(
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
        await sweepDead(entry, settings);
      }
      return result("kept");
    }
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
  } finally {
    for (const table of extra) locks.release(table);
    await locks.acquireAll(held);
  }
}

/** Removes what a dead operation left, and says where a copy had to be left alone. */
export async function sweepDead(entry: JournalEntry, { database, logger }: RecoverySettings): Promise<void> {
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
