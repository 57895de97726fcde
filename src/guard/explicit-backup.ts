import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { BackupNotFoundError, CorruptError, LockedError, RestoreError, ValidationError } from "../errors.ts";
import { isMissing, toIoError } from "../fs/io.ts";
import { assertNamesAreFree, listTables } from "../lance/database.ts";
import { type EntryRecord, JournalEntry } from "./journal/entry.ts";
import { listEntries } from "./journal/journal.ts";
import { readRecord } from "./journal/record.ts";
import { assertEntryRecord } from "./journal/validate.ts";
import { LockSet } from "./lock/lock-set.ts";
import { Operation } from "./operation.ts";
import type { Settings } from "./options.ts";
import { keptDirectory, sweepEntry } from "./recovery.ts";
import { carryOut, type TableRestore } from "./rollback/act.ts";
import { type OnConflict, planRollback } from "./rollback/plan.ts";
import { BACKUP_FILE, directoryCopy } from "./strategies/directory-copy.ts";
import { strategyOf } from "./strategies/index.ts";
import type { BackupStrategy } from "./strategy.ts";

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

export interface RestoreResult {
  readonly id: string;
  readonly tables: readonly TableRestore[];
}

export async function createBackup(
  settings: Settings,
  strategy: BackupStrategy,
  options: { tables?: readonly string[] | undefined; signal?: AbortSignal | undefined },
): Promise<string> {
  const { database, logger } = settings;
  const started = performance.now();
  if (!existsSync(database)) throw new ValidationError(`There is no database at ${database}.`);
  const { signal } = options;
  signal?.throwIfAborted();
  const locks = new LockSet({ database, timeoutMs: settings.lockTimeoutMs, signal, logger });
  const chosen = strategyOf(strategy);
  const operation = await Operation.begin({
    context: settings,
    strategy: chosen,
    kind: "explicit",
    locks,
    logger,
    signal,
  });
  const { entry } = operation;
  try {
    const tables = options.tables ?? (await everyTable(database));
    await operation.captureAll(tables, options.tables ? "all" : "present");
    const { record } = operation;
    await chosen.seal(record);
    await entry.write("held", record);
    entry.abandon();
    logger.info("backup made", {
      backup: entry.id,
      strategy,
      tables: record.tables.map((table) => ({
        table: table.id,
        version: table.state === "present" ? table.version : null,
      })),
      ms: Math.round(performance.now() - started),
    });
    return entry.id;
  } catch (error) {
    await sweepEntry(database, entry).catch((reason: unknown) => {
      entry.abandon();
      logger.warn("an unfinished backup could not be removed; the next operation sweeps it", {
        backup: entry.id,
        error: reason instanceof Error ? reason.message : String(reason),
      });
    });
    throw error;
  } finally {
    locks.releaseAll();
  }
}

async function everyTable(database: string): Promise<string[]> {
  const tables = await listTables(database);
  assertNamesAreFree(tables);
  return tables.map((table) => table.id);
}

export async function restoreBackup(
  settings: Settings,
  id: string,
  options: { onConflict?: OnConflict | undefined },
): Promise<RestoreResult> {
  const { database, logger } = settings;
  const { onConflict = "overwrite" } = options;
  const started = performance.now();
  const { entry, record } = findBackup(settings, id);
  const locks = new LockSet({ database, timeoutMs: settings.lockTimeoutMs, logger });
  const ids = record.tables.map((table) => table.id).filter((table) => !locks.isHeldByParent(table));
  try {
    await locks.acquireAll(ids);
    const plan = await planRollback(database, {
      record,
      kept: keptDirectory(entry, record),
      log: entry.readLog(),
      lastSign: entry.lastSign(),
      onConflict,
      explicit: true,
    });
    const tables = await carryOut(plan, { database, asideName: id, onConflict, logger });
    logger.info("backup restored", {
      backup: id,
      tables: tables.map(({ table, version, action }) => ({ table, version, action })),
      ms: Math.round(performance.now() - started),
    });
    return { id, tables };
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error;
    throw new RestoreError(
      `Backup ${id} could not be restored: ${error.message} It is kept at ${record.backupPath}.`,
      {
        restoreError: error,
        backupPath: record.backupPath,
      },
    );
  } finally {
    locks.releaseAll();
  }
}

