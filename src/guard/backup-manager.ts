import type { Connection } from "@lancedb/lancedb";
import { BackupError } from "../errors.ts";
import { reasonOf } from "../fs/io.ts";
import { databasePath } from "../lance/database.ts";
import { LockSet } from "../lance/lock/lock-set.ts";
import type { LanceDB } from "../lance/which-lancedb.ts";
import type { Logger } from "../logger.ts";
import { Listeners } from "../util/listeners.ts";
import { assertStrategy, BackupStrategy } from "./backup-strategy.ts";
import type { GuardEvent, GuardEvents } from "./guard-events.ts";
import { GuardPlaces } from "./guard-places.ts";
import type { JournalEntry } from "./journal/journal-entry.ts";
import {
  assertBackupId,
  type BackupInfo,
  type BackupManagerOptions,
  type Connect,
  type CreateBackupOptions,
  checkCreate,
  checkRecover,
  checkRestore,
  checkWork,
  type GuardedWork,
  type GuardedWorkOptions,
  type RecoverOptions,
  type RestoreBackupOptions,
  type Settings,
  settingsOf,
  type WithBackupArguments,
  withStrategy,
} from "./manager-options.ts";
import { DeadEntries } from "./recovery/dead-entries.ts";
import type { HealedHeads } from "./recovery/recover-entries.ts";
import type { RecoveredEntry } from "./recovery/roll-back-dead.ts";
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
   *
   * @example
   * ```ts
   * const db = await manager.connection();
   * console.log(await db.tableNames());
   * ```
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
   * LanceDB's `connect`, for code that connects by itself; it needs no `this`. Inside guarded work on the named database,
   * however deep, it returns a guarded connection of that work, like `db`. Elsewhere, and for other databases, it returns what
   * LanceDB's own does. It takes LanceDB's arguments.
   *
   * For code that imports LanceDB's own `connect` there is `withBackup(…, { adopt: "all" })`.
   *
   * @example
   * ```ts
   * const db = await manager.connect("data/lancedb-table"); // in place of LanceDB's own connect
   * ```
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
   * @example
   * ```ts
   * const id = await manager.createBackup("directory-copy", { tables: ["documents"] });
   * ```
   */
  async createBackup(
    strategy: BackupStrategy = this.strategy,
    options: CreateBackupOptions = {},
  ): Promise<string> {
    assertStrategy(strategy);
    checkCreate(options);
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
   * Restores the tables of a backup, each as a new version. History stays: commits made since are no longer
   * current, but reachable by number. The backup stays.
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
   * @example
   * ```ts
   * const plan = await manager.restoreBackup(id, { dryRun: true }); // what would become of each table
   * await manager.restoreBackup(id);
   * await manager.cleanupBackup(id);
   * ```
   */
  async restoreBackup(id: string, options: RestoreBackupOptions = {}): Promise<RestoreResult> {
    assertBackupId(id);
    checkRestore(options);
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
   * @example
   * ```ts
   * for (const { id, state } of await manager.listBackups()) {
   *   if (state === "kept") await manager.cleanupBackup(id);
   * }
   * ```
   */
  async cleanupBackup(id: string): Promise<void> {
    assertBackupId(id);
    const { cleanupBackup } = await import("./explicit-backup.ts");
    const roots = this.#roots(await this.#strategyOf(id));
    await this.#places.inPlace(roots, () => cleanupBackup(this.#settings, id));
  }

  /**
   * The backups of this database, oldest first: made by hand, kept after a conflict, in use, interrupted.
   *
   * @example
   * ```ts
   * for (const { id, createdAt, tables } of await manager.listBackups()) console.log(id, createdAt, tables);
   * ```
   */
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
   * @example
   * ```ts
   * const rows = await manager.withBackup(async (db) => {
   *   const table = await db.openTable("documents");
   *   await table.delete("doc_id = 'handbook'");
   *   await table.add(chunks); // if this throws, the handbook is back
   *   return table.countRows();
   * });
   * ```
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
    checkWork(options);
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
   * Calls `listener` when guarded work of this manager has ended: `committed`, `rolledBack` (not if a conflict or an
   * error leaves the decision to you), and `recovered` when what dead processes left was recovered. The event has tables,
   * versions, rows and milliseconds. Returns a function that stops listening. An error of a listener is logged, and changes
   * nothing.
   *
   * @throws TypeError for an unknown event.
   * @example
   * ```ts
   * manager.on("committed", ({ tables, durationMs }) => console.log(tables, durationMs));
   * ```
   */
  on<N extends keyof GuardEvents>(name: N, listener: (event: GuardEvents[N]) => unknown): () => void {
    return this.#listeners.on(name, listener);
  }

  /**
   * The same as `on("committed", listener)`.
   *
   * @example
   * ```ts
   * const end = manager.onCommitted(({ tables }) => console.log(tables));
   * end(); // no longer
   * ```
   */
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
   * @example
   * ```ts
   * const { entries } = await manager.recover();
   * for (const { id, action, tables } of entries) console.log(id, action, tables);
   * ```
   */
  async recover(options: RecoverOptions = {}): Promise<RecoveryReport> {
    checkRecover(options);
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
