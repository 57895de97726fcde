import { existsSync } from "node:fs";
import { join } from "node:path";
import { BackupNotFoundError, LockedError, ValidationError } from "../../errors.ts";
import { isSamePlace } from "../../fs/local-path.ts";
import { advice } from "../../hint.ts";
import { assertEntryRecord, type EntryRecord } from "../journal/entry-record.ts";
import { JournalEntry } from "../journal/journal-entry.ts";
import { readRecord } from "../journal/journal-record.ts";
import { ownsBackup } from "../kept-backup.ts";
import { BACKUP_FILE, directoryCopy, strategyOf } from "../kept-strategies.ts";
import type { Settings } from "../manager-options.ts";

export interface FoundBackup {
  readonly entry: JournalEntry;
  readonly record: EntryRecord;
  /** False where only its directory is left: the journal went with the database. */
  readonly journaled: boolean;
  /** Where it was made of another database, perhaps, that may still need it: its path. */
  readonly madeOf?: string | undefined;
}

/** A backup by its id: from the journal, or from its own directory where the database was lost. */
export function findBackup(settings: Settings, id: string): FoundBackup {
  const { database, backupDir } = settings;
  const entry = new JournalEntry(database, id);
  if (entry.state === "armed") {
    const why =
      entry.livenessAtOnce() === "dead"
        ? advice`its process died, and ${{ call: "recover", database }} comes first`
        : "its guarded work is running";
    throw new LockedError(advice`Backup ${id} cannot be used: ${why}.`);
  }
  const held = entry.read("held");
  if (held) {
    const backupPath = movedPath(held, entry, backupDir);
    const record = { ...held, backupPath, database };
    const isOurs = backupPath === entry.directory || ownsBackup(entry, held, backupPath);
    return { entry, record, journaled: true, madeOf: isOurs ? undefined : held.database };
  }
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
  const madeOf = belongsTo(record, database) ? undefined : record.database;
  return { entry, record: { ...record, backupPath: path, database }, journaled: false, madeOf };
}

/** The database and its backups may have been moved or copied since: where the one lies that is ours. */
function movedPath(record: EntryRecord, entry: JournalEntry, backupDir: string): string {
  if (strategyOf(record.strategy) !== directoryCopy) return entry.directory;
  const places = [record.backupPath, join(backupDir, record.id)].filter((path) => existsSync(path));
  const ours = places.find((path) => ownsBackup(entry, record, path));
  return ours ?? places[0] ?? record.backupPath;
}

export function belongsTo(record: EntryRecord, database: string): boolean {
  return isSamePlace(record.database, database);
}

export function readBackupFile(directory: string): EntryRecord | undefined {
  const path = join(directory, BACKUP_FILE);
  const body = readRecord(path);
  const complete = typeof body === "object" && body !== null && "state" in body && body.state === "complete";
  return complete ? assertEntryRecord(body, path) : undefined;
}
