import { isAbsolute, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { UnsupportedError, ValidationError } from "../errors.ts";
import type { LinkMode } from "../fs/place.ts";
import { assertTableId } from "../lance/database.ts";
import { PRIVATE_DIRECTORY } from "../lance/private-directory.ts";
import { defaultLogger, type Logger } from "../logger.ts";
import { DEFAULT_LOCK_TIMEOUT_MS } from "./lock/lock-set.ts";

export interface BackupManagerOptions {
  /** The database's directory; a path or a `file://` address. Default `data/lancedb-table`. */
  uri?: string | undefined;
  /** Where directory copies go. Default `data/backups`. On the database's file system they are links. */
  backupDir?: string | undefined;
  /** How a directory copy gets its files. Default `auto`: reflink, then hard link, then copy, the first that works. */
  link?: LinkMode | undefined;
  /** Default: winston on stderr, level `warn` or what `LANCEDB_BACKUP_LOG` says. */
  logger?: Logger | undefined;
  /** How long a guarded operation waits for a table that another one holds, in milliseconds. Default 30,000. */
  lockTimeoutMs?: number | undefined;
}

export interface Settings {
  readonly uri: string;
  readonly database: string;
  readonly backupDir: string;
  readonly link: LinkMode;
  readonly logger: Logger;
  readonly lockTimeoutMs: number;
}

const LINK_MODES: readonly LinkMode[] = ["auto", "reflink", "hardlink", "copy"];

/** Checks the options and fills in the defaults. Touches nothing. */
export function settingsOf(options: BackupManagerOptions): Settings {
  if (typeof options !== "object" || options === null) throw new TypeError("The options must be an object.");
  const { uri = "data/lancedb-table", backupDir = "data/backups", link = "auto" } = options;
  const { logger = defaultLogger(), lockTimeoutMs = DEFAULT_LOCK_TIMEOUT_MS } = options;
  if (!LINK_MODES.includes(link)) {
    throw new ValidationError(`link must be one of ${LINK_MODES.join(", ")}, not ${JSON.stringify(link)}.`);
  }
  if (typeof lockTimeoutMs !== "number" || !(lockTimeoutMs >= 0)) {
    throw new ValidationError(
      `lockTimeoutMs must be a number of milliseconds, not ${String(lockTimeoutMs)}.`,
    );
  }
  for (const method of ["debug", "info", "warn", "error"] as const) {
    if (typeof logger[method] !== "function") throw new TypeError(`The logger has no method ${method}.`);
  }
  const database = localPath(uri, "uri");
  const backups = localPath(backupDir, "backupDir");
  assertApart(database, backups);
  return { uri, database, backupDir: backups, link, logger, lockTimeoutMs };
}

function localPath(value: unknown, what: string): string {
  if (typeof value !== "string") throw new TypeError(`${what} must be a string, not ${typeof value}.`);
  if (value.trim() === "" || value.includes("\0"))
    throw new ValidationError(`${what} must name a directory.`);
  if (value.startsWith("file://")) return fileURLToPath(value);
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(value)) {
    throw new UnsupportedError(`${what} is ${value}; guarded writes need a local directory.`);
  }
  return resolve(value);
}

/** A backup inside a table's directory would go with the table. */
function assertApart(database: string, backups: string): void {
  const inner = relative(database, backups);
  if (inner === "") throw new ValidationError("backupDir must not be the database's own directory.");
  if (inner.startsWith("..") || isAbsolute(inner)) return;
  const first = inner.split(/[\\/]/)[0] ?? "";
  if (first === PRIVATE_DIRECTORY || first.endsWith(".lance") || first.includes("$")) {
    throw new ValidationError(`backupDir ${backups} lies inside a table; it would be lost with it.`);
  }
}

export function assertOnConflict(value: unknown, allowed: readonly string[]): void {
  if (value !== undefined && !allowed.includes(value as string)) {
    throw new ValidationError(
      `onConflict must be "${allowed.join('" or "')}", not ${JSON.stringify(value)}.`,
    );
  }
}

export function assertTables(tables: unknown): asserts tables is readonly string[] | undefined {
  if (tables === undefined) return;
  if (!Array.isArray(tables)) throw new TypeError("tables must be an array of names.");
  for (const table of tables) assertTableId(table);
}

export function assertBackupId(id: unknown): asserts id is string {
  if (typeof id !== "string") throw new TypeError("A backup's id must be a string.");
  if (!/^[A-Za-z0-9_-]+$/.test(id)) throw new ValidationError(`${JSON.stringify(id)} is not a backup's id.`);
}
