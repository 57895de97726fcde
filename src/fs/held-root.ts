import { closeSync, fstatSync, openSync, statSync } from "node:fs";
import { dirname, sep } from "node:path";
import { BackupError, IoError, ValidationError } from "../errors.ts";
import { errnoOf, isMissing, toIoError } from "./io.ts";

/** The roots that operations of this process hold, by their paths; some are held several times over. */
const held = new Map<string, Set<HeldRoot>>();

/** By this name of the system's an error says that a root is not the directory any more that it was. */
const AWAY = "ESTALE";

/**
 * A directory that has to be there, and to be the same one, for as long as an operation lasts: a database, a
 * repository, a backup directory. Disks are unmounted, network drives drop out and directories are renamed while we
 * work; then every path in them names nothing, which is not what "it was removed" looks like to a caller that means
 * the table, the snapshot or the file.
 *
 * While it is held,
 * - what is missing below it is believed to be missing only where the root is in its place (`ifThere`),
 * - nobody makes it, nor a directory above it (`makeDirectory`).
 *
 * It is told by what the system calls it, and kept open meanwhile: a directory that is made anew in its place would
 * otherwise get its number at once.
 */
export class HeldRoot implements Disposable {
  readonly path: string;
  readonly #what: string;
  /** Undefined where it cannot be read; and on Windows, where an open directory could not be renamed. */
  readonly #file: number | undefined;
  readonly #identity: string;

  private constructor(path: string, what: string, file: number | undefined, identity: string) {
    this.path = path;
    this.#what = what;
    this.#file = file;
    this.#identity = identity;
  }

  /**
   * @param what the root is, for messages: `database`, `repository`, `backup directory`.
   * @throws IoError where it is not there. @throws ValidationError where it is no directory.
   */
  static hold(path: string, what: string): HeldRoot {
    let root: HeldRoot;
    try {
      if (!statSync(path).isDirectory()) throw new ValidationError(`The ${what} ${path} is no directory.`);
      const file = tryOpen(path);
      root = new HeldRoot(path, what, file, identityOf(path) ?? "");
    } catch (error) {
      throw toIoError(error, `find the ${what}`, path);
    }
    const others = held.get(path) ?? new Set();
    held.set(path, others.add(root));
    try {
      root.assertThere(); // it may have changed between the two looks
    } catch (error) {
      root[Symbol.dispose]();
      throw error;
    }
    return root;
  }

  /** @throws IoError (`ESTALE`) where the path leads to nothing, or to another directory. */
  assertThere(): void {
    if (!this.isThere()) throw this.away();
  }

  isThere(): boolean {
    try {
      const now = identityOf(this.path);
      // Asked anew each time: a file system that is not on a disk may change its numbers, for both looks alike.
      const mine = this.#file === undefined ? this.#identity : identityOf(this.#file);
      return now !== undefined && now === mine;
    } catch (error) {
      throw toIoError(error, `look at the ${this.#what}`, this.path);
    }
  }

  away(cause?: unknown): IoError {
    return new IoError(
      `The ${this.#what} ${this.path} is away: it was renamed, unmounted or replaced while it was in use. Bring it back to its place, and try again.`,
      { path: this.path, errno: AWAY, cause },
    );
  }

