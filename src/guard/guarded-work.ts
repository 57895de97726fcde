import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConflictError, RestoreError } from "../errors.ts";
import { syncDirectories } from "../fs/durable.ts";
import { reasonOf } from "../fs/io.ts";
import { advice } from "../hint.ts";
import { isInNamespace, listTables, NAMESPACE_TABLE } from "../lance/database.ts";
import { LockSet } from "../lance/lock/lock-set.ts";
import { syncNewest, syncNewVersions } from "../lance/sync-versions.ts";
import { abortable } from "../util/abortable.ts";
import { adviceOf } from "../util/advice-of.ts";
import { highestOf } from "../util/extremes.ts";
import type { BackupStrategy } from "./backup-strategy.ts";
import { guardConnection } from "./connection/guarded-connection.ts";
import { runAsWork } from "./connection/work-connect.ts";
import {
  type CommittedEvent,
  type RolledBackEvent,
  tablesWritten,
  type WrittenTable,
} from "./guard-events.ts";
import type { CapturedTable, OnConflict } from "./journal/entry-record.ts";
import type { LoggedIntent } from "./journal/intent-log.ts";
import { NotThereError } from "./journal/journal-entry.ts";
import { cleanUp, keepEntry, keptDirectory } from "./kept-backup.ts";
import { strategyOf } from "./kept-strategies.ts";
import type { GuardedWork, GuardedWorkOptions, Settings } from "./manager-options.ts";
import { OpenCalls } from "./open-calls.ts";
import { Operation } from "./operation.ts";
import { assertCommitsThere } from "./recovered-by-others.ts";
import { recoverTable } from "./recovery/recover-entries.ts";
import { planRollback, type RollbackPlan } from "./rollback/plan-rollback.ts";
import { carryOut, rollBackDrops, workConflict } from "./rollback/roll-back-tables.ts";
import { foldLog } from "./rollback/work-history.ts";

/**
 * Runs work under a backup: all of it stays, or none.
 *
 * @param ended is told how, before the locks are released.
 */
export async function runGuarded<T>(
  settings: Settings,
  strategy: BackupStrategy,
  work: GuardedWork<T>,
  options: GuardedWorkOptions,
  ended: (how: HowItEnded, tables: () => Promise<WrittenTable[]>) => Promise<void>,
): Promise<T> {
  const { lancedb, database, logger, lockTimeoutMs } = settings;
  const { signal, onConflict = "fail" } = options;
  const started = performance.now();
  const locks = new LockSet({ database, timeoutMs: lockTimeoutMs, signal, logger });
  const operation = await Operation.begin({
    context: settings,
    strategy: strategyOf(strategy),
    kind: "guarded",
    locks,
    recoverTable: (table, except) => recoverTable(table, { lancedb, database, locks, logger }, except),
    logger,
    signal,
    durable: options.durable,
  });
  const meta = () => ({
    backup: operation.entry.id,
    strategy,
    tables: operation.record.tables.map((table) => table.id),
    ms: Math.round(performance.now() - started),
  });
  const event = () => ({
    backup: operation.entry.id,
    strategy,
    durationMs: Math.round(performance.now() - started),
  });
  try {
    let result: T;
    try {
      if (options.adopt === "all") await operation.adopt(options.tables);
      else if (options.tables) await operation.captureAll(options.tables, "all");
      result = await locks.run(() => runWork(operation, work));
      await operation.close(OpenCalls.ended());
      signal?.throwIfAborted();
      if (options.durable) await syncCommitted(operation);
      await commit(operation);
    } catch (error) {
      await operation.close(OpenCalls.ended());
      if (operation.isItsEnd(error)) throw error;
      logger.info("guarded work failed; rolling back", { ...meta(), error: reasonOf(error) });
      await rollBack(operation, error, onConflict);
      await ended({ type: "rolledBack", error, ...event() }, () => tablesWritten(operation));
      throw error;
    }
    logger.info("guarded work succeeded", meta());
    if (options.adopt !== "all") warnOfOthers(settings, operation);
    await ended({ type: "committed", ...event() }, () => tablesWritten(operation));
    return result;
  } finally {
    await cleanUp(operation.entry, settings);
    locks.releaseAll();
  }
}

