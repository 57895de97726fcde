import { assertKnown, assertLogger, assertMilliseconds } from "../checks.ts";
import { ValidationError } from "../errors.ts";
import { localPath } from "../fs/local-path.ts";
import type { LinkMode } from "../fs/place.ts";
import { placeWithin } from "../fs/real-path.ts";
import { assertOutsideTables } from "../lance/database.ts";
import { DEFAULT_LOCK_TIMEOUT_MS } from "../lance/lock/lock-set.ts";
import { PRIVATE_DIRECTORY } from "../lance/private-directory.ts";
import { LanceDB, type LanceDBOptions } from "../lance/which-lancedb.ts";
import { defaultLogger, type Logger } from "../logger.ts";
import { assertStrategy, BackupStrategy } from "./backup-strategy.ts";

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

const LINK_MODES: readonly LinkMode[] = ["auto", "reflink", "hardlink", "copy"];

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
  if (!LINK_MODES.includes(link)) {
    throw new ValidationError(`link must be one of ${LINK_MODES.join(", ")}, not ${JSON.stringify(link)}.`);
  }
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
