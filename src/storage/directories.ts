import { lstatSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { IoError } from "../errors.ts";
import { makeDirectory } from "../fs/directory-tree.ts";
import { syncDirectories, syncDirectory } from "../fs/durable.ts";
import { isMissing, toIoError } from "../fs/io.ts";

/** The directories of a local storage: no links below the root, and their names on the disk. */
export class Directories {
  readonly #root: string;
  /** Those whose own names are on the disk. */
  readonly #synced = new Set<string>();
  /** Around the root, where names were made for it. */
  readonly #foreign = new Set<string>();
  /** The root was there once: what is missing since is away, and is not made. */
  #wasThere = false;

  constructor(root: string) {
    this.#root = root;
  }

  /** @throws IoError (`ELOOP`) where a directory between the root and `path` is a symbolic link. */
  refuseLinks(path: string): void {
    for (const directory of this.#leadingTo(path)) {
      if (!look(directory)?.isSymbolicLink()) continue;
      throw new IoError(
        `${directory} is a symbolic link; what it leads to is no part of the storage ${this.#root}.`,
        { path, errno: "ELOOP" },
      );
    }
  }

  /**
   * Makes the directory of a file that is to be written; the root with the first file alone. Where that is missing
   * later, it was renamed or unmounted, and what would be written into another one is not there when it comes back.
   */
  make(path: string): void {
    if (!this.#synced.has(this.#root)) {
      for (let current = this.#root; ; current = dirname(current)) {
        this.#foreign.add(dirname(current));
        if (look(dirname(current)) || current === dirname(current)) break;
      }
    }
    const isThere = statSync(this.#root, { throwIfNoEntry: false })?.isDirectory() ?? false;
    makeDirectory(dirname(path), isThere || this.#wasThere ? this.#root : undefined);
    this.#wasThere = true;
  }

  /** Notes that the root is there. */
  saw(): void {
    this.#wasThere = true;
  }

  /** Puts a file's name on the disk, and once those that lead to it: they may be new, or of a process that died. */
  async sync(path: string): Promise<void> {
    const leading = [...this.#leadingTo(path), this.#root].filter(
      (directory) => !this.#synced.has(directory),
    );
    const own = leading
      .filter((directory) => directory !== this.#root)
      .map((directory) => dirname(directory));
    await syncDirectories([dirname(path), ...own]);
    if (leading.includes(this.#root)) for (const directory of this.#foreign) await syncForeign(directory);
    for (const directory of leading) this.#synced.add(directory);
  }

  /** Below the root. */
  #leadingTo(path: string): string[] {
    const directories: string[] = [];
    for (let current = dirname(path); current.length > this.#root.length; current = dirname(current))
      directories.push(current);
    return directories;
  }
}

function look(path: string) {
  try {
    return lstatSync(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw toIoError(error, "look at", path);
  }
}

/** A directory around the root need not be ours to read: then its entry for the root is older than we are. */
async function syncForeign(directory: string): Promise<void> {
  await syncDirectory(directory).catch((error) => {
    if (!(error instanceof IoError && ["EACCES", "EPERM"].includes(error.errno ?? ""))) throw error;
  });
}
