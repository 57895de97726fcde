import { closeSync, openSync, readSync, statSync } from "node:fs";
import { copyFile, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { backup, DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { LockedError, NotFoundError, ValidationError } from "../../errors.ts";
import { io, toReadError } from "../../fs/io.ts";
import { fromSqlite, SQLITE, sqliteCode } from "./sqlite-failure.ts";

// Runs in a process of its own (sqlite-worker.ts): to close any file handle of a database gives up all locks that its
// process has on it, also those of another SQLite library in an application (https://www.sqlite.org/howtocorrupt.html, 2.2).

/** A live database that is to be held. */
export interface HoldInput {
  /** Without symbolic links. */
  readonly path: string;
  /** An empty directory, for a copy of files that SQLite cannot open where they are. */
  readonly scratch: string;
  /** How long to wait for transactions of others, milliseconds. */
  readonly timeoutMs: number;
  /** Whether a database that nobody has open may be read without a lock. */
  readonly unlocked: boolean;
}

export interface Held {
  /** Whether its journal is a write-ahead log: then others write on meanwhile. */
  readonly isWal: boolean;
}

const MAGIC = "SQLite format 3\0";

/** The two bytes that say how the database is written; 2 is a write-ahead log. */
const VERSION_OFFSET = 18;
const HEADER_BYTES = 100;

/** All pages in one step: in several, a busy writer makes SQLite begin anew for ever. */
const ALL_PAGES = 2 ** 31 - 1;

const PAUSE_MS = 50;
const POLL_MS = 4;

/** Changes within so short a time of a look may not show in a file's times. */
const TICK_MS = 50;

/**
 * A database at one moment, whatever others do with it, until it is closed. Its files are not changed, and none is left
 * beside it:
 *
 * - one that is in use, or has a rollback journal, is opened read-only, in a transaction;
 * - one with a write-ahead log that nobody has open is read as a plain file, since to open it would make that log. It is
 *   looked at again afterwards;
 * - one that a dead process left in the middle of a transaction, or that cannot be opened where it is, is copied, with its journal, and the copy is
 *   opened.
 */
export class LiveDatabase {
  readonly isWal: boolean;
  readonly #path: string;
  readonly #database: DatabaseSync;
  /** What its files were, where nothing keeps others from changing them. */
  readonly #unlocked: string | undefined;

  private constructor(path: string, isWal: boolean, database: DatabaseSync, unlocked?: string) {
    this.#path = path;
    this.isWal = isWal;
    this.#database = database;
    this.#unlocked = unlocked;
  }

  /** @throws ValidationError for a file that is none. @throws LockedError after the time limit. @throws IoError, CorruptError */
  static async hold(input: HoldInput): Promise<LiveDatabase> {
    const { path, timeoutMs } = input;
    const isWal = readIsWal(path);
    if (isWal && sizeOf(`${path}-wal`) === undefined) {
      const unlocked = input.unlocked ? await LiveDatabase.#holdUnlocked(path) : undefined;
      if (unlocked) return unlocked;
      const writable = tryBegin(path, { readOnly: false, timeoutMs });
      if (writable) return new LiveDatabase(path, true, writable);
    } else if (!isWal || sizeOf(`${path}-shm`) !== undefined) {
      const database = tryBegin(path, { readOnly: true, timeoutMs });
      if (database) return new LiveDatabase(path, isWal, database);
    }
    const copy = await copyStill(input);
    const database = tryBegin(copy, { readOnly: false, timeoutMs: 0 });
    if (!database) throw new LockedError(`The copy ${copy} of ${path} is in use.`);
    return new LiveDatabase(path, isWal, database);
  }

  /** Undefined where somebody has opened it by now. */
  static async #holdUnlocked(path: string): Promise<LiveDatabase | undefined> {
    const files = await settledStamp(path);
    if (sizeOf(`${path}-wal`) !== undefined) return undefined;
    const url = pathToFileURL(path);
    url.search = "?mode=ro&immutable=1";
    return new LiveDatabase(path, true, begin(url, { readOnly: true }, path), files);
  }

  /**
   * Writes what was held into a new file, and lets go.
   *
   * @throws NotFoundError where somebody came and changed what could not be held.
   */
  async copy(to: string): Promise<void> {
    try {
      await backup(this.#database, to, { rate: ALL_PAGES });
    } catch (error) {
      this.#assertUnchanged(); // else that is why
      if (sqliteCode(error) === SQLITE.full) throw fromSqlite(error, `copy ${this.#path} to`, to);
      throw fromSqlite(error, "copy", this.#path);
    } finally {
      this.close();
    }
    this.#assertUnchanged();
  }

  #assertUnchanged(): void {
    if (this.#unlocked === undefined || this.#unlocked === stampOfFiles(this.#path)) return;
    throw new NotFoundError(`${this.#path} was changed while it was copied.`, { path: this.#path });
  }

  close(): void {
    if (this.#database.isOpen) this.#database.close();
  }
}

/** Undefined where it cannot be opened there: a dead process left a transaction, or nothing may be written beside it. */
function tryBegin(
  path: string,
  options: { readonly readOnly: boolean; readonly timeoutMs: number },
): DatabaseSync | undefined {
  try {
    return begin(path, options, path);
  } catch (error) {
    const code = sqliteCode((error as Error).cause);
    if (code === SQLITE.readOnly || code === SQLITE.cannotOpen) return undefined;
    throw error;
  }
}

function begin(
  place: string | URL,
  options: { readonly readOnly: boolean; readonly timeoutMs?: number },
  path: string,
): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    const { timeoutMs = 0, readOnly } = options;
    database = new DatabaseSync(place, { readOnly });
    database.exec("PRAGMA query_only = ON; PRAGMA trusted_schema = OFF; BEGIN");
    takeReadLock(database, performance.now() + timeoutMs);
    return database;
  } catch (error) {
    database?.close();
    throw fromSqlite(error, "open", path);
  }
}

/**
 * Without a write-ahead log a busy writer leaves moments between its transactions: SQLite's own way of waiting looks ten times
 * a second, and misses them.
 */
function takeReadLock(database: DatabaseSync, deadline: number): void {
  const clock = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    try {
      database.prepare("SELECT count(*) FROM sqlite_schema").get();
      return;
    } catch (error) {
      if (sqliteCode(error) !== SQLITE.busy || performance.now() >= deadline) throw error;
    }
    Atomics.wait(clock, 0, 0, POLL_MS * Math.random()); // nothing else is to be done in this process
  }
}

/** Whether a database has a write-ahead log, as its header says. @throws ValidationError where the file is no database. */
export function readIsWal(path: string): boolean {
  const header = Buffer.alloc(HEADER_BYTES);
  let length: number;
  try {
    const file = openSync(path, "r");
    try {
      length = readSync(file, header);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw toReadError(error, path);
  }
  if (length === 0) return false; // an empty file is an empty database
  if (length === HEADER_BYTES && header.toString("latin1", 0, MAGIC.length) === MAGIC) {
    return header[VERSION_OFFSET] === 2;
  }
  throw new ValidationError(
    `${path} is not a SQLite database, or is encrypted (SQLCipher). An encrypted one must be exported by the program that has its key.`,
  );
}

/** Copies a database and its journals, until they were the same before and after. */
async function copyStill({ path, scratch, timeoutMs }: HoldInput): Promise<string> {
  const deadline = performance.now() + timeoutMs;
  const directory = join(scratch, "raw");
  const copy = join(directory, "database");
  for (;;) {
    const before = await settledStamp(path);
    await io("copy", path, async () => {
      await mkdir(directory);
      for (const suffix of ["", "-wal", "-journal"]) {
        if (sizeOf(path + suffix) !== undefined) await copyFile(path + suffix, copy + suffix);
      }
    });
    if (stampOfFiles(path) === before) return copy;
    if (performance.now() >= deadline) {
      throw new LockedError(
        `${path} cannot be opened where it is, and was changed each time that its files were copied.`,
      );
    }
    await rm(directory, { recursive: true });
    await sleep(PAUSE_MS);
  }
}

/** The stamp, when the files have not just been written. */
async function settledStamp(path: string): Promise<string> {
  const { mtimeMs } = statSync(path);
  if (Math.abs(Date.now() - mtimeMs) < TICK_MS) await sleep(TICK_MS);
  return stampOfFiles(path);
}

/** Changes when the database or one of its journals is written to, comes or goes. */
function stampOfFiles(path: string): string {
  const stamps = ["", "-wal", "-journal"].map((suffix) => {
    const stat = statSync(path + suffix, { bigint: true, throwIfNoEntry: false });
    return stat && `${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs}`;
  });
  return JSON.stringify(stamps);
}

function sizeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.size;
}
