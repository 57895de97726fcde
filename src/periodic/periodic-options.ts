import {
  assertFlag,
  assertKnown,
  assertLogger,
  assertMilliseconds,
  assertOneOf,
  assertShrink,
} from "../checks.ts";
import { ValidationError } from "../errors.ts";
import { localPath, placeWithin } from "../fs/local-path.ts";
import { assertOutsideTables, assertTableId } from "../lance/database.ts";
import { assertExclusions, type Exclusions, excluder, type OnUnsupported } from "../lance/left-out.ts";
import { LanceDB, type LanceDBOptions } from "../lance/which-lancedb.ts";
import { defaultLogger, type Logger } from "../logger.ts";
import { type Clock, systemClock } from "../util/clock.ts";
import type { FileFormat } from "./file/backup-file.ts";

export interface PeriodicBackupOptions extends Exclusions, Pick<LanceDBOptions, "lancedb"> {
  /** The database's directory; a path or a `file://` address. Default `data/lancedb-table`. */
  readonly uri?: string | undefined;
  /** Where the files go. Default `data/backups`. Give each database a directory of its own. */
  readonly backupDir?: string | undefined;
  /** Seconds between backups while started; fractions too. Default 300. */
  readonly backupInterval?: number | undefined;
  /** Seconds that pass at least between a backup and one that `notifyChange` starts. Default 5. */
  readonly minBackupInterval?: number | undefined;
  /** `json`: people can read it. `arrow`: faster and smaller. Default `json`. */
  readonly fileFormat?: FileFormat | undefined;
  /** Whether deltas are written between fulls. Default false: every backup is a full. */
  readonly incremental?: boolean | undefined;
  /** After so many deltas comes a full. Default 10. */
  readonly maxDeltasBeforeFull?: number | undefined;
  /**
   * The column, or by table the columns, that tell rows apart in deltas; `ns$table` names a table in a
   * namespace, and a table that is not named has `id`. Default `id`.
   */
  readonly primaryKey?: string | Readonly<Record<string, string | readonly string[]>> | undefined;
  /** Ids of the tables. Default: every table there is at the time of the backup. */
  readonly tables?: readonly string[] | undefined;
  /** How many fulls of this database are kept, with the deltas that follow them. Default: all, and nothing is ever removed. */
  readonly keep?: number | undefined;
  /** Write files also where there is no table. Default false: the directory of a disk that is not mounted has none either. */
  readonly allowEmpty?: boolean | undefined;
  /**
   * How long a backup waits for another manager that writes of the same database into the same directory, milliseconds.
   * Default 300,000; then it has failed with `LockedError`.
   */
  readonly lockTimeoutMs?: number | undefined;
  /**
   * Fail, and write nothing, where a table is gone or has far fewer rows than in the file before: less than half of 100 or
   * more. A number from 0 to below 1: where a table has lost more than this part of its rows, however few they were.
   * Default false: it is a warning. In either case `keep` never removes the last full from before such a fall, with its
   * deltas, while the rows are not back.
   */
  readonly failOnShrink?: boolean | number | undefined;
  /** Called after each backup that failed, with how many have failed since the last that did not. What it throws is logged; nobody waits for it. */
  readonly onBackupFailure?: ((error: Error, consecutiveFailures: number) => void) | undefined;
  /** Default: winston on stderr, level `warn` or what `LANCEDB_BACKUP_LOG` says. */
  readonly logger?: Logger | undefined;
  /** @internal For tests: where times come from. */
  readonly clock?: Clock | undefined;
}

export interface PeriodicSettings {
  readonly lancedb: LanceDB;
  readonly database: string;
  readonly backupDir: string;
  readonly intervalMs: number;
  readonly minIntervalMs: number;
  readonly fileFormat: FileFormat;
  readonly incremental: boolean;
  readonly maxDeltasBeforeFull: number;
  readonly keyOf: (table: string) => readonly string[];
  readonly tables: readonly string[] | undefined;
  readonly isExcluded: (table: string) => boolean;
  readonly onUnsupported: OnUnsupported;
  readonly keep: number | undefined;
  readonly failOnShrink: boolean | number;
  readonly allowEmpty: boolean;
  readonly lockTimeoutMs: number;
  readonly onBackupFailure: ((error: Error, consecutiveFailures: number) => void) | undefined;
  readonly logger: Logger;
  readonly clock: Clock;
}

const DEFAULT_KEY = "id";
const DEFAULT_LOCK_TIMEOUT_MS = 300_000;

