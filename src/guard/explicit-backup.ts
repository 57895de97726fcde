import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { BackupError, LockedError, UnsupportedError, ValidationError } from "../errors.ts";
import { assertRoot } from "../fs/held-root.ts";
import { isMissing, reasonOf, toIoError } from "../fs/io.ts";
import { isCopy } from "../fs/safe-names.ts";
import { advice } from "../hint.ts";
import {
  assertNamesAreFree,
  assertNoneIsNested,
  isNameTaken,
  listNested,
  listStrayTables,
  listTables,
  NAMESPACE_TABLE,
} from "../lance/database.ts";
import { type Exclusions, excluder } from "../lance/left-out.ts";
import { LockSet } from "../lance/lock/lock-set.ts";
import { listManifests } from "../lance/manifest.ts";
import { listStubs } from "../lance/stubs.ts";
import type { BackupStrategy } from "./backup-strategy.ts";
import type { EntryRecord } from "./journal/entry-record.ts";
import { listEntries } from "./journal/journal.ts";
import type { JournalEntry } from "./journal/journal-entry.ts";
import { assertCopyInReach, removeEntry } from "./kept-backup.ts";
import { directoryCopy, strategyOf } from "./kept-strategies.ts";
import type { BackupInfo, BackupState, CreateBackupOptions, Settings } from "./manager-options.ts";
import { Operation } from "./operation.ts";
import { recoverTable } from "./recovery/recover-entries.ts";
import { findRestores } from "./restore/arm-restore.ts";
import { belongsTo, findBackup, readBackupFile } from "./restore/find-backup.ts";

export async function createBackup(
  settings: Settings,
  strategy: BackupStrategy,
  options: CreateBackupOptions,
): Promise<string> {
  const { lancedb, database, logger } = settings;
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
    recoverTable: (table, except) => recoverTable(table, { lancedb, database, locks, logger }, except),
    logger,
    signal,
  });
  const { entry } = operation;
  try {
    const isExcluded = excluder(options.exclude);
    const tables = (options.tables ?? (await everyTable(settings, options))).filter((id) => !isExcluded(id));
    if (tables.length === 0) {
      throw new ValidationError(
        options.tables?.length === 0
          ? "tables is empty: name one at least, or leave it out."
          : `There is no table in ${database}${options.exclude ? " except the excluded ones" : ""}, so no backup was made. Is it the right directory?`,
      );
    }
    const which = options.tables ? "all" : "present";
    const leftOut = await operation.captureAll(tables, which, options.onUnsupported);
    if (leftOut.length > 0 && operation.record.tables.every(({ id }) => id === NAMESPACE_TABLE)) {
      throw new UnsupportedError(
        `No table could be captured, so no backup was made. ${leftOut.map(({ what }) => what).join(" ")}`,
      );
    }
    const { record } = operation;
    for (const { table, what } of leftOut) {
      logger.warn("a table is left out of a backup", { backup: entry.id, table, error: what });
    }
    if (!options.tables) {
      const isMeant = (id: string) => isExcluded(id) || leftOut.some(({ table }) => table === id);
      await warnOfLeftOut(settings, record, isMeant);
    }
    await entry.write("held", record, async () => {
      await chosen.seal(record);
      for (const root of [database, record.backupPath]) assertRoot(root);
    });
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
    await removeEntry(settings.lancedb, database, entry).catch((reason: unknown) => {
      entry.abandon();
      logger.warn("an unfinished backup could not be removed; the next operation removes it", {
        backup: entry.id,
        error: reasonOf(reason),
      });
    });
    throw error;
  } finally {
    locks.releaseAll();
  }
}

/** Of two directories for one table LanceDB knows one; the other is what a killed creation left, or is it? */
async function warnOfLeftOut(
  { database, logger }: Settings,
  { id, tables }: EntryRecord,
  isMeant: (table: string) => boolean,
): Promise<void> {
  for (const directory of await listStrayTables(database)) {
    logger.warn("a copy of a table's directory was not backed up", { backup: id, directory });
  }
  const captured = new Set(tables.map((table) => (table.state === "present" ? table.directory : "")));
  const stubs = await listStubs(database, captured);
  if (stubs.length > 0) {
    logger.warn("names that LanceDB lists as tables hold none, and were not backed up", {
      backup: id,
      names: stubs,
    });
  }
  for (const { id: table, directory } of await listTables(database)) {
    if (captured.has(directory) || isMeant(table)) continue;
    if ((await listManifests(join(database, directory))).length === 0) continue;
    logger.warn(
      "a directory was not backed up: it is no table's, or its table was made while the backup was",
      {
        backup: id,
        directory,
      },
    );
  }
}

