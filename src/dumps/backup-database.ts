import { assertFlag, assertKnown, assertMilliseconds, assertSignal } from "../checks.ts";
import { BackupError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import { BackupFormat } from "./backup-format.ts";
import type { DumpRecord } from "./backup-manifest.ts";
import { DumpDirectory } from "./dump-directory.ts";
import { dumpKindOf } from "./dump-kinds.ts";

export interface BackupDatabaseOptions {
  /** Made where it is not there. */
  backupDir: string;
  /** Default: made of the database's. */
  name?: string | undefined;
  /** Packed by gzip. Default true. */
  gzip?: boolean | undefined;
  /** PostgreSQL: default `sql`. A directory is no single file, and is not offered. */
  format?: Exclude<BackupFormat, "directory"> | undefined;
  /** SQLite: without free pages. Default false. */
  compact?: boolean | undefined;
  lockTimeoutMs?: number | undefined;
  timeoutMs?: number | undefined;
  binDir?: string | undefined;
  env?: Readonly<Record<string, string>> | undefined;
  logger?: Logger | undefined;
  signal?: AbortSignal | undefined;
}

export interface RestoreDatabaseOptions
  extends Pick<
    BackupDatabaseOptions,
    "backupDir" | "lockTimeoutMs" | "binDir" | "env" | "logger" | "signal"
  > {}

/** A dump, for those who keep it elsewhere. */
export interface DatabaseBackupFile {
  readonly id: string;
  /** Without a password. */
  readonly databaseUrl: string;
  /** Absolute. */
  readonly filePath: string;
  readonly timestamp: Date;
  readonly sizeBytes: number;
  /** SHA-256 of the file, hexadecimal: `sha256sum` says the same. */
  readonly checksum: string;
}

/** What became of a backup or restore. */
export interface BackupResult {
  readonly success: boolean;
  /** The dump that was made or restored; undefined where there is none. */
  readonly backup?: DatabaseBackupFile | undefined;
  readonly durationSeconds: number;
  /** Why it failed, for people. Never with a password. */
  readonly error?: string | undefined;
}

/**
 * Dumps a database into one file of a directory, packed and with a checksum, and lists it in `backup_manifest.json` there.
 *
 * @param url `sqlite:path`, `postgresql://…`, `mysql://…` or `mariadb://…`.
 * @returns also where it fails: then `success` is false, and nothing is left. @throws the signal's reason; TypeError for a mistake in the types.
 * @example
 * ```ts
 * const { success, backup, error } = await backupDatabase("sqlite:data/app.db", { backupDir: "dumps" });
 * if (success) console.log(backup?.id);
 * ```
 */
export async function backupDatabase(url: string, options: BackupDatabaseOptions): Promise<BackupResult> {
  assertString(url, "url");
  assertString(options?.backupDir, "backupDir");
  return attempt(options.signal, async (done) => {
    assertKnown(options, "backupDatabase", {
      backupDir: true,
      name: true,
      gzip: true,
      format: true,
      compact: true,
      lockTimeoutMs: true,
      timeoutMs: true,
      binDir: true,
      env: true,
      logger: true,
      signal: true,
    });
    assertFlag(options.gzip, "gzip");
    assertFlag(options.compact, "compact");
    assertMilliseconds(options.lockTimeoutMs, "lockTimeoutMs");
    assertMilliseconds(options.timeoutMs, "timeoutMs");
    const { backupDir, logger, lockTimeoutMs, gzip = true, format = BackupFormat.Sql, ...rest } = options;
    const directory = new DumpDirectory(backupDir, { logger, lockTimeoutMs });
    done(directory, await directory.make({ ...rest, kind: dumpKindOf(url), url, gzip, format }));
  });
}

/**
 * Restores a dump that `backupDatabase` or `DatabaseBackup` has made: into a database that is made, or in the place of what is there.
 * Its checksum is compared before anything is changed.
 *
 * @param backupId or a name: the newest of it. @param targetUrl as for `backupDatabase`, of the same kind of database.
 * @returns as `backupDatabase`
 * @example
 * ```ts
 * const { success } = await restoreDatabase(id, "sqlite:data/app.db", { backupDir: "dumps" });
 * ```
 */
export async function restoreDatabase(
  backupId: string,
  targetUrl: string,
  options: RestoreDatabaseOptions,
): Promise<BackupResult> {
  assertString(backupId, "backupId");
  assertString(targetUrl, "targetUrl");
  assertString(options?.backupDir, "backupDir");
  return attempt(options.signal, async (done) => {
    assertKnown(options, "restoreDatabase", {
      backupDir: true,
      lockTimeoutMs: true,
      binDir: true,
      env: true,
      logger: true,
      signal: true,
    });
    const { backupDir, logger, lockTimeoutMs, binDir, env, signal } = options;
    const directory = new DumpDirectory(backupDir, { logger, lockTimeoutMs });
    const record = directory.find(backupId, dumpKindOf(targetUrl).type);
    await directory.restore(record, targetUrl, { binDir, env, signal });
    done(directory, record);
  });
}

async function attempt(
  signal: AbortSignal | undefined,
  work: (done: (directory: DumpDirectory, record: DumpRecord) => void) => Promise<void>,
): Promise<BackupResult> {
  assertSignal(signal);
  const started = performance.now();
  let backup: DatabaseBackupFile | undefined;
  let error: string | undefined;
  try {
    await work((directory, record) => {
      const { id, timestamp, sizeBytes, checksum, filePath } = directory.metadataOf(record);
      backup = { id, databaseUrl: record.databaseUrl, filePath, timestamp, sizeBytes, checksum };
    });
  } catch (cause) {
    signal?.throwIfAborted();
    if (!(cause instanceof BackupError)) throw cause;
    error = cause.message;
  }
  const durationSeconds = (performance.now() - started) / 1000;
  return {
    success: error === undefined,
    ...(backup && { backup }),
    durationSeconds,
    ...(error !== undefined && { error }),
  };
}

function assertString(value: unknown, what: string): void {
  if (typeof value !== "string") throw new TypeError(`${what} must be a string.`);
}