/** Checks the options and fills in the defaults. Touches nothing. */
export function periodicSettings(options: PeriodicBackupOptions): PeriodicSettings {
  assertKnown(options, "PeriodicBackupManager", {
    uri: true,
    lancedb: true,
    backupDir: true,
    backupInterval: true,
    minBackupInterval: true,
    fileFormat: true,
    incremental: true,
    maxDeltasBeforeFull: true,
    primaryKey: true,
    tables: true,
    exclude: true,
    onUnsupported: true,
    keep: true,
    failOnShrink: true,
    allowEmpty: true,
    lockTimeoutMs: true,
    onBackupFailure: true,
    logger: true,
    clock: false,
  });
  const { fileFormat = "json", incremental = false, tables, logger = defaultLogger() } = options;
  assertOneOf(fileFormat, "fileFormat", ["json", "arrow"]);
  assertFlag(incremental, "incremental");
  assertFlag(options.allowEmpty, "allowEmpty");
  assertShrink(options.failOnShrink);
  if (options.onBackupFailure !== undefined && typeof options.onBackupFailure !== "function") {
    throw new TypeError("onBackupFailure must be a function.");
  }
  assertLogger(logger);
  assertMilliseconds(options.lockTimeoutMs, "lockTimeoutMs");
  if (tables !== undefined && !Array.isArray(tables))
    throw new TypeError("tables must be an array of names.");
  for (const table of tables ?? []) assertTableId(table);
  assertExclusions(options);
  const database = localPath(options.uri ?? "data/lancedb-table", "uri");
  const backupDir = localPath(options.backupDir ?? "data/backups", "backupDir");
  assertOutside(database, backupDir);
  return {
    lancedb: new LanceDB({ lancedb: options.lancedb }),
    database,
    backupDir,
    intervalMs: seconds(options.backupInterval ?? 300, "backupInterval", 0.001),
    minIntervalMs: seconds(options.minBackupInterval ?? 5, "minBackupInterval", 0),
    fileFormat,
    incremental,
    maxDeltasBeforeFull: whole(options.maxDeltasBeforeFull ?? 10, "maxDeltasBeforeFull", 0),
    keyOf: keysOf(options.primaryKey ?? DEFAULT_KEY),
    tables,
    isExcluded: excluder(options.exclude),
    onUnsupported: options.onUnsupported ?? "fail",
    keep: options.keep === undefined ? undefined : whole(options.keep, "keep", 1),
    failOnShrink: options.failOnShrink ?? false,
    allowEmpty: options.allowEmpty ?? false,
    lockTimeoutMs: options.lockTimeoutMs ?? DEFAULT_LOCK_TIMEOUT_MS,
    onBackupFailure: options.onBackupFailure,
    logger,
    clock: options.clock ?? { ...systemClock, now: preciseNow },
  };
}

function assertOutside(database: string, backups: string): void {
  assertOutsideTables(backups, "backupDir");
  const inner = placeWithin(backups, database);
  if (inner === "") throw new ValidationError("backupDir must not be the database's own directory.");
  if (inner === undefined) return;
  throw new ValidationError(`backupDir ${backups} lies inside the database; it would be lost with it.`);
}

function seconds(value: unknown, what: string, least: number): number {
  if (typeof value !== "number") throw new TypeError(`${what} must be a number of seconds.`);
  if (!Number.isFinite(value) || value < least) {
    throw new ValidationError(`${what} must be ${least} seconds or more, not ${value}.`);
  }
  return value * 1000;
}

function whole(value: unknown, what: string, least: number): number {
  if (typeof value !== "number") throw new TypeError(`${what} must be a number.`);
  if (!Number.isSafeInteger(value) || value < least) {
    throw new ValidationError(`${what} must be a whole number from ${least} on, not ${value}.`);
  }
  return value;
}

function keysOf(option: unknown): (table: string) => readonly string[] {
  if (typeof option === "string") {
    const key = columns(option, "primaryKey");
    return () => key;
  }
  if (typeof option !== "object" || option === null || Array.isArray(option)) {
    throw new TypeError("primaryKey must be a column's name, or an object of columns by table.");
  }
  const keys = new Map(
    Object.entries(option).map(([table, names]) => {
      assertTableId(table);
      return [table, columns(names, `primaryKey of ${table}`)] as const;
    }),
  );
  return (table) => keys.get(table) ?? [DEFAULT_KEY];
}

function columns(value: unknown, what: string): readonly string[] {
  const names: unknown[] = Array.isArray(value) ? value : [value];
  for (const name of names) {
    if (typeof name !== "string") throw new TypeError(`${what} must be a column's name, or several.`);
    if (name === "") throw new ValidationError(`${what} must not be empty.`);
  }
  if (names.length === 0 || new Set(names).size < names.length) {
    throw new ValidationError(`${what} must name at least one column, and each once.`);
  }
  return names as string[];
}

/** Wall clock, milliseconds with fractions: for the names of files. */
function preciseNow(): number {
  return Date.now() + (performance.now() % 1);
}
