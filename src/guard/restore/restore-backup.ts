import { BackupNotFoundError, ConflictError, CorruptError, LockedError, RestoreError } from "../../errors.ts";
import { type Advice, advice } from "../../hint.ts";
import { LockSet } from "../../lance/lock/lock-set.ts";
import { adviceOf } from "../../util/advice-of.ts";
import type { EntryRecord, OnConflict } from "../journal/entry-record.ts";
import { NotThereError } from "../journal/journal-entry.ts";
import { assertCopyInReach, cleanUp } from "../kept-backup.ts";
import type { RestoreBackupOptions, Settings } from "../manager-options.ts";
import { recoveredByOthers } from "../recovered-by-others.ts";
import { recoverBeforeRestore } from "../recovery/recover-entries.ts";
import { assertTagsKept } from "../rollback/captured-tags.ts";
import type { RollbackPlan } from "../rollback/plan-rollback.ts";
import {
  carryOut,
  conflictError,
  foretold,
  type RestoreResult,
  restoreConflict,
  type TableRestore,
} from "../rollback/roll-back-tables.ts";
import { armRestore, planRestore } from "./arm-restore.ts";
import { type FoundBackup, findBackup } from "./find-backup.ts";

/** Makes the tables of a backup equal to it again: all of them, also when the process dies, or none. */
export async function restoreBackup(
  settings: Settings,
  id: string,
  options: RestoreBackupOptions,
): Promise<RestoreResult> {
  const { lancedb, database, logger } = settings;
  const { onConflict = "overwrite", dryRun = false, signal } = options;
  const started = performance.now();
  const backup = findBackup(settings, id);
  const locks = new LockSet({ database, timeoutMs: settings.lockTimeoutMs, signal, logger });
  const ids = backup.record.tables.map((table) => table.id);
  assertOutside(locks, id, ids);
  try {
    await locks.acquireAll(ids);
    if (!dryRun) await recoverBeforeRestore(ids, { lancedb, database, locks, logger });
    assertCopyInReach(id, backup.record);
    const plan = await planRestore(lancedb, database, id, backup.record, onConflict);
    assertTagsKept(plan.tags);
    if (plan.conflicts.length > 0) throw conflictError(plan.conflicts, id);
    signal?.throwIfAborted();
    if (dryRun) return { id, tables: foretold(plan) };
    const tables = await carryOutArmed(settings, backup, { id, plan, locks, onConflict });
    logger.info("backup restored", {
      backup: id,
      tables: tables.map(({ table, version, action }) => ({ table, version, action })),
      ms: Math.round(performance.now() - started),
    });
    return { id, tables };
  } finally {
    locks.releaseAll();
  }
}

/** What guarded work holds is rolled back with the work: a restore under its feet would be in the way of that. */
function assertOutside(locks: LockSet, id: string, tables: readonly string[]): void {
  const held = tables.find((table) => locks.isHeldByParent(table));
  if (held === undefined) return;
  throw new LockedError(
    `Backup ${id} cannot be restored here: table ${held} is held by the guarded operation that this call runs inside of. Let the work fail to have its tables as before, or restore when it has ended.`,
  );
}

async function carryOutArmed(
  settings: Settings,
  backup: FoundBackup,
  restore: { id: string; plan: RollbackPlan; locks: LockSet; onConflict: OnConflict },
): Promise<TableRestore[]> {
  const { lancedb, database, logger } = settings;
  const { id, plan, locks, onConflict } = restore;
  const { record } = backup;
  const entry = await armRestore(database, locks.owner, { id, record }, plan, onConflict).catch((error) => {
    if (!(error instanceof NotThereError)) throw error;
    throw notRestored(id, record, error, "Nothing was changed.");
  });
  const recovered = (what: string) => recoveredByOthers({ entry, record, database, log: [], what });
  let untouched = true;
  try {
    if (backup.journaled && backup.entry.state !== "held") throw new BackupNotFoundError(id); // cleaned up meanwhile
    untouched = false;
    const onSetBack = () => {
      untouched = true;
    };
    const canSetBack = plan.puts.every(({ action }) => action === "keep" || action === "restore");
    const options = { lancedb, database, asideName: id, by: entry.id, onConflict, logger };
    const tables = await carryOut(plan, canSetBack ? { ...options, onSetBack } : options);
    if (locks.hasLost()) throw new NotThereError(entry.id, {});
    await entry.become("armed", "done");
    await cleanUp(entry, settings);
    return tables;
  } catch (error) {
    if (error instanceof NotThereError) {
      entry.abandon();
      throw await recovered(`Backup ${id} was restored`);
    }
    if (untouched) {
      await entry.become("armed", "done").catch(() => entry.abandon());
      await cleanUp(entry, settings);
    } else {
      entry.abandon();
    }
    if (untouched && !(error instanceof CorruptError)) throw error;
    if (!untouched && error instanceof ConflictError)
      throw notRestored(id, record, restoreConflict(error, id, database), "It is done in part.");
    const next = untouched
      ? "Nothing was changed."
      : advice`It is done in part; ${{ call: "recover", database }} finishes it.`;
    throw notRestored(id, record, error, next);
  }
}

function notRestored(
  id: string,
  { backupPath }: EntryRecord,
  error: unknown,
  next: string | Advice,
): RestoreError {
  return new RestoreError(
    advice`Backup ${id} could not be restored: ${adviceOf(error)} ${next} It is kept at ${backupPath}.`,
    { restoreError: error, backupPath },
  );
}
