import type { Connection, ConnectionOptions } from "@lancedb/lancedb";
import {
  assertFlag,
  assertKnown,
  assertLogger,
  assertMilliseconds,
  assertOneOf,
  assertSignal,
  describe,
} from "../checks.ts";
import { ValidationError } from "../errors.ts";
import { localPath, placeWithin } from "../fs/local-path.ts";
import type { LinkMode } from "../fs/placer.ts";
import { assertOutsideTables, assertTableId } from "../lance/database.ts";
import { assertExclusions, type Exclusions } from "../lance/left-out.ts";
import { DEFAULT_LOCK_TIMEOUT_MS } from "../lance/lock/lock-set.ts";
import { PRIVATE_DIRECTORY } from "../lance/private-directory.ts";
import { LanceDB, type LanceDBOptions } from "../lance/which-lancedb.ts";
import { defaultLogger, type Logger } from "../logger.ts";
import { assertStrategy, BackupStrategy } from "./backup-strategy.ts";
import type { OnConflict } from "./journal/entry-record.ts";

export interface BackupManagerOptions extends LanceDBOptions {
  /** The database's directory; a path or a `file://` address. Default `data/lancedb-table`. */
  uri?: string | undefined;
  /** Where directory copies go. Default `data/backups`. On the database's file system they are links. */
  backupDir?: string | undefined;
  /** How undo points are kept where a call names no other way. Default `lance-version`. */
  strategy?: BackupStrategy | undefined;
  /** How a directory copy gets its files. Default `auto`: reflink, then hard link, then copy, the first that works. */
  link?: LinkMode | undefined;
  /** Default: winston on stderr, level `warn` or what `LANCEDB_BACKUP_LOG` says. */
  logger?: Logger | undefined;
  /** How long a guarded operation waits for a table that another one holds, in milliseconds. Default 30,000. */
  lockTimeoutMs?: number | undefined;
}

export interface Settings {
  readonly lancedb: LanceDB;
  readonly strategy: BackupStrategy;
  readonly uri: string;
  readonly database: string;
  readonly backupDir: string;
  readonly link: LinkMode;
  readonly logger: Logger;
  readonly lockTimeoutMs: number;
}

/** Checks the options and fills in the defaults. Touches nothing. */
export function settingsOf(options: BackupManagerOptions): Settings {
  assertKnown(options, "BackupManager", {
    uri: true,
    strategy: true,
    lancedb: true,
    connection: true,
    backupDir: true,
    link: true,
    logger: true,
    lockTimeoutMs: true,
  });
  const { uri = "data/lancedb-table", backupDir = "data/backups", link = "auto" } = options;
  const { logger = defaultLogger(), lockTimeoutMs = DEFAULT_LOCK_TIMEOUT_MS } = options;
  assertOneOf(link, "link", ["auto", "reflink", "hardlink", "copy"]);
  assertMilliseconds(lockTimeoutMs, "lockTimeoutMs");
  assertLogger(logger);
  const { strategy = BackupStrategy.LanceVersion } = options;
  assertStrategy(strategy);
  const lancedb = new LanceDB(options);
  const database = localPath(uri, "uri");
  const backups = localPath(backupDir, "backupDir");
  assertApart(database, backups);
  return { lancedb, strategy, uri, database, backupDir: backups, link, logger, lockTimeoutMs };
}

/** A backup inside a table's directory would go with the table. */
function assertApart(database: string, backups: string): void {
  assertOutsideTables(backups, "backupDir");
  const inner = placeWithin(backups, database);
  if (inner === "") throw new ValidationError("backupDir must not be the database's own directory.");
  if (inner === undefined) return;
  const first = inner.split(/[\\/]/)[0] ?? "";
  if (first === PRIVATE_DIRECTORY || first.endsWith(".lance") || first.includes("$")) {
    throw new ValidationError(`backupDir ${backups} lies inside a table; it would be lost with it.`);
  }
}

// What the guard's callers pass; the rest is in ../checks.ts.

/** @throws the signal's reason, too, where it has fired. */
export function checkCreate(options: CreateBackupOptions): void {
  assertKnown(options, "createBackup", { tables: true, exclude: true, onUnsupported: true, signal: true });
  assertExclusions(options);
  assertTables(options.tables);
  assertSignal(options.signal);
  options.signal?.throwIfAborted();
}

export function checkWork(options: GuardedWorkOptions): void {
  const known = { tables: true, adopt: true, signal: true, onConflict: true, durable: true } as const;
  assertKnown(options, "withBackup", known);
  assertTables(options.tables);
  assertOneOf(options.adopt, "adopt", ["own", "all"]);
  assertOneOf(options.onConflict, "onConflict", ["fail", "overwrite"]);
  assertSignal(options.signal);
  assertFlag(options.durable, "durable");
  options.signal?.throwIfAborted();
}