/** An event, but for its tables: to read them costs time. */
export type HowItEnded = Omit<CommittedEvent, "tables"> | Omit<RolledBackEvent, "tables">;

/** Tables of which each manager has warned. */
const warned = new WeakMap<Settings, Set<string>>();

/**
 * Told once a table: commits between the capture and the work's last one that it did not announce are others', or its
 * own by a handle from before it, which is not guarded. By numbers alone: nothing is read for it.
 */
function warnOfOthers(settings: Settings, { database, entry, record, logger }: Operation): void {
  const told = warned.get(settings) ?? new Set();
  warned.set(settings, told);
  const histories = foldLog(database, entry.log.entries);
  for (const table of record.tables) {
    const { incarnations = [] } = histories.get(table.id) ?? {};
    const [only] = incarnations;
    if (table.state !== "present" || !only || incarnations.length > 1 || only.open.length > 0) continue;
    const last = highestOf(table.version, only.ours.keys());
    const others = last - table.version - only.ours.size;
    if (others <= 0 || told.has(table.id)) continue;
    told.add(table.id);
    logger.warn(
      "others committed to a table while guarded work wrote to it; their commits stay. If that was the work itself, through a table that it had opened before: open it through the connection that the work is given, or it is not guarded",
      { table: table.id, commits: others },
    );
  }
}

async function runWork<T>(operation: Operation, work: GuardedWork<T>): Promise<T> {
  operation.signal?.throwIfAborted();
  const connection = await operation.lancedb.connect(operation.database);
  const { signal } = operation;
  return abortable(
    () => runAsWork(operation, async () => work(guardConnection(operation, connection))),
    signal,
  );
}

/** Success: from here on the work stays. Only where the entry is still what this process armed. */
async function commit(operation: Operation): Promise<void> {
  if (!operation.wasArmed) return;
  operation.assertMaySucceed();
  const { entry } = operation;
  if (!operation.isOurs()) throw await operation.recoveredByOthers("The guarded work ended well");
  await assertCommitsThere(operation.asRecovered("The guarded work ended well"));
  try {
    await entry.become("armed", "done");
  } catch (error) {
    if (error instanceof NotThereError)
      throw await operation.recoveredByOthers("The guarded work ended well");
    // Whether it was taken back is seen by the entry alone.
    const { state } = entry;
    if (state === "armed") throw error;
    const { database, record } = operation;
    const fate =
      state === "done" ? "nor taken back. Its changes are there" : `and is not to be seen now (${database})`;
    throw operation.endBy(
      new RestoreError(
        `The guarded work was done, but its record could not be put on the disk (${reasonOf(error)}), ${fate}; a power cut may undo them.`,
        { restoreError: error, backupPath: record.backupPath },
      ),
    );
  }
}

