import { createReadStream, type Dirent, lstatSync, renameSync, statSync } from "node:fs";
import { readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { makeDirectory } from "../fs/directory-tree.ts";
import { syncDirectories } from "../fs/durable.ts";
import { ifThere, ifThereLater } from "../fs/held-root.ts";
import { io, isMissing, toIoError, toReadError } from "../fs/io.ts";
import { nameNew } from "../fs/name-file.ts";
import { highestOf } from "../util/extremes.ts";
import { isObjectName, type StoredObject } from "./object-name.ts";

/** What lies among the objects of a local storage and is none. */
export interface Stray {
  /** Its path below the root, with forward slashes. */
  readonly name: string;
  readonly kind: "file" | "directory" | "other";
}

/** The plain files that a local storage keeps its objects in. Callers may read, copy and link them, and never change them. */
export class LocalFiles {
  /** The directory below which objects have their names; absolute. */
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  /** Of an object, or of a stray. */
  pathOf(name: string): string {
    return join(this.root, name);
  }

  /**
   * What the storage passes over in a folder: directories, links, and whatever has a name that no object can have.
   *
   * @param folder empty, or a name that ends in a slash
   * @param deep whether what lies in the folders below it is told too
   */
  async *strays(folder: string, { deep = true } = {}): AsyncGenerator<Stray> {
    for (const entry of await entriesOf(this.pathOf(folder))) {
      const name = `${folder}${entry.name}`;
      const isName = isObjectName(name);
      if (isName && entry.isFile()) continue;
      yield { name, kind: kindOf(entry) };
      if (deep && isName && entry.isDirectory()) yield* this.strays(`${name}/`);
    }
  }

  /** The bytes of a file that no object's name can name. @throws NotFoundError */
  async *readStray(name: string): AsyncGenerator<Uint8Array> {
    const path = this.pathOf(name);
    try {
      yield* createReadStream(path);
    } catch (error) {
      throw toReadError(error, path);
    }
  }

  /** When a file or anything in a directory was last written, milliseconds since 1970; undefined where it is gone. */
  async newestChange(name: string): Promise<number | undefined> {
    const path = this.pathOf(name);
    try {
      const found = lstatSync(path);
      if (!found.isDirectory()) return found.mtimeMs;
      const times = (await entriesOf(path)).map((entry) => this.newestChange(`${name}/${entry.name}`));
      return highestOf(
        found.mtimeMs,
        (await Promise.all(times)).map((time) => time ?? 0),
      );
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw toIoError(error, "look at", path);
    }
  }

  /** Takes a stray away, a directory with all that is in it. Can be done twice. */
  async removeStray(name: string): Promise<void> {
    const path = this.pathOf(name);
    await io("remove", path, () => rm(path, { recursive: true, force: true }));
  }

  /**
   * Gives an object's file another name, out of the way of its readers.
   *
   * @param isToStay asked when it has that name: where it is not to have it, the file gets its own name back, unless there is
   * another one by now
   * @returns whether it has the other name; false where the object is gone too
   */
  async setAside(name: string, to: string, isToStay: () => Promise<boolean>): Promise<boolean> {
    const [from, aside] = [this.pathOf(name), this.pathOf(to)];
    return io("move aside", from, async () => {
      makeDirectory(dirname(aside), this.root);
      try {
        await rename(from, aside);
      } catch (error) {
        if (isMissing(error)) return false;
        throw error;
      }
      if (await isToStay()) return true;
      await nameNew(aside, from);
      await rm(aside, { force: true }); // without links it was renamed
      return false;
    });
  }

  /** Makes a directory for files that are to become objects, `.<…>` in a folder of the root. */
  async gather<T>(hidden: string, task: (directory: string) => Promise<T>): Promise<T> {
    const directory = this.pathOf(hidden);
    makeDirectory(directory, this.root);
    try {
      return await task(directory);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }

  /**
   * Makes a file of `gather` an object, unless there is one of so many bytes; then whoever gathered removes it. Neither is on the
   * disk before `sync`.
   *
   * @returns whether it was made
   */
  adopt(file: string, name: string, bytes: number): boolean {
    const path = this.pathOf(name);
    if (statSync(path, { throwIfNoEntry: false })?.size === bytes) return false;
    try {
      renameSync(file, path);
    } catch (error) {
      if (!isMissing(error)) throw toIoError(error, "write", path);
      makeDirectory(dirname(path), this.root);
      try {
        renameSync(file, path);
      } catch (failure) {
        throw toIoError(failure, "write", path);
      }
    }
    return true;
  }

  /** Puts the names of objects on the disk. @param folders those that they lie in, and those above them */
  async sync(folders: Iterable<string>): Promise<void> {
    await syncDirectories([...folders].map((folder) => this.pathOf(folder)));
  }
}

function kindOf(entry: Dirent): Stray["kind"] {
  if (entry.isFile()) return "file";
  return entry.isDirectory() ? "directory" : "other";
}

/** Files are looked at in stretches of this many, so that a long list does not hold the event loop. */
const STRETCH = 256;

/**
 * The plain files below `directory` whose names, relative to `root`, begin with `prefix` and are names for objects.
 * What else lies there, links and hidden files among it, is passed over.
 */
export async function* walkObjects(root: string, prefix: string): AsyncGenerator<StoredObject> {
  let sinceYield = 0;
  const walk = async function* (folder: string): AsyncGenerator<StoredObject> {
    for (const entry of await entriesOf(join(root, folder))) {
      const name = folder + entry.name;
      if (!isObjectName(name)) continue;
      if (entry.isDirectory() && mayHold(`${name}/`, prefix)) yield* walk(`${name}/`);
      if (!entry.isFile() || !name.startsWith(prefix)) continue;
      if (++sinceYield % STRETCH === 0) await new Promise((resolve) => setImmediate(resolve));
      const object = lookAt(root, name);
      if (object) yield object;
    }
  };
  yield* walk(prefix.slice(0, prefix.lastIndexOf("/") + 1));
}

/** What a plain file is as an object; undefined where there is none of that name. */
export function lookAt(root: string, name: string): StoredObject | undefined {
  const path = join(root, name);
  try {
    const found = ifThere(path, () => lstatSync(path, { throwIfNoEntry: false }));
    return found?.isFile() ? { name, size: found.size, modified: found.mtime } : undefined;
  } catch (error) {
    throw toIoError(error, "look at", path);
  }
}

function mayHold(folder: string, prefix: string): boolean {
  return folder.startsWith(prefix) || prefix.startsWith(folder);
}

/** None where there is no such directory. */
async function entriesOf(directory: string): Promise<Dirent[]> {
  try {
    return (await ifThereLater(directory, () => readdir(directory, { withFileTypes: true }))) ?? [];
  } catch (error) {
    throw toIoError(error, "list", directory);
  }
}