  [Symbol.dispose](): void {
    const others = held.get(this.path);
    if (!others?.delete(this)) return;
    if (others.size === 0) held.delete(this.path);
    if (this.#file !== undefined) closeSync(this.#file);
  }
}

/**
 * Runs an operation on roots. It has succeeded only where they are in their places at its end; where one is not, an
 * error of this package becomes one that says so, since the operation may have taken it for anything.
 */
export async function holding<T>(
  roots: readonly { readonly path: string; readonly what: string }[],
  task: () => Promise<T>,
): Promise<T> {
  const all: HeldRoot[] = [];
  try {
    for (const { path, what } of roots) all.push(HeldRoot.hold(path, what));
    const result = await task().catch((error: unknown) => {
      const gone = isTranslated(error) ? all.find((root) => !root.isThere()) : undefined;
      throw gone?.away(error) ?? error;
    });
    for (const root of all) root.assertThere();
    return result;
  } finally {
    for (const root of all) root[Symbol.dispose]();
  }
}

/** Errors that say by themselves what has become of the user's tables stay as they are. */
function isTranslated(error: unknown): boolean {
  if (!(error instanceof BackupError) || isAway(error)) return false;
  return error.code !== "RESTORE" && error.code !== "CONFLICT";
}

/** Whether an error says that a root was not in its place. */
export function isAway(error: unknown): boolean {
  return error instanceof IoError && error.errno === AWAY;
}

/**
 * What `read` answers; undefined where what it reads is missing. Below a held root that is believed only when it was
 * missing twice, and the root in its place in between.
 *
 * @param read answers undefined, or throws the system's error, where it finds nothing.
 * @throws IoError (`ESTALE`) where the root is away.
 */
export function ifThere<T>(path: string, read: () => T | undefined): T | undefined {
  for (let again = false; ; again = true) {
    const found = unlessMissing(read);
    if (found !== undefined || again || !assertRoot(path)) return found;
  }
}

/** The same for what takes its time. */
export async function ifThereLater<T>(
  path: string,
  read: () => Promise<T | undefined>,
): Promise<T | undefined> {
  for (let again = false; ; again = true) {
    let found: T | undefined;
    try {
      found = await read();
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
    if (found !== undefined || again || !assertRoot(path)) return found;
  }
}

function unlessMissing<T>(read: () => T | undefined): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** False where nobody holds a root around a path. @throws IoError where one is away. */
export function assertRoot(path: string): boolean {
  if (held.size === 0) return false;
  for (let current = path; ; current = dirname(current)) {
    const roots = held.get(current);
    if (roots) {
      for (const root of roots) root.assertThere();
      return true;
    }
    if (current === dirname(current)) return false;
  }
}

/**
 * Before a directory is made: one that is held, or lies around a held one, is never made, whoever finds it missing;
 * and directly below a root only where that is in its place, since what an unmounted disk leaves is a directory, too.
 */
export function assertMakeable(directory: string): void {
  for (const [path, roots] of held) {
    const [root] = roots;
    if (root && (path === directory || path.startsWith(directory + sep))) throw root.away();
    if (path === dirname(directory)) for (const each of roots) each.assertThere();
  }
}

function tryOpen(path: string): number | undefined {
  if (process.platform === "win32") return undefined;
  try {
    return openSync(path, "r");
  } catch (error) {
    if (errnoOf(error) === "EACCES" || errnoOf(error) === "EPERM") return undefined;
    throw error;
  }
}

/** Device and number; undefined where there is no such directory. */
function identityOf(place: string | number): string | undefined {
  try {
    const stat =
      typeof place === "number" ? fstatSync(place, { bigint: true }) : statSync(place, { bigint: true });
    return stat.isDirectory() ? `${stat.dev}:${stat.ino}` : undefined;
  } catch (error) {
    if (isMissing(error) || errnoOf(error) === AWAY) return undefined;
    throw error;
  }
}

const NS_PER_MS = 1_000_000n;

/**
 * What tells a directory from a copy of it: where it lies on its file system, and since when. It stays the same
 * when the directory, or one above it, is renamed, and changes when it is copied, unpacked, or moved to another
 * file system. Undefined where there is none.
 */
export function stampOf(directory: string): string | undefined {
  const stat = ifThere(directory, () => statSync(directory, { bigint: true, throwIfNoEntry: false }));
  return stat && `${stat.ino} ${stat.birthtimeNs}`;
}

/**
 * Whether a stamp is that of a directory. To the millisecond: Deno knows no smaller part of a file's times, and another
 * runtime may have written it.
 */
export function isStampOf(stamp: unknown, directory: string): boolean {
  const actual = stampOf(directory);
  return (
    typeof stamp === "string" && actual !== undefined && inMilliseconds(stamp) === inMilliseconds(actual)
  );
}

/** The same for every runtime: with the time in milliseconds. */
export function plainStampOf(directory: string): string | undefined {
  const stamp = stampOf(directory);
  return stamp && inMilliseconds(stamp);
}

function inMilliseconds(stamp: string): string {
  const [, inode, nanoseconds] = /^(\d+) (\d+)$/.exec(stamp) ?? [];
  return nanoseconds === undefined ? stamp : `${inode} ${BigInt(nanoseconds) / NS_PER_MS}`;
}
