import { assertFlag, assertKnown, assertLogger, assertMilliseconds, assertSignal } from "../checks.ts";
import { ValidationError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import { sqliteUri } from "../sources/sqlite/sqlite-path.ts";
import { BackupFormat, type BackupMetadata, type DumpType } from "./backup-format.ts";
import { DumpDirectory } from "./dump-directory.ts";
import { DUMP_KINDS } from "./dump-kinds.ts";

export interface DatabaseBackupOptions {
  /** Default: this package's. */
  logger?: Logger | undefined;
  /** How long to wait for other writers to the manifest, and for transactions of others in SQLite; milliseconds, default 30,000. */
  lockTimeoutMs?: number | undefined;
  /** How long the copy of a SQLite database may take, milliseconds. Default 600,000. */
  timeoutMs?: number | undefined;
  /** Where the databases' own programs are. Default: in the usual places and PATH. */
  binDir?: string | undefined;
  /** Environment of those programs besides this process's own: a password can stand there. */
  env?: Readonly<Record<string, string>> | undefined;
}

/** Where a database is, in parts. What is missing is what the database's own programs take. */
export interface DatabaseConnection {
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly database: string;
}

export interface DumpSqliteOptions {
  /** Without free pages, by VACUUM. Default false. */
  compact?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

export interface PruneDumpsOptions {
  /** Those older than so many times 24 hours are removed. Fractions too. */
  maxAgeDays?: number | undefined;
  /** Of each database at most so many stay: the newest. 1 or more. */
  maxBackups?: number | undefined;
}

/**
 * Dumps of databases as plain files in a directory, with `backup_manifest.json`: for those who want no repository. A dump is
 * whole and listed, or not there; several processes may work in one directory at once. Nothing is deduplicated, and
 * nothing deleted but by `prune`.
 *
 * Every method throws `BackupError`s: `ValidationError` for what is no database or name, `LockedError` where somebody does not let go,
 * `CorruptError` for damage, `UnsupportedError` where a program is missing, `IoError`.
 *
 * @example
 * ```ts
 * const dumps = new DatabaseBackup("dumps");
 * await dumps.backupSqlite("data/app.db", "app");
 * await dumps.prune({ maxAgeDays: 30, maxBackups: 10 });
 * ```
 */
export class DatabaseBackup {
  readonly #directory: DumpDirectory;
  readonly #options: DatabaseBackupOptions;

  /** @param backupDir made with the first dump. */
  constructor(backupDir: string, options: DatabaseBackupOptions = {}) {
    assertKnown(options, "DatabaseBackup", {
      logger: true,
      lockTimeoutMs: true,
      timeoutMs: true,
      binDir: true,
      env: true,
    });
    if (options.logger !== undefined) assertLogger(options.logger);
    assertMilliseconds(options.lockTimeoutMs, "lockTimeoutMs");
    assertMilliseconds(options.timeoutMs, "timeoutMs");
    this.#options = options;
    this.#directory = new DumpDirectory(backupDir, options);
  }

  /**
   * Copies a SQLite database as it is at one moment, beside writers, and checks the copy.
   *
   * @example
   * ```ts
   * const { filePath } = await dumps.backupSqlite("data/app.db", "app");
   * ```
   */
  backupSqlite(path: string, name: string, options: DumpSqliteOptions = {}): Promise<BackupMetadata> {
    assertKnown(options, "backupSqlite", { compact: true, signal: true });
    assertFlag(options.compact, "compact");
    assertText(path, "path");
    return this.#backup("sqlite", sqliteUri(path), name, options);
  }

  /**
   * Puts a copy in the place of a SQLite database, whatever is there; or makes the file.
   *
   * @param name the newest of this name; or an id. So everywhere.
   * @throws LockedError where a process has the target open.
   * @example
   * ```ts
   * await dumps.restoreSqlite("app", "data/app.db");
   * ```
   */
  restoreSqlite(
    name: string,
    target: string,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<void> {
    assertText(target, "target");
    return this.#restore("sqlite", name, sqliteUri(target), options);
  }

  /**
   * Dumps a PostgreSQL database by the pg_dump of its server's version.
   *
   * @param connection an address, or its parts.
   * @param format default `custom`.
   * @example
   * ```ts
   * await dumps.backupPostgres("postgresql://backup@localhost/shop", "shop", BackupFormat.Directory);
   * ```
   */
  backupPostgres(
    connection: string | DatabaseConnection,
    name: string,
    format: BackupFormat = BackupFormat.Custom,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<BackupMetadata> {
    assertFormat(format);
    return this.#backup("postgresql", addressOf("postgresql", connection), name, { ...options, format });
  }

  /**
   * Restores into a database, in one transaction: what the dump has is put in the place of what is there. One that is not there is made.
   *
   * @example
   * ```ts
   * await dumps.restorePostgres("shop", { host: "localhost", user: "admin", database: "shop_restored" });
   * ```
   */
  restorePostgres(
    name: string,
    connection: string | DatabaseConnection,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<void> {
    return this.#restore("postgresql", name, addressOf("postgresql", connection), options);
  }

  /**
   * Dumps a MySQL or MariaDB database as SQL.
   *
   * @example
   * ```ts
   * await dumps.backupMysql({ host: "localhost", user: "backup", database: "shop" }, "shop");
   * ```
   */
  backupMysql(
    connection: string | DatabaseConnection,
    name: string,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<BackupMetadata> {
    return this.#backup("mysql", addressOf("mysql", connection), name, options);
  }

  /**
   * Restores into a database that is not there, which is made, or is empty: servers of this kind take back no table that was made or dropped, so
   * what is there is never replaced.
   *
   * @example
   * ```ts
   * await dumps.restoreMysql("shop", "mysql://admin@localhost/shop_restored");
   * ```
   */
  restoreMysql(
    name: string,
    connection: string | DatabaseConnection,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<void> {
    return this.#restore("mysql", name, addressOf("mysql", connection), options);
  }

  /**
   * All dumps that are listed, the newest first.
   *
   * @example
   * ```ts
   * for (const { name, timestamp, sizeBytes } of await dumps.listBackups()) console.log(name, timestamp, sizeBytes);
   * ```
   */
  async listBackups(): Promise<BackupMetadata[]> {
    const all = this.#directory.list().map((record) => this.#directory.metadataOf(record));
    return all.sort((a, b) => b.timestamp.getTime() - a.timestamp.getTime());
  }

  /**
   * Removes dumps by age and number, of each database by itself; the newest of each stays, however old it is. Answers with how many were
   * removed.
   *
   * @example
   * ```ts
   * const removed = await dumps.prune({ maxAgeDays: 30, maxBackups: 10 });
   * ```
   */
  async prune(options: PruneDumpsOptions): Promise<number> {
    assertKnown(options, "prune", { maxAgeDays: true, maxBackups: true });
    const { maxAgeDays, maxBackups } = options;
    if (maxAgeDays !== undefined && !(typeof maxAgeDays === "number" && maxAgeDays >= 0)) {
      throw new ValidationError(`maxAgeDays must be 0 or more, not ${String(maxAgeDays)}.`);
    }
    if (maxBackups !== undefined && !(Number.isSafeInteger(maxBackups) && maxBackups >= 1)) {
      throw new ValidationError(`maxBackups must be a whole number of 1 or more, not ${String(maxBackups)}.`);
    }
    return this.#directory.prune({ maxAgeDays, maxBackups });
  }

  async #backup(
    type: DumpType,
    url: string,
    name: string,
    options: DumpSqliteOptions & { readonly format?: BackupFormat },
  ): Promise<BackupMetadata> {
    assertText(name, "name");
    assertSignal(options.signal);
    const { timeoutMs, binDir, env } = this.#options;
    const place = { timeoutMs, binDir, env, kind: DUMP_KINDS[type], url, name, gzip: false };
    return this.#directory.metadataOf(await this.#directory.make({ ...place, ...options }));
  }

  async #restore(
    type: DumpType,
    name: string,
    url: string,
    { signal }: { signal?: AbortSignal | undefined },
  ): Promise<void> {
    assertText(name, "name");
    assertSignal(signal);
    const { binDir, env } = this.#options;
    await this.#directory.restore(this.#directory.find(name, type), url, { binDir, env, signal });
  }
}

/** An address of its parts. */
function addressOf(scheme: string, connection: string | DatabaseConnection): string {
  if (typeof connection === "string") return connection;
  assertKnown(connection, "connection", {
    host: true,
    port: true,
    user: true,
    password: true,
    database: true,
  });
  const { host = "", port, user, password, database } = connection;
  assertText(database, "database");
  const secret = password === undefined ? "" : `:${encodeURIComponent(password)}`;
  const who = user === undefined ? "" : `${encodeURIComponent(user)}${secret}@`;
  const where = `${host.includes(":") ? `[${host}]` : host}${port === undefined ? "" : `:${port}`}`;
  return `${scheme}://${who}${where}/${encodeURIComponent(database)}`;
}

function assertFormat(format: BackupFormat): void {
  const formats = Object.values(BackupFormat);
  if (formats.includes(format)) return;
  throw new ValidationError(`format must be ${formats.join(", ")}, not ${JSON.stringify(format)}.`);
}

function assertText(value: unknown, what: string): void {
  if (typeof value !== "string") throw new TypeError(`${what} must be a string.`);
  if (value === "") throw new ValidationError(`${what} is empty.`);
}
