import {
  closeSync,
  fsyncSync,
  linkSync,
  openSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { LockedError } from "../../errors.ts";
import { errnoOf, toIoError } from "../../fs/io.ts";
import { hasNoLinks } from "../../fs/name-new.ts";
import { fromSqlite, SQLITE, sqliteCode } from "./sqlite-failure.ts";

// Runs in a process of its own (sqlite-worker.ts), which ends by a signal: to close a database by SQLite would remove
// journals by their names, and these may be the new one's by then.

export interface ReplaceInput {
  /** A whole database, on the disk, in the directory of the target. */
  readonly from: string;
  /** What it takes the place of. There may be none. */
  readonly target: string;
  /** How long to wait for transactions of others, milliseconds. */
  readonly timeoutMs: number;
}

/** What SQLite keeps beside a database, and reads as if it were part of it. */
const JOURNALS = ["-wal", "-shm", "-journal"];

/**
 * Puts a database in the place of another one, whose journals are taken away. At no moment does the new one lie beside
 * an old journal, which SQLite would write into it; nor does the old one lose what only its journal has:
 *
 * 1. the old one is locked against everybody, and what its journal has is written into it: it is whole alone;
 * 2. the journals are removed;
 * 3. the new one is renamed over it.
 *
 * Where a death falls between 1 and 3, the old one is there with all that it held; it has a rollback journal then, until
 * its application asks for a write-ahead log. One that waits for the lock meanwhile finds that too, and not the new one's log.
 * Where the old one is so damaged that SQLite cannot open it, 1 is left out.
 *
 * @throws LockedError where a process has it open.
 */
export function replaceDatabase({ from, target, timeoutMs }: ReplaceInput): void {
  const isNew = !statSync(target, { throwIfNoEntry: false });
  if (!isNew) {
    assertNotOpen(target);
    fold(target, timeoutMs);
    assertNotOpen(target); // who came before the lock was ours
  }
  try {
    for (const suffix of JOURNALS) rmSync(target + suffix, { force: true });
    syncDirectory(dirname(target));
    if (isNew) nameNew(from, target);
    else renameSync(from, target);
    syncDirectory(dirname(target));
  } catch (error) {
    throw toIoError(error, "restore to", target);
  }
}

/** Never over one that somebody makes meanwhile, where the file system has links. */
function nameNew(from: string, target: string): void {
  try {
    linkSync(from, target);
  } catch (error) {
    if (errnoOf(error) === "EEXIST") throw new LockedError(`${target} was made by somebody else meanwhile.`);
    if (!hasNoLinks(error)) throw error;
    renameSync(from, target);
  }
  rmSync(from, { force: true });
}

/** Locked until this process ends. */
const locked: DatabaseSync[] = [];

function fold(target: string, timeout: number): void {
  try {
    const database = new DatabaseSync(target, { timeout });
    locked.push(database);
    database.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT; PRAGMA journal_mode = DELETE");
  } catch (error) {
    const code = sqliteCode(error);
    if (code !== SQLITE.corrupt && code !== SQLITE.notADatabase) throw fromSqlite(error, "replace", target);
  }
}

/** A connection that does nothing holds no lock where there is no write-ahead log; it would go on with a file that has no name. */
function assertNotOpen(target: string): void {
  const { dev, ino } = statSync(target, { bigint: true });
  for (const pid of processes()) {
    for (const file of filesOf(pid)) {
      const stat = tryStat(file);
      if (stat?.ino !== ino || stat.dev !== dev) continue;
      throw new LockedError(
        `${target} is open in process ${pid}, which would go on with the old database. End it, or restore to another path.`,
      );
    }
  }
}

/** All but this one. None where the system does not tell. */
function processes(): string[] {
  return tryList("/proc").filter((name) => /^\d+$/.test(name) && name !== String(process.pid));
}

/** Those of other users are seen by root alone. */
function filesOf(pid: string): string[] {
  return tryList(join("/proc", pid, "fd")).map((name) => join("/proc", pid, "fd", name));
}

function tryList(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // gone, another user's, or no such thing on this system
  }
}

function tryStat(file: string) {
  try {
    if (!readlinkSync(file).startsWith("/")) return undefined;
    return statSync(file, { bigint: true });
  } catch {
    return undefined; // closed meanwhile
  }
}

function syncDirectory(path: string): void {
  if (process.platform === "win32") return;
  const file = openSync(path, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
