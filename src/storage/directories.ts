import { lstatSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { IoError } from "../errors.ts";
import { makeDirectory } from "../fs/directory-tree.ts";
import { syncDirectories, syncDirectory } from "../fs/durable.ts";
import { isMissing, toIoError } from "../fs/io.ts";

/** What a power cut may undo is on the disk after so long, if no other name has taken it along before. */
const LATER_MS = 1000;

/** The directories of a local storage: no links below the root, and their names on the disk. */
export class Directories {
  readonly #root: string;
  /** Those whose own names are on the disk. */
  readonly #synced = new Set<string>();
  /** Around the root, where names were made for it. */
  readonly #foreign = new Set<string>();
  /** Those with names that may be lost, and are to be on the disk soon. */
  readonly #later = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  /** The root was there once: what is missing since is away, and is not made. */
  #wasThere = false;

  constructor(root: string) {
    this.#root = root;
  }

  /**
   * @param seen directories that were looked at a moment ago; those that are looked at now are added.
   * @throws IoError (`ELOOP`) where a directory between the root and `path` is a symbolic link.
   */
  refuseLinks(path: string, seen?: Set<string>): void {
    for (const directory of this.#leadingTo(path)) {
      if (seen?.has(directory)) return; // and so were those above it
      seen?.add(directory);
      if (!look(directory)?.isSymbolicLink()) continue;
      throw new IoError(
        `${directory} is a symbolic link; what it leads to is not part of the storage ${this.#root}.`,
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

  /**
   * Leaves a directory's names to be put on the disk with the next ones that must be there, or a little later. A disk waits
   * as long for two directories as for one.
   */
  syncLater(path: string): void {
    this.#later.add(dirname(path));
    this.#timer ??= setTimeout(() => void this.#syncLeft(), LATER_MS).unref();
  }

  /** Puts a file's name on the disk, and once those that lead to it: they may be new, or of a process that died. */
  async sync(path: string): Promise<void> {
    const left = this.#syncLeft();
    try {
      await this.#syncNow(path);
    } finally {
      await left;
    }
  }

  async #syncNow(path: string): Promise<void> {
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

  /** Never throws: these may be lost, and their directory may be gone. */
  async #syncLeft(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const left = [...this.#later];
    this.#later.clear();
    await syncDirectories(left).catch(() => undefined);
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
