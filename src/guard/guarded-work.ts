import type { Connection } from "@lancedb/lancedb";
import { ConflictError, RestoreError } from "../errors.ts";
import { assertRoot } from "../fs/held-root.ts";
import { reasonOf } from "../fs/io.ts";
import { LockSet } from "../lance/lock/lock-set.ts";
import type { Logger } from "../logger.ts";
import type { BackupStrategy } from "./backup-strategy.ts";
import { guardConnection } from "./connection/guarded-connection.ts";
import { runAsWork } from "./connection/work-connect.ts";
import {
  type CommittedEvent,
  type RolledBackEvent,
  tablesWritten,
  type WrittenTable,
} from "./guard-events.ts";
import type { LoggedIntent } from "./journal/intent-log.ts";
import { NotThereError } from "./journal/journal-entry.ts";
import { keepEntry, keptDirectory, sweepEntry } from "./kept-backup.ts";
import type { Settings } from "./manager-options.ts";
import { OpenCalls } from "./open-calls.ts";
import { Operation } from "./operation.ts";
import { assertCommitsThere } from "./recovered-by-others.ts";
import { bringFilesBack } from "./rollback/bring-files-back.ts";
import { workConflict } from "./rollback/conflict-messages.ts";
import { type OnConflict, planRollback, type RollbackPlan } from "./rollback/plan-rollback.ts";
import { carryOut } from "./rollback/roll-back-tables.ts";
import { foldLog } from "./rollback/work-history.ts";
import { strategyOf } from "./strategies/index.ts";
import { syncCommitted } from "./sync-committed.ts";

/** What is guarded: it writes through the connection that it gets. */
export type GuardedWork<T> = (db: Connection) => Promise<T>;

/** Whose commits a rollback takes back: `own`, those made through the handed-over connection; `all`, everybody's. */
export type Adopt = "own" | "all";

export interface GuardedWorkOptions {
  /**
   * Tables to capture before the work starts. Without it each is captured at its first write, so that a
   * database of a thousand tables costs what one does.
   */
  tables?: readonly string[] | undefined;
  /**
   * `all` is single-writer mode, for what connects by itself: every commit since the capture is the work's own,
   * whoever made it. All tables are captured before the work starts, and tables that were made meanwhile go with a
   * rollback, whoever made them; with `tables`, only these are captured and adopted. So nobody else may write: other
   * guarded operations wait until it ends, and where one is under way, it is refused with `LockedError`; plain writers
   * are taken for the work. What the work has started must have ended when it does. Default `own`.
   */
  adopt?: Adopt | undefined;
  /** Aborts: the work's next call through the connection throws the reason, everything is rolled back. */
  signal?: AbortSignal | undefined;
  /** What a rollback does about commits of others. Default `fail`: `ConflictError`, and the table is left alone. */
  onConflict?: OnConflict | undefined;
  /** Sync what LanceDB wrote before success is reported. Default false: LanceDB itself never syncs. */
  durable?: boolean | undefined;
}

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
  const { database, logger, lockTimeoutMs } = settings;
  const { signal, onConflict = "fail" } = options;
  const started = performance.now();
  const locks = new LockSet({ database, timeoutMs: lockTimeoutMs, signal, logger });
  const operation = await Operation.begin({
    context: settings,
    strategy: strategyOf(strategy),
    kind: "guarded",
    locks,
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
      if (operation.isSettled(error)) throw error;
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
    await clean(operation, logger);
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
    const last = Math.max(table.version, ...only.ours.keys());
    const others = last - table.version - only.ours.size;
    if (others <= 0 || told.has(table.id)) continue;
    told.add(table.id);
    logger.warn(
      "others committed to a table while guarded work wrote to it, and stay. Where that was the work itself, by a table that it had opened before: open it through the connection that the work is given, or it is not guarded",
      { table: table.id, commits: others },
    );
  }
}

