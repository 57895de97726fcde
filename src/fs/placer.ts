import { randomUUID } from "node:crypto";
import { linkSync, statSync, symlinkSync } from "node:fs";
import { constants, copyFile, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { UnsupportedError } from "../errors.ts";
import { advice } from "../hint.ts";
import { makeDirectory } from "./directory-tree.ts";
import { syncDirectories, syncFile } from "./durable.ts";
import { errnoOf, io, toIoError } from "./io.ts";
import { hasNoLinks } from "./name-file.ts";
import { takeOwner } from "./take-owner.ts";

/**
 * How a file gets a second name or a second body.
 * `reflink`: shares blocks until one is written (btrfs, XFS, APFS). `hardlink`: the same file under two
 * names, sound because Lance never changes a file in place. `copy`: every byte again.
 * `auto`: the first that works, in this order.
 */
export type LinkMode = "auto" | "reflink" | "hardlink" | "copy";

type Method = Exclude<LinkMode, "auto"> | "symlink";

const ORDER: Record<LinkMode, readonly Method[]> = {
  auto: ["reflink", "hardlink", "copy"],
  reflink: ["reflink"],
  hardlink: ["hardlink"],
  copy: ["copy"],
};

/** For pins, which live on the table's own file system and are wanted without a byte. */
export const PIN_ORDER: readonly Method[] = ["hardlink", "reflink", "copy"];

/** Errors by which a file system says that it cannot reflink or copy at all, or not between these two places. */
const CANNOT = new Set(["ENOTSUP", "EOPNOTSUPP", "EXDEV", "ENOSYS", "EINVAL", "ENOTTY", "EPERM"]);

/** Links are made in stretches of this many, so that a long list does not hold the event loop. */
const STRETCH = 256;

/**
 * Places files under a directory, one method for all that it can do, and remembers what must be synced.
 * Several `place` calls, then one `sync`.
 */
export class Placer {
  readonly #methods: Method[];
  readonly #directories = new Set<string>();
  readonly #bodies: string[] = [];
  readonly #syncLinked: boolean;
  #sinceYield = 0;

  /** @param options.syncLinked also put the content of linked files on the disk, which another wrote. */
  constructor(
    mode: LinkMode | readonly Method[] = "auto",
    options: { syncLinked?: boolean | undefined } = {},
  ) {
    this.#methods = [...(typeof mode === "string" ? ORDER[mode] : mode)];
    this.#syncLinked = options.syncLinked ?? false;
  }

  /** The method in use; it changes at most from a cheaper one to a dearer one. */
  get method(): Method {
    return this.#methods[0] ?? "copy";
  }

  /**
   * Gives the content of `<from>/<path>` the name `<to>/<path>`, making directories as needed. `path` has
   * forward slashes. Throws the system's own error where the source is missing (`ENOENT`) or the target
   * exists (`EEXIST`), since callers act on those; everything else is an `IoError`.
   */
  place(from: string, to: string, path: string): Promise<void> {
    return this.placeAs(join(from, path), to, path);
  }

  /** Gives the file a body of its own, whatever the method. */
  async copy(from: string, to: string, path: string): Promise<void> {
    const target = this.#prepare(to, path);
    try {
      await this.#duplicate(join(from, path), target, "copy");
    } catch (error) {
      const errno = errnoOf(error);
      throw errno === "ENOENT" || errno === "EEXIST" ? error : toIoError(error, "copy to", target);
    }
  }

  /** The same for a file that gets another name: `source` is a whole path, `path` is below `to`. */
  async placeAs(source: string, to: string, path: string): Promise<void> {
    const target = this.#prepare(to, path);
    if (++this.#sinceYield >= STRETCH) {
      this.#sinceYield = 0;
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (;;) {
      const method = this.method;
      try {
        if (method === "hardlink") {
          linkSync(source, target);
          if (this.#syncLinked) this.#bodies.push(target);
        } else if (method === "symlink") symlinkSync(source, target, "file");
        else await this.#duplicate(source, target, method);
        return;
      } catch (error) {
        const errno = errnoOf(error);
        if (errno === "ENOENT" || errno === "EEXIST") throw error;
        if (errno === "EMLINK") {
          await this.#duplicate(source, target, "copy");
          return;
        }
        const cannot =
          method === "reflink" || method === "copy" ? CANNOT.has(errno ?? "") : hasNoLinks(error);
        if (!cannot) throw toIoError(error, `${method} to`, target);
        if (this.#methods.length === 1) {
          if (method === "copy") throw toIoError(error, "copy to", target);
          throw new UnsupportedError(
            advice`The file system cannot ${method} ${source} to ${target} (${String(errno)}). Do it ${{ options: { link: "auto" } }} or ${{ options: { link: "copy" } }}.`,
            { cause: error },
          );
        }
        this.#methods.shift();
      }
    }
  }

  /** The same over what may have the name: a reader sees the old file or the new, whole. */
  async placeOver(source: string, to: string, path: string): Promise<void> {
    const temporary = join(dirname(path), `.${randomUUID()}.tmp`);
    const target = join(to, path);
    await this.placeAs(source, to, temporary);
    await io("put back", target, () => rename(join(to, temporary), target));
    const body = this.#bodies.lastIndexOf(join(to, temporary));
    if (body >= 0) this.#bodies[body] = target;
  }

  /** Makes a directory below `root`, to be synced with the rest, its parents up to `root` included. */
  ensureDirectory(root: string, directory: string): void {
    if (this.#directories.has(directory)) return;
    makeDirectory(directory);
    for (let current = directory; ; current = dirname(current)) {
      this.#directories.add(current);
      if (current === root || current === dirname(current)) return;
    }
  }

  /**
   * Puts on the disk what was placed: bodies that were written, every directory with a new name in it, and
   * the directories given. In no order: nothing names these files yet.
   */
  async sync(directories: readonly string[] = []): Promise<void> {
    const names = syncDirectories([...this.#directories, ...directories]);
    const settled = await Promise.allSettled([names, this.#syncBodies()]);
    for (const result of settled) if (result.status === "rejected") throw result.reason;
    this.#bodies.length = 0;
    this.#directories.clear();
  }

  async #syncBodies(): Promise<void> {
    for (let i = 0; i < this.#bodies.length; i += STRETCH) {
      await Promise.all(this.#bodies.slice(i, i + STRETCH).map(syncOnce));
    }
  }

  #prepare(to: string, path: string): string {
    const target = join(to, path);
    this.ensureDirectory(to, dirname(target));
    return target;
  }

  async #duplicate(source: string, target: string, method: "reflink" | "copy"): Promise<void> {
    if (method === "reflink") await reflink(source, target);
    else await copyFile(source, target, constants.COPYFILE_EXCL);
    takeOwner(target);
    this.#bodies.push(target);
  }
}

/** Makes a new file that shares the blocks of another; throws the system's own error where that cannot be. */
export async function reflink(source: string, target: string): Promise<void> {
  if ("deno" in process.versions) {
    const message = "ENOTSUP: Deno makes a plain copy where a reflink is asked for, and does not say so";
    throw Object.assign(new Error(message), { code: "ENOTSUP" });
  }
  await copyFile(source, target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE);
}

const synced = new Set<string>();
const MOST_REMEMBERED = 100_000;

/** A Lance file never changes: what this process has synced once is on the disk under each of its names. */
async function syncOnce(path: string): Promise<void> {
  const { dev, ino, mtimeMs, size } = statSync(path);
  const key = `${dev}:${ino}:${mtimeMs}:${size}`;
  if (synced.has(key)) return;
  await syncFile(path);
  if (synced.size >= MOST_REMEMBERED) synced.clear();
  synced.add(key);
}
