import { statSync } from "node:fs";
import { join } from "node:path";
import { BackupError, CorruptError } from "../../errors.ts";
import { listNames } from "../../fs/directory-tree.ts";
import { assertRoot, isAway } from "../../fs/held-root.ts";
import { toIoError } from "../../fs/io.ts";
import { liesInFuture } from "../../util/clock.ts";
import type { FileFormat, FileHead } from "../file/backup-file.ts";
import { peekBackupFile, peekRows } from "../file/open-file.ts";
import type { PeriodicSettings } from "../periodic-options.ts";
import type { PinDocument, PinStore } from "../table-pins.ts";

/** The periodic files of a directory, oldest first; empty where there is no directory. */
export function listBackupFiles(directory: string): BackupFileName[] {
  return listNames(directory)
    .map(parseFileName)
    .filter((file) => file !== undefined)
    .sort((a, b) => a.micros - b.micros || (a.name < b.name ? -1 : 1));
}

/** The files whose time does not lie in the future: a clock was wrong when the others were written. */
export function soundFiles(files: readonly BackupFileName[], nowMs: number): BackupFileName[] {
  return files.filter((file) => !liesInFuture(file.micros / 1000, nowMs));
}

/**
 * The time for a new file's name: now, or just after the newest file where the clock stands still or went
 * back a little, so that names never collide and sort in the order of writing. Files from the future do not count: what
 * came after them would lie in the future too, and be found by nobody who asks for now.
 */
export function nextMicros(files: readonly BackupFileName[], nowMs: number): number {
  return Math.max(Math.floor(nowMs * 1000), (soundFiles(files, nowMs).at(-1)?.micros ?? 0) + 1);
}

/** Deltas since the newest full, by the names of the files. */
export function deltasSinceFull(files: readonly BackupFileName[]): number {
  return files.length - 1 - files.findLastIndex((file) => file.type === "full");
}

const PATTERN = /^lancedb_(backup|delta)_(\d{1,11})_(\d{6})\.(json|arrow)$/;
const MICROS = 1_000_000;

/** A double holds all times below it exactly, and those of the files that come after them. It is in the year 2255. */
const END_OF_TIME = Number.MAX_SAFE_INTEGER - 1000 * MICROS;

/** What the name of a periodic file says. */
export interface BackupFileName {
  readonly name: string;
  readonly type: "full" | "delta";
  readonly format: FileFormat;
  /** Microseconds since 1970. */
  readonly micros: number;
}

/** Undefined for a name that is no periodic file's, or of a time that no clock has told. */
export function parseFileName(name: string): BackupFileName | undefined {
  const [, kind, seconds, micros, format] = PATTERN.exec(name) ?? [];
  if (seconds === undefined || micros === undefined) return undefined;
  const time = Number(seconds) * MICROS + Number(micros);
  if (time >= END_OF_TIME) return undefined;
  return {
    name,
    type: kind === "delta" ? "delta" : "full",
    format: format === "arrow" ? "arrow" : "json",
    micros: time,
  };
}

export function fileName(type: "full" | "delta", format: FileFormat, micros: number): string {
  const kind = type === "full" ? "backup" : "delta";
  const seconds = Math.floor(micros / MICROS);
  return `lancedb_${kind}_${seconds}_${String(micros % MICROS).padStart(6, "0")}.${format}`;
}

/** What a file says of itself, unchecked: its head, and its checksum. */
interface KnownHead {
  readonly head: FileHead;
  readonly sha256: string;
}

type Cache<T> = Map<string, { readonly stamp: string; readonly said: T }>;

/** What the files of a directory say of themselves; each is read once, as long as it stays the same file. */
export class Heads {
  readonly #directory: string;
  readonly #known: Cache<KnownHead> = new Map();
  readonly #rows: Cache<ReadonlyMap<string, number>> = new Map();

  constructor(directory: string) {
    this.#directory = directory;
  }

  path(name: string): string {
    return join(this.#directory, name);
  }

  /** @throws IoError, CorruptError where the file is missing or its head cannot be read. */
  read(name: string): Promise<KnownHead> {
    return this.#cached(this.#known, name, peekBackupFile);
  }

  /**
   * How many rows the tables of a full have, by their ids.
   *
   * @throws IoError, CorruptError where the file is missing or its index cannot be read.
   */
  rows(name: string): Promise<ReadonlyMap<string, number>> {
    return this.#cached(this.#rows, name, peekRows);
  }

  async #cached<T>(cache: Cache<T>, name: string, read: (path: string) => Promise<T>): Promise<T> {
    const path = this.path(name);
    const stamp = stampOf(path);
    const known = cache.get(name);
    if (known?.stamp === stamp) return known.said;
    const said = await read(path);
    cache.set(name, { stamp, said });
    return said;
  }

  /** The identity of the database that a file is of; undefined where the file cannot be read. */
  async databaseOf({ name }: BackupFileName): Promise<string | undefined> {
    try {
      return (await this.read(name)).head.database;
    } catch (error) {
      if (error instanceof BackupError && !isAway(error)) return undefined; // told where it is needed
      throw error;
    }
  }