async function runWork<T>(operation: Operation, work: GuardedWork<T>): Promise<T> {
  operation.signal?.throwIfAborted();
  const connection = await operation.lancedb.connect(operation.database);
  const running = runAsWork(operation, async () => work(guardConnection(operation, connection)));
  const { signal } = operation;
  if (!signal) return running;
  running.catch(() => undefined); // where the signal wins, the work's own end is nobody's business
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    if (signal.aborted) onAbort();
    return await Promise.race([running, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Success: from here on the work stays. Only where the entry is still what this process armed. */
async function commit(operation: Operation): Promise<void> {
  if (!operation.wasArmed) return;
  operation.assertMaySucceed();
  const { entry } = operation;
  if (!operation.isOurs()) throw await operation.settle("The guarded work ended well");
  await assertCommitsThere(operation.settled("The guarded work ended well"));
  try {
    await entry.become("armed", "done");
  } catch (error) {
    if (error instanceof NotThereError) throw await operation.settle("The guarded work ended well");
    // Whether it was taken back is seen by the entry alone.
    const { state } = entry;
    if (state === "armed") throw error;
    const { database, record } = operation;
    const fate =
      state === "done" ? "nor taken back. Its changes are there" : `and is not to be seen now (${database})`;
    throw operation.settledBy(
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
    if (!operation.isOurs()) throw await operation.settle(what, workError);
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
        "these versions were taken for what the work wrote, although no write reported them; should one be somebody else's, checkout reaches it by number",
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
      logger.warn("the rollback passed over commits of others; checkout reaches them by number", {
        tables: passedOver,
      });
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
    if (operation.isSettled(error)) throw error;
    if (wasTaken(operation)) throw await operation.settle(what, workError);
    if (error instanceof ConflictError) {
      const returned = plan ? await bringFilesBack(lancedb, database, plan, error.conflicts, logger) : [];
      const tables = record.tables.map((table) => table.id);
      const conflict = workConflict(error, { id: record.id, tables, returned }, workError);
      await keepEntry(entry, record).catch((reason: unknown) => {
        entry.abandon();
        throw new RestoreError(
          `${conflict.message} But that it waits could not be written down (${reasonOf(reason)}): recover() comes to it again.`,
          { restoreError: conflict, workError, backupPath: record.backupPath },
        );
      });
      throw conflict;
    }
    entry.abandon();
    throw new RestoreError(
      `The guarded work failed (${reasonOf(workError)}), and so did the rollback (${reasonOf(error)}). The backup is kept at ${record.backupPath}; recover() tries again, and recover({ onConflict: "keep" }) gives it up and leaves the tables as they are.`,
      { restoreError: error, workError, backupPath: record.backupPath },
    );
  }
}

/** Whether somebody else has settled the entry; false where that cannot be told: then the rollback's own error is told. */
function wasTaken(operation: Operation): boolean {
  try {
    return !operation.isOurs() && operation.entry.state !== "done";
  } catch (error) {
    const meta = { backup: operation.entry.id, error: reasonOf(error) };
    operation.logger.warn("whether a rollback was settled by somebody else cannot be told", meta);
    return false;
  }
}

function droppedBy(log: readonly LoggedIntent[]): Set<string> {
  return new Set(log.flatMap(({ intent }) => (intent.step === "drop" ? intent.table : [])));
}

/** What fails here fails no operation: it is swept later. */
async function clean(operation: Operation, logger: Logger): Promise<void> {
  const { entry, lancedb, database } = operation;
  try {
    entry.log.close();
    assertRoot(entry.directory);
    const { state } = entry;
    if (state === "done" || state === "making") await sweepEntry(lancedb, database, entry);
    // It may come back with its directory, and is nobody's then; or that was away when it was to be rolled back.
    if (state === "gone" || state === "armed") entry.abandon();
  } catch (error) {
    entry.abandon();
    logger.warn("a backup could not be cleaned up; the next operation sweeps it", {
      backup: entry.id,
      error: reasonOf(error),
    });
  }
}