export function checkRestore(options: RestoreBackupOptions): void {
  assertKnown(options, "restoreBackup", { onConflict: true, dryRun: true, signal: true });
  assertOneOf(options.onConflict, "onConflict", ["fail", "overwrite"]);
  assertFlag(options.dryRun, "dryRun");
  assertSignal(options.signal);
  options.signal?.throwIfAborted();
}

export function checkRecover(options: RecoverOptions): void {
  assertKnown(options, "recover", { onConflict: true, force: true, heal: true });
  assertOneOf(options.onConflict, "onConflict", ["overwrite", "keep"]);
  assertFlag(options.force, "force");
  assertFlag(options.heal, "heal");
}

function assertTables(tables: unknown): asserts tables is readonly string[] | undefined {
  if (tables === undefined) return;
  if (!Array.isArray(tables))
    throw new TypeError(`tables must be an array of names, not ${describe(tables)}.`);
  for (const table of tables) assertTableId(table);
}

export function assertBackupId(id: unknown): asserts id is string {
  if (typeof id !== "string") throw new TypeError(`A backup's id must be a string, not ${describe(id)}.`);
  if (!/^[A-Za-z0-9_-]+$/.test(id)) throw new ValidationError(`${JSON.stringify(id)} is not a backup's id.`);
}

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
 * `ready`: waits for `restoreBackup` or `cleanupBackup`. `kept`: left by guarded work that could not be
 * rolled back, because others had committed. `active`: guarded work that is running. `interrupted`: its
 * process died; the next guarded operation or `recover()` rolls it back.
 */
export type BackupState = "ready" | "kept" | "active" | "interrupted";

export interface BackupInfo {
  readonly id: string;
  /** Where its files are kept. */
  readonly path: string;
  readonly strategy: BackupStrategy;
  readonly createdAt: Date;
  /** Ids of the tables; a namespaced one is `ns$table`. */
  readonly tables: readonly string[];
  /** What the kept files add up to. Links take no space of their own while the table has the files too. */
  readonly sizeBytes: number;
  readonly state: BackupState;
}

export interface CreateBackupOptions extends Exclusions {
  /**
   * Ids of the tables (`ns$table` in a namespace). Default: every table there is. A named table that does not exist is
   * remembered as absent, and a restore removes it.
   */
  readonly tables?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface RestoreBackupOptions {
  /**
   * `fail` refuses where anything was committed since the backup. Default `overwrite`: this call asks for just that
   * state, and what it passes over stays reachable by number.
   */
  readonly onConflict?: OnConflict | undefined;
  /** Nothing is changed: the answer is what a restore would do to the tables as they are now. Default: false. */
  readonly dryRun?: boolean | undefined;
  /** Stops the wait for locks and the planning. From the first change on the restore goes to its end. */
  readonly signal?: AbortSignal | undefined;
}

export interface RecoverOptions {
  /**
   * For entries whose tables others have committed to since: `overwrite` goes back all the same; by default they are
   * reported and left alone. `keep` restores nothing at all, so that it is a way out whatever is wrong: the tables of
   * every dead operation stay as they are, its backup is kept, and a restore that was cut off is given up.
   */
  onConflict?: "overwrite" | "keep" | undefined;
  /** Treats owners of whom nothing can be known (another host) as dead, if they give no signs of life. Default false. */
  force?: boolean | undefined;
  /** Moves damaged newest versions of tables aside as well, so that they open at the one before. Default true. */
  heal?: boolean | undefined;
}

/** Called as LanceDB's own `connect` is, in any of its forms. */
export interface Connect {
  (uri: string, options?: Partial<ConnectionOptions>, ...more: unknown[]): Promise<Connection>;
  (options: Partial<ConnectionOptions> & { uri: string }, ...more: unknown[]): Promise<Connection>;
}

type WithStrategy<T> = [
  strategy: BackupStrategy | undefined,
  work: GuardedWork<T>,
  options?: GuardedWorkOptions | undefined,
];
export type WithBackupArguments<T> =
  | WithStrategy<T>
  | [work: GuardedWork<T>, options?: GuardedWorkOptions | undefined];

/** The arguments of `withBackup` in one form. */
export function withStrategy<T>(args: WithBackupArguments<T>): WithStrategy<T> {
  const [first, second] = args;
  if (typeof first !== "function") return args as WithStrategy<T>;
  return [undefined, first, second as GuardedWorkOptions | undefined];
}