async function rollBack(operation: Operation, workError: unknown, onConflict: OnConflict): Promise<void> {
  const { entry, record, lancedb, database, logger } = operation;
  if (!operation.wasArmed) return;
  const isRefusal = operation.isRefusal(workError);
  const what = `The guarded work failed${isRefusal ? "" : ` (${reasonOf(workError)})`}`;
  let plan: RollbackPlan | undefined;
  try {
    if (!operation.isOurs()) throw await operation.recoveredByOthers(what, workError);
    plan = await planRollback(lancedb, database, {
      record,
      kept: keptDirectory(entry, record),
      log: entry.log.entries,
      lastSign: Date.now(),
      onConflict,
      explicit: false,
    });
    const tables = await carryOut(plan, {
      lancedb,
      database,
      asideName: entry.id,
      by: entry.id,
      onConflict,
      logger,
    });
    await entry.become("armed", "done");
    if (plan.assumed.length > 0) {
      logger.warn(
        "these versions were taken for what the work wrote, although no write reported them; if one is somebody else's, checkout reaches it by number",
        { backup: entry.id, assumed: plan.assumed },
      );
    }
    const dropped = droppedBy(entry.log.entries);
    const { adopted } = plan;
    const returned = tables.filter(
      ({ table, action }) => action === "rebuild" && !dropped.has(table) && !adopted?.has(table),
    );
    if (returned.length > 0) {
      logger.warn("the rollback brought tables back that somebody else has dropped meanwhile", {
        tables: returned.map(({ table }) => table),
      });
    }
    const passedOver = tables.filter(({ action, passedOver }) => action !== "drop" && passedOver.length > 0);
    if (passedOver.length > 0) {
      logger.warn(
        "commits of others are no longer current after the rollback; checkout reaches them by number",
        {
          tables: passedOver,
        },
      );
    }
    const known = new Set(record.tables.map(({ id }) => id));
    const made = tables.filter(({ table, action }) => action === "drop" && !known.has(table));
    if (made.length > 0) {
      logger.warn("tables that somebody made while single-writer work ran went with its rollback", {
        tables: made.map(({ table }) => table),
      });
    }
    logger.info("rolled back", {
      backup: entry.id,
      tables: tables.map(({ table, version }) => ({ table, version })),
    });
  } catch (error) {
    if (operation.isItsEnd(error)) throw error;
    if (wasTaken(operation)) throw await operation.recoveredByOthers(what, workError);
    if (error instanceof ConflictError) {
      const returned = plan ? await rollBackDrops(lancedb, database, plan, error.conflicts, logger) : [];
      const tables = record.tables.map((table) => table.id);
      const conflict = workConflict(error, { id: record.id, database, tables, returned }, workError);
      await keepEntry(entry, record).catch((reason: unknown) => {
        entry.abandon();
        throw new RestoreError(
          advice`${adviceOf(conflict)} It could not be recorded that it waits for a decision (${adviceOf(reason)}): ${{ call: "recover", database }} handles it again.`,
          { restoreError: conflict, workError, backupPath: record.backupPath },
        );
      });
      throw conflict;
    }
    entry.abandon();
    throw new RestoreError(
      advice`The guarded work failed (${adviceOf(workError)}), and so did the rollback (${adviceOf(error)}). The backup is kept at ${record.backupPath}; ${{ call: "recover", database }} tries again, and ${{ call: "recover", database, options: { onConflict: "keep" } }} leaves the tables as they are and keeps the backup.`,
      { restoreError: error, workError, backupPath: record.backupPath },
    );
  }
}

/** Whether somebody else has recovered the entry; false where that cannot be told: then the rollback's own error is told. */
function wasTaken(operation: Operation): boolean {
  try {
    return !operation.isOurs() && operation.entry.state !== "done";
  } catch (error) {
    const meta = { backup: operation.entry.id, error: reasonOf(error) };
    operation.logger.warn("it cannot be told whether somebody else has recovered the entry", meta);
    return false;
  }
}

function droppedBy(log: readonly LoggedIntent[]): Set<string> {
  return new Set(log.flatMap(({ intent }) => (intent.step === "drop" ? intent.table : [])));
}

/** Puts on the disk what LanceDB wrote in this operation, which it never does itself. */
async function syncCommitted(operation: Operation): Promise<void> {
  for (const table of await tablesOf(operation)) {
    const directory = await operation.directoryOf(table.id);
    const dataset = directory && join(operation.database, directory);
    if (!dataset || !existsSync(dataset)) continue;
    await syncNewVersions(dataset, table.state === "present" ? table : undefined);
  }
  const { tables, namespaces = [] } = operation.record;
  if (operation.adoptsAll || namespaces.length > 0 || tables.some(({ id }) => isInNamespace(id)))
    await syncNewest(join(operation.database, NAMESPACE_TABLE));
  await syncDirectories([operation.database]);
}

/** Those of single-writer work too that nobody has named: they were made since. */
async function tablesOf(operation: Operation): Promise<readonly CapturedTable[]> {
  const { tables } = operation.record;
  if (!operation.adoptsAll) return tables;
  const known = new Set(tables.map(({ id }) => id));
  const made = (await listTables(operation.database)).filter(({ id }) => !known.has(id));
  return [...tables, ...made.map(({ id }) => ({ id, state: "absent" }) as const)];
}