  /** False also where that cannot be told, because the file is damaged. */
  async isOf(identity: string, file: BackupFileName): Promise<boolean> {
    return (await this.databaseOf(file)) === identity;
  }

  /** Forgets files that are gone. */
  keepOnly(files: readonly BackupFileName[]): void {
    const names = new Set(files.map((file) => file.name));
    for (const known of [this.#known, this.#rows]) {
      for (const name of known.keys()) if (!names.has(name)) known.delete(name);
    }
  }
}

function stampOf(path: string): string {
  try {
    const { ino, size, mtimeMs } = statSync(path);
    return `${ino} ${size} ${mtimeMs}`;
  } catch (error) {
    assertRoot(path);
    throw toIoError(error, "read", path);
  }
}

/**
 * The files that lead to one, newest first: itself, what it follows, and so on to the full. They are found by
 * what each says of itself; rows are not read.
 *
 * @throws CorruptError, IoError where one is missing, cannot be read, or is not the one that the next follows.
 */
export async function backToFull(
  newest: BackupFileName,
  files: readonly BackupFileName[],
  heads: Heads,
): Promise<BackupFileName[]> {
  const names = new Set(files.map((file) => file.name));
  const chain = [newest];
  let { head } = await heads.read(newest.name);
  for (let last = newest; head.follows !== undefined; ) {
    const { file: name, sha256 } = head.follows;
    const before = parseFileName(name);
    const path = heads.path(last.name);
    if (before === undefined || before.micros >= last.micros || !names.has(name)) {
      throw new CorruptError(
        `${path} follows ${name}, which is not there before it: the chain has a gap. What was backed up before it can be restored with an earlier time.`,
        { path },
      );
    }
    const known = await heads.read(name);
    if (known.sha256 !== sha256) {
      throw new CorruptError(
        `${path} does not follow ${heads.path(name)} as it is there: its checksum is another.`,
        { path },
      );
    }
    chain.push(before);
    head = known.head;
    last = before;
  }
  const first = heads.path(chain.at(-1)?.name ?? newest.name);
  if (head.type === "full") return chain;
  throw new CorruptError(`${first} is a delta, and follows nothing.`, { path: first });
}

/** The file that a delta follows, and what is pinned of it. */
export interface ChainEnd {
  readonly file: BackupFileName;
  readonly sha256: string;
  readonly document: PinDocument;
}

/** Where the next delta can go on; or why it cannot, and a full has to begin a new chain. */
export type Resumed =
  | { readonly end: ChainEnd /** Deltas since its full. */; readonly deltas: number }
  | {
      readonly end: undefined;
      readonly why: "empty" | "lost" | "tables" | "broken";
      readonly document?: PinDocument | undefined;
    };

/**
 * Finds the end of the database's own chain from what the files and the pins say, as after a restart. A chain
 * that lacks a file has no end: what would follow could not be restored.
 */
export async function resumeChain(
  settings: PeriodicSettings,
  pins: PinStore,
  heads: Heads,
): Promise<Resumed> {
  const files = listBackupFiles(settings.backupDir);
  heads.keepOnly(files);
  const identity = pins.identity();
  // A delta after a file from the future could not be named: a full begins anew.
  const sound = soundFiles(files, settings.clock.now());
  const newest = await newestOf(sound, { identity, pins, heads });
  if (newest === undefined) {
    const known = files.length === 0 || identity !== undefined;
    return { end: undefined, why: known ? "empty" : "lost" };
  }
  const { file, document } = newest;
  if (document === undefined) return { end: undefined, why: "lost" };
  if (JSON.stringify(settings.tables ?? null) !== JSON.stringify(document.selection)) {
    return { end: undefined, why: "tables", document };
  }
  try {
    const { head, sha256 } = await heads.read(file.name);
    if (head.database !== document.database) return { end: undefined, why: "lost" };
    const chain = await backToFull(file, files, heads);
    return { end: { file, sha256, document }, deltas: chain.length - 1 };
  } catch (error) {
    if (!(error instanceof BackupError) || isAway(error)) throw error;
    settings.logger.warn("the newest periodic files cannot be continued: a full backup is taken", {
      file: file.name,
      directory: settings.backupDir,
      error: error.message,
    });
    return { end: undefined, why: "broken", document };
  }
}

interface Newest {
  readonly file: BackupFileName;
  readonly document: PinDocument | undefined;
}

/** The newest file of this database, with what was remembered with it: other databases may back up here, too. */
async function newestOf(
  files: readonly BackupFileName[],
  { identity, pins, heads }: { identity: string | undefined; pins: PinStore; heads: Heads },
): Promise<Newest | undefined> {
  for (const file of files.toReversed()) {
    const document = pins.read(file.name);
    if (document !== undefined) return { file, document };
    if (identity !== undefined && (await heads.isOf(identity, file))) return { file, document };
  }
  return undefined;
}
