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
import { backup, DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { LockedError } from "../../errors.ts";
import { isTaken, toIoError } from "../../fs/io.ts";
import { hasNoLinks } from "../../fs/name-file.ts";
import { fromSqlite, SQLITE, sqliteCode } from "./sqlite-failure.ts";

// Runs in a process of its own (sqlite-worker.ts).

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

const ALL_PAGES = 2 ** 31 - 1;
const PAUSE_MS = 20;

/**
 * Puts a database in the place of another one. SQLite writes it into the old one's file, in one transaction: what its journals
 * hold is written first, and gone; a death on the way leaves a journal by which whoever comes next goes back to the old one; and who opens it meanwhile waits for the
 * lock, and finds one or the other. (A rename would leave him with a file that has no name, and with the log of the new one,
 * since SQLite finds that by the path.)
 *
 * Where there is none, or one that is so damaged that SQLite cannot open it, the new one gets its name when the journals there have been
 * taken away: SQLite would take them for its own.
 *
 * @throws LockedError where a process has it open. Then it is as it was.
 */
export async function replaceDatabase({ from, target, timeoutMs }: ReplaceInput): Promise<void> {
  const isThere = statSync(target, { throwIfNoEntry: false }) !== undefined;
  if (isThere) assertNotOpen(target);
  if (isThere && (await writeInto(target, from, timeoutMs))) return;
  try {
    for (const suffix of JOURNALS) rmSync(target + suffix, { force: true });
    syncDirectory(dirname(target));
    if (isThere) renameSync(from, target);
    else nameNew(from, target);
    syncDirectory(dirname(target));
  } catch (error) {
    throw toIoError(error, "restore to", target);
  }
}

/** False where the target is no database that SQLite can open. */
async function writeInto(target: string, from: string, timeoutMs: number): Promise<boolean> {
  if (!foldJournals(target, timeoutMs)) return false;
  const url = pathToFileURL(from);
  url.search = "?mode=ro&immutable=1";
  const source = new DatabaseSync(url, { readOnly: true });
  const deadline = performance.now() + timeoutMs;
  try {
    for (;;) {
      try {
        await backup(source, target, { rate: ALL_PAGES });
        return true;
      } catch (error) {
        if (!isBusy(error)) throw fromSqlite(error, "restore to", target);
        if (performance.now() >= deadline) throw inUse(target, error);
      }
      await sleep(PAUSE_MS);
    }
  } finally {
    source.close();
  }
}

/** Node has no code for it where it is the target that is busy. */
function isBusy(error: unknown): boolean {
  const code = sqliteCode(error);
  return code === 0 || code === SQLITE.busy || code === SQLITE.locked;
}

function inUse(target: string, cause: unknown): LockedError {
  return new LockedError(
    `${target} is in use, and was not replaced. End the processes that use it, or restore to another path.`,
    { cause },
  );
}

/**
 * The database is whole alone then, with a rollback journal: no other can be written to with pages of another size.
 * False where it cannot be opened.
 */
function foldJournals(target: string, timeout: number): boolean {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(target, { timeout });
    database.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT; PRAGMA journal_mode = DELETE");
    rmSync(`${target}-shm`, { force: true }); // a dead process's: nobody else has it open while this is locked
    return true;
  } catch (error) {
    const code = sqliteCode(error);
    if (code === SQLITE.corrupt || code === SQLITE.notADatabase) return false;
    throw isBusy(error) ? inUse(target, error) : fromSqlite(error, "replace", target);
  } finally {
    database?.close();
  }
}

/** Never over one that somebody makes meanwhile, where the file system has links. */
function nameNew(from: string, target: string): void {
  try {
    linkSync(from, target);
  } catch (error) {
    if (isTaken(error)) throw new LockedError(`${target} was made by somebody else meanwhile.`);
    if (!hasNoLinks(error)) throw error;
    renameSync(from, target);
  }
  rmSync(from, { force: true });
}

/** A connection that does nothing holds no lock where there is no write-ahead log; its application would go on with what it knows of the old rows. */
function assertNotOpen(target: string): void {
  const { dev, ino } = statSync(target, { bigint: true });
  for (const pid of processes()) {
    for (const file of filesOf(pid)) {
      const stat = tryStat(file);
      if (stat?.ino !== ino || stat.dev !== dev) continue;
      throw new LockedError(
        `${target} is open in process ${pid}, which would go on with the old rows that it has in memory. End it, or restore to another path.`,
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
