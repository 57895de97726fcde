import type { Connection } from "@lancedb/lancedb";
import { assertFlag, assertKnown, assertSignal } from "../checks.ts";
import { BackupError } from "../errors.ts";
import { reasonOf } from "../fs/io.ts";
import { databasePath } from "../lance/database.ts";
import { assertExclusions } from "../lance/left-out.ts";
import { LockSet } from "../lance/lock/lock-set.ts";
import type { LanceDB } from "../lance/which-lancedb.ts";
import type { Logger } from "../logger.ts";
import { Listeners } from "../util/listeners.ts";
import { assertStrategy, BackupStrategy } from "./backup-strategy.ts";
import type { GuardEvent, GuardEvents } from "./guard-events.ts";
import { GuardPlaces } from "./guard-places.ts";
import type { JournalEntry } from "./journal/journal-entry.ts";
import {
  assertAdopt,
  assertBackupId,
  assertOnConflict,
  assertTables,
  type BackupInfo,
  type BackupManagerOptions,
  type Connect,
  type CreateBackupOptions,
  type GuardedWork,
  type GuardedWorkOptions,
  type RecoverOptions,
  type Settings,
  settingsOf,
} from "./manager-options.ts";
import { DeadEntries } from "./recovery/dead-entries.ts";
import type { HealedHeads } from "./recovery/recover-entries.ts";
import type { RecoveredEntry } from "./recovery/roll-back-dead.ts";
import type { RestoreBackupOptions } from "./restore/restore-backup.ts";
import type { RestoreResult } from "./rollback/roll-back-tables.ts";

export interface RecoveryReport extends HealedHeads {
  /** What was done about each entry of the journal. */
  readonly entries: readonly RecoveredEntry[];
}

/**
 * Backups of one LanceDB database for the time of a write: taken before, restored on failure, removed on
 * success. Every method may be called at the same time from any number of processes.
 *
 * @example
 * ```ts
 * await using manager = new BackupManager({ uri: "data/lancedb-table" });
 * await manager.withBackup("lance-version", async (db) => {
 *   const table = await db.openTable("documents");
 *   await table.add(chunks);
 *   await table.delete("stale = true"); // if this throws, the chunks are gone again
 * });
 * ```
 */
export class BackupManager implements AsyncDisposable {
  readonly #settings: Settings;
  #connection: Promise<Connection> | undefined;
  readonly #dead: DeadEntries;
  readonly #listeners = new Listeners<GuardEvents>({ committed: true, rolledBack: true, recovered: true });
  readonly #places = new GuardPlaces();

  constructor(options: BackupManagerOptions = {}) {
    this.#settings = settingsOf(options);
    const { database, logger } = this.#settings;
    this.#dead = new DeadEntries(database, logger, (entries) => this.#recoverEntries({}, entries));
  }

  get uri(): string {
    return this.#settings.uri;
  }

  get backupDir(): string {
    return this.#settings.backupDir;
  }

  /** How undo points are kept where a call names no other way. */
  get strategy(): BackupStrategy {
    return this.#settings.strategy;
  }

  /** @internal Which LanceDB is at work. */
  get lancedb(): LanceDB {
    return this.#settings.lancedb;
  }

  get logger(): Logger {
    return this.#settings.logger;
  }

  /**
   * A plain connection to the database, not guarded, opened when what dead processes left is rolled back.
   * Shared: closed with the manager.
   */
  async connection(): Promise<Connection> {
    await this.#ready();
    const open = await this.#connection;
    if (!open?.isOpen()) {
      const { lancedb, database } = this.#settings;
      this.#connection = lancedb.connect(database);
    }
    return this.#connection as Promise<Connection>;
  }