/** Told to leave out what is unsupported, with a warning also for tables that cannot even be named. */
async function everyTable(
  { database, logger }: Settings,
  { exclude, onUnsupported }: Exclusions,
): Promise<string[]> {
  const tables = await listTables(database);
  const isExcluded = excluder(exclude);
  const nested = (await listNested(database)).filter((id) => !isExcluded(id));
  if (onUnsupported !== "leave-out") {
    assertNamesAreFree(tables);
    if (nested.length > 0) await assertNoneIsNested(database);
  }
  const taken = tables.filter(isNameTaken).map(({ directory }) => directory);
  for (const table of [...nested, ...taken]) logger.warn("a table is left out of a backup", { table });
  return tables.filter((table) => !isNameTaken(table)).map((table) => table.id);
}

export async function cleanupBackup(settings: Settings, id: string): Promise<void> {
  const { database, logger } = settings;
  const { entry, record, journaled, madeOf } = findBackup(settings, id);
  assertNotRestored(database, id);
  if (madeOf !== undefined && existsSync(record.backupPath)) throw perhapsAnothers(record, madeOf);
  if (journaled) {
    if (madeOf === undefined) assertCopyInReach(id, record);
    await entry.become("held", "done");
    try {
      assertNotRestored(database, id); // one that was armed meanwhile
    } catch (error) {
      await entry.become("done", "held");
      throw error;
    }
    await removeEntry(settings.lancedb, database, entry, record.backupPath);
  } else {
    await directoryCopy.discard(record.backupPath, record.uuid);
  }
  logger.info("backup removed", { backup: id });
}

function perhapsAnothers({ id, backupPath, database }: EntryRecord, madeOf: string): ValidationError {
  return new ValidationError(
    `Backup ${id} was made of the database that lay at ${madeOf}. The one at ${database} is a copy of it, or was moved without its backups, and the files may be needed elsewhere: nothing was removed. Clean it up through the database that it was made of. If there is none any more, remove ${backupPath} by hand, and then call this again.`,
  );
}

/** A restore that is under way, or was cut off and waits to be finished, needs the backup. */
function assertNotRestored(database: string, id: string): void {
  const restore = findRestores(database, id)[0];
  if (!restore) return;
  const how =
    restore.livenessAtOnce() === "dead"
      ? advice`was cut off; ${{ call: "recover", database }} finishes it`
      : "is under way";
  throw new LockedError(advice`Backup ${id} cannot be removed: its restore ${how}.`);
}

export function listBackups(settings: Settings): BackupInfo[] {
  const { database, logger } = settings;
  const found = new Map<string, BackupInfo>();
  for (const entry of listEntries(database)) {
    try {
      const state = entry.state;
      if (entry.isRestore || (state !== "armed" && state !== "held")) continue;
      const record = entry.read(state);
      if (record) found.set(entry.id, infoOf(record, stateOf(entry, state, record)));
    } catch (error) {
      if (!(error instanceof BackupError)) throw error;
      logger.warn("a journal entry cannot be read", { backup: entry.id, error: error.message });
    }
  }
  for (const id of directoryBackups(settings.backupDir)) {
    if (found.has(id)) continue;
    try {
      const record = readBackupFile(join(settings.backupDir, id));
      if (record && belongsTo(record, database)) found.set(id, infoOf(record, "ready"));
    } catch (error) {
      if (!(error instanceof BackupError)) throw error;
      logger.warn("a backup cannot be read", { backup: id, error: error.message });
    }
  }
  return [...found.values()].sort((a, b) => a.createdAt.getTime() - b.createdAt.getTime());
}

function stateOf(entry: JournalEntry, state: "armed" | "held", record: EntryRecord): BackupState {
  if (state === "armed") return entry.livenessAtOnce() === "dead" ? "interrupted" : "active";
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

function directoryBackups(backupDir: string): string[] {
  try {
    const entries = readdirSync(backupDir, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith(".") && !isCopy(entry.name))
      .map((entry) => entry.name);
  } catch (error) {
    if (isMissing(error)) return [];
    throw toIoError(error, "list", backupDir);
  }
}