export async function cleanupBackup(settings: Settings, id: string): Promise<void> {
  const { database, logger } = settings;
  const { entry, record, journaled } = findBackup(settings, id);
  if (journaled) {
    await entry.become("held", "done");
    await sweepEntry(database, entry);
  } else {
    await directoryCopy.discard(record.backupPath, record.uuid);
  }
  logger.info("backup removed", { backup: id });
}

export function listBackups(settings: Settings): BackupInfo[] {
  const { database, logger } = settings;
  const found = new Map<string, BackupInfo>();
  for (const entry of listEntries(database)) {
    try {
      const state = entry.state;
      if (state !== "armed" && state !== "held") continue;
      const record = entry.read(state);
      if (record) found.set(entry.id, infoOf(record, stateOf(entry, state, record)));
    } catch (error) {
      if (!(error instanceof CorruptError)) throw error;
      logger.warn("a journal entry cannot be read", { backup: entry.id, error: error.message });
    }
  }
  for (const id of directoryBackups(settings.backupDir)) {
    if (found.has(id)) continue;
    try {
      const record = readBackupFile(join(settings.backupDir, id));
      if (record && belongsTo(record, database)) found.set(id, infoOf(record, "ready"));
    } catch (error) {
      if (!(error instanceof CorruptError)) throw error;
      logger.warn("a backup cannot be read", { backup: id, error: error.message });
    }
  }
  return [...found.values()].sort((a, b) => a.createdAt.getTime() - b.createdAt.getTime());
}

function stateOf(entry: JournalEntry, state: "armed" | "held", record: EntryRecord): BackupState {
  if (state === "armed") return entry.liveness() === "dead" ? "interrupted" : "active";
  return record.kind === "explicit" ? "ready" : "kept";
}

function infoOf(record: EntryRecord, state: BackupState): BackupInfo {
  return {
    id: record.id,
    path: record.backupPath,
    strategy: record.strategy,
    createdAt: new Date(record.createdAt),
    tables: record.tables.map((table) => table.id),
    sizeBytes: record.tables.reduce((sum, table) => sum + (table.state === "present" ? table.bytes : 0), 0),
    state,
  };
}

interface Found {
  readonly entry: JournalEntry;
  readonly record: EntryRecord;
  readonly journaled: boolean;
}

/** A backup by its id: from the journal, or from its own directory where the database was lost. */
function findBackup(settings: Settings, id: string): Found {
  const { database, backupDir } = settings;
  const entry = new JournalEntry(database, id);
  if (entry.state === "armed") {
    const hint =
      entry.liveness() === "dead" ? "its process died; call recover()" : "its guarded work is running";
    throw new LockedError(`Backup ${id} cannot be used: ${hint}.`);
  }
  const held = entry.read("held");
  if (held)
    return {
      entry,
      record: { ...held, backupPath: movedPath(held, entry, backupDir), database },
      journaled: true,
    };
  const path = join(backupDir, id);
  const record = readBackupFile(path);
  if (!record) {
    throw new BackupNotFoundError(
      id,
      `There is no backup "${id}", neither in ${backupDir} nor in ${entry.directory}. (A lance-version backup lies inside the database and goes with it.)`,
    );
  }
  if (!belongsTo(record, database) && existsSync(record.database)) {
    throw new ValidationError(`Backup ${id} was made of ${record.database}, not of ${database}.`);
  }
  return { entry, record: { ...record, backupPath: path, database }, journaled: false };
}

/** The database and its backups may have been moved since: what lies beside us counts, not the old path. */
function movedPath(record: EntryRecord, entry: JournalEntry, backupDir: string): string {
  if (strategyOf(record.strategy) !== directoryCopy) return entry.directory;
  return existsSync(record.backupPath) ? record.backupPath : join(backupDir, record.id);
}

function belongsTo(record: EntryRecord, database: string): boolean {
  return record.database === database;
}

function readBackupFile(directory: string): EntryRecord | undefined {
  const path = join(directory, BACKUP_FILE);
  const body = readRecord(path);
  const complete = typeof body === "object" && body !== null && "state" in body && body.state === "complete";
  return complete ? assertEntryRecord(body, path) : undefined;
}

function directoryBackups(backupDir: string): string[] {
  try {
    const entries = readdirSync(backupDir, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith("."))
      .map((entry) => entry.name);
  } catch (error) {
    if (isMissing(error)) return [];
    throw toIoError(error, "list", backupDir);
  }
}