  /**
   * LanceDB's `connect`, to be handed to what connects by itself: a function of its own, whatever it is called on.
   * Inside of guarded work on the database that is named, however deep, it gives a guarded connection of that work, as
   * `db` is one; elsewhere, and for another database, what LanceDB's own gives. Arguments are LanceDB's.
   *
   * What imports LanceDB's own `connect` cannot be told; `withBackup(…, { adopt: "all" })` is for that.
   */
  readonly connect: Connect = async (...args: unknown[]) => {
    const { connectInWork } = await import("./connection/work-connect.ts");
    return connectInWork(this.#settings.lancedb, args);
  };

  /**
   * Takes a backup and answers with its id, `backup_<unix seconds>`. Each table is taken at one version,
   * also while others write. It stays until `cleanupBackup`.
   *
   * @param strategy default: the manager's.
   * @throws ValidationError, UnsupportedError (a table that cannot be captured in full), CorruptError,
   * LockedError, IoError. On any error nothing is left behind.
   */
  async createBackup(
    strategy: BackupStrategy = this.strategy,
    options: CreateBackupOptions = {},
  ): Promise<string> {
    assertStrategy(strategy);
    assertKnown(options, "createBackup", { tables: true, exclude: true, onUnsupported: true, signal: true });
    assertExclusions(options);
    assertTables(options.tables);
    assertSignal(options.signal);
    options.signal?.throwIfAborted();
    const roots = this.#roots(strategy);
    const [database, backups] = roots;
    if (backups && this.#places.isThere(database.path, database.what))
      this.#places.begin(backups.path, backups.what);
    const { createBackup } = await import("./explicit-backup.ts");
    return this.#places.inPlace(roots, async () => {
      await this.#ready();
      return createBackup(this.#settings, strategy, options);
    });
  }

  /**
   * Makes the backup's tables equal to it again, each as a new version: history stays, and what was
   * committed since is passed over but reachable by its number. The backup stays.
   *
   * All of its tables go back, or none. When the process dies in between, the next guarded operation on one
   * of them or `recover()` finishes the restore; `recover()` reports it, with what it passed over, and commits
   * that others have made since to a table that was back already stay.
   *
   * It is an operation of its own: inside of guarded work that has written to one of the tables it is refused
   * with `LockedError`, as nested guarded work is. To undo guarded work, let it fail.
   *
   * @throws BackupNotFoundError, ConflictError, LockedError, RestoreError (its message says whether anything
   * was changed), IoError, the signal's reason (nothing was changed then).
   */
  async restoreBackup(id: string, options: RestoreBackupOptions = {}): Promise<RestoreResult> {
    assertBackupId(id);
    assertKnown(options, "restoreBackup", { onConflict: true, dryRun: true, signal: true });
    assertOnConflict(options.onConflict, ["fail", "overwrite"]);
    assertFlag(options.dryRun, "dryRun");
    assertSignal(options.signal);
    options.signal?.throwIfAborted();
    await databasePath(this.#settings.database);
    const [{ findBackup }, { restoreBackup }] = await Promise.all([
      import("./restore/find-backup.ts"),
      import("./restore/restore-backup.ts"),
    ]);
    const roots = this.#roots(findBackup(this.#settings, id).record.strategy);
    if (options.dryRun !== true) await this.#places.makeLost(roots[0].path);
    return this.#places.inPlace(roots, () => restoreBackup(this.#settings, id, options));
  }

  /**
   * Removes a backup and what it kept.
   *
   * @throws BackupNotFoundError, LockedError (also while its restore is under way), IoError. ValidationError
   * where it may be needed by another database, of which this one is a copy: nothing is removed then.
   */
  async cleanupBackup(id: string): Promise<void> {
    assertBackupId(id);
    const { cleanupBackup } = await import("./explicit-backup.ts");
    const roots = this.#roots(await this.#strategyOf(id));
    await this.#places.inPlace(roots, () => cleanupBackup(this.#settings, id));
  }

  /** The backups of this database, oldest first: made by hand, kept after a conflict, in use, interrupted. */
  async listBackups(): Promise<BackupInfo[]> {
    const { listBackups } = await import("./explicit-backup.ts");
    return listBackups(this.#settings);
  }

  /**
   * Runs `work` under a backup. When it resolves, everything it wrote stays and the backup is removed. When
   * it rejects, or the signal fires, every table that it wrote to through `db` is as before, tables that it
   * created are gone and tables that it dropped are back, and the caller gets the work's own error. When
   * the process dies, the next guarded operation on the database rolls back.
   *
   * `db` behaves like any LanceDB connection. Writes that go another way are somebody else's to the guard, unless it
   * is told `adopt: "all"`.
   * What the work does on branches is not rolled back.
   *
   * @param strategy default, also where it is left out: the manager's.
   * @throws whatever `work` throws; ConflictError where others have committed to a table that would have to
   * go back; RestoreError where the rollback itself failed, or somebody else has recovered the journal entry meanwhile
   * (its message says what each table holds, `workError` why the work failed, if it did); LockedError where a table is in use for longer
   * than `lockTimeoutMs`, at once where operations of this process wait for each other; the signal's reason.
   */
  withBackup<T>(work: GuardedWork<T>, options?: GuardedWorkOptions | undefined): Promise<T>;
  withBackup<T>(
    strategy: BackupStrategy | undefined,
    work: GuardedWork<T>,
    options?: GuardedWorkOptions | undefined,
  ): Promise<T>;
  async withBackup<T>(...args: WithBackupArguments<T>): Promise<T> {
    const [strategy = this.strategy, work, options = {}] = withStrategy(args);
    assertStrategy(strategy);
    if (typeof work !== "function") throw new TypeError("work must be a function.");
    assertKnown(options, "withBackup", {
      tables: true,
      adopt: true,
      signal: true,
      onConflict: true,
      durable: true,
    });
    assertTables(options.tables);
    assertAdopt(options.adopt);
    assertOnConflict(options.onConflict, ["fail", "overwrite"]);
    assertSignal(options.signal);
    assertFlag(options.durable, "durable");
    options.signal?.throwIfAborted();
    await databasePath(this.#settings.database);
    const { runGuarded } = await import("./guarded-work.ts");
    using _held = this.#places.hold(this.#roots(strategy));
    await this.#ready();
    const told: GuardEvent[] = [];
    try {
      return await runGuarded(this.#settings, strategy, work, options, async (how, tables) => {
        if (!this.#listeners.isHeard(how.type)) return;
        told.push({ ...how, tables: await tables() } as GuardEvent);
      });
    } finally {
      for (const event of told) this.#tell(event);
    }
  }

  /**
   * Calls `listener` when guarded work of this manager has ended: `committed`, `rolledBack` (not where a conflict or an
   * error leaves the tables to somebody's decision), and when something was done about what dead processes left:
   * `recovered`. The event says tables, versions, rows and milliseconds. Answers with the function that ends it. What a
   * listener throws is logged, and changes nothing.
   *
   * @throws TypeError for an event that there is not.
   * @example
   * ```ts
   * manager.on("committed", ({ tables, durationMs }) => console.log(tables, durationMs));
   * ```
   */
  on<N extends keyof GuardEvents>(name: N, listener: (event: GuardEvents[N]) => unknown): () => void {
    return this.#listeners.on(name, listener);
  }

  /** The same as `on("committed", listener)`. */
  onCommitted(listener: (event: GuardEvents["committed"]) => void): () => void {
    return this.on("committed", listener);
  }

  #tell(event: GuardEvent): void {
    this.#listeners.tell(event.type, event, (thrown) => {
      const meta = { event: event.type, error: reasonOf(thrown) };
      this.logger.warn("a listener of the guard failed; what it was told of stays as it is", meta);
    });
  }

  /**
   * Rolls back what dead processes left, finishes restores that they began, removes what they never finished,
   * and moves damaged newest manifests aside. What dead processes left is also recovered before each guarded
   * operation; calling this is never needed but after a `ConflictError` or a `LockedError` of a recovery.
   *
   * @throws LockedError where an owner cannot be known to be dead, IoError or LanceError where going back was
   * refused; both when everything else is done.
   */
  async recover(options: RecoverOptions = {}): Promise<RecoveryReport> {
    assertKnown(options, "recover", { onConflict: true, force: true, heal: true });
    assertOnConflict(options.onConflict, ["overwrite", "keep"]);
    assertFlag(options.force, "force");
    assertFlag(options.heal, "heal");
    await databasePath(this.#settings.database);
    const [database] = this.#roots();
    const { entries, healed, unreadable } = await this.#places.inPlace([database], async () => {
      const recovered = await this.#recoverEntries(options);
      if (options.heal === false) return { entries: recovered, healed: [], unreadable: [] };
      const { healHeads } = await import("./recovery/recover-entries.ts");
      return {
        entries: recovered,
        ...(await healHeads(this.#settings, this.#locks(options.force ?? false))),
      };
    });
    const stuck = entries.find((entry) => entry.action === "failed" || entry.action === "locked");
    if (stuck?.error) throw stuck.error;
    return { entries, healed, unreadable };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const connection = await this.#connection;
    this.#connection = undefined;
    connection?.close();
  }

  /** What an operation needs to be in its place: the backup directory only for copies in it. */
  #roots(strategy?: BackupStrategy) {
    const { database, backupDir } = this.#settings;
    const backups = { path: backupDir, what: "backup directory" };
    return [
      { path: database, what: "database" },
      ...(strategy === BackupStrategy.DirectoryCopy ? [backups] : []),
    ] as const;
  }

  /** Of a backup that is not found or cannot be read: any, until the operation says so. */
  async #strategyOf(id: string): Promise<BackupStrategy> {
    const { findBackup } = await import("./restore/find-backup.ts");
    try {
      return findBackup(this.#settings, id).record.strategy;
    } catch (error) {
      if (error instanceof BackupError) return BackupStrategy.DirectoryCopy;
      throw error;
    }
  }

  async #ready(): Promise<void> {
    await databasePath(this.#settings.database);
    await this.#dead.recover();
  }

  /** @param entries these only; otherwise all, and what lies half-made */
  async #recoverEntries(
    options: RecoverOptions,
    entries?: readonly JournalEntry[],
  ): Promise<RecoveredEntry[]> {
    const { lancedb, database, logger } = this.#settings;
    const { onConflict = "fail", force = false } = options;
    const { recoverAll, recoverEntries } = await import("./recovery/recover-entries.ts");
    const locks = this.#locks(force);
    const started = performance.now();
    try {
      const settings = { lancedb, database, locks, logger, onConflict, force } as const;
      const recovered = await (entries ? recoverEntries(entries, settings) : recoverAll(settings));
      const dead = recovered.filter(({ action }) => action !== "active" && action !== "held");
      const durationMs = Math.round(performance.now() - started);
      if (dead.length > 0) this.#tell({ type: "recovered", entries: dead, durationMs });
      return recovered;
    } finally {
      locks.releaseAll();
    }
  }

  #locks(force: boolean): LockSet {
    const { database, lockTimeoutMs, logger } = this.#settings;
    return new LockSet({ database, timeoutMs: lockTimeoutMs, force, logger });
  }
}

type WithStrategy<T> = [
  strategy: BackupStrategy | undefined,
  work: GuardedWork<T>,
  options?: GuardedWorkOptions | undefined,
];
type WithBackupArguments<T> =
  | WithStrategy<T>
  | [work: GuardedWork<T>, options?: GuardedWorkOptions | undefined];

/** The arguments of `withBackup` in one form. */
function withStrategy<T>(args: WithBackupArguments<T>): WithStrategy<T> {
  const [first, second] = args;
  if (typeof first !== "function") return args as WithStrategy<T>;
  return [undefined, first, second as GuardedWorkOptions | undefined];
}
