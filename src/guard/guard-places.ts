import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { IoError } from "../errors.ts";
import { makeDirectory } from "../fs/directory-tree.ts";
import { HeldRoot, holding } from "../fs/held-root.ts";

/** Longer than a directory is away while somebody renames it, or its disk is mounted anew. */
const MOMENT_MS = 200;

/**
 * The directories of one manager: its database, and where directory copies go. Each is made where it is missing before
 * it was ever seen, as LanceDB makes a database; from then on one that is missing is away, and is not made.
 */
export class GuardPlaces {
  readonly #seen = new Set<string>();

  /** Makes a directory for the first operation that needs it. @throws IoError where it was there, and is not now. */
  begin(path: string, what: string): void {
    if (!this.isThere(path, what)) makeDirectory(path);
    this.#seen.add(path);
  }

  /** @throws IoError where it was there, and is not now. */
  isThere(path: string, what: string): boolean {
    const isThere = existsSync(path);
    if (isThere) this.#seen.add(path);
    if (isThere || !this.#seen.has(path)) return isThere;
    throw new IoError(
      `The ${what} ${path} is not there any more. Is its disk mounted, was it renamed? To start over, make the directory.`,
      { path, errno: "ENOENT" },
    );
  }

  /** Makes a database again that is lost, to be restored; not one that is away for a moment. */
  async makeLost(database: string): Promise<void> {
    if (existsSync(database)) return;
    await sleep(MOMENT_MS);
    makeDirectory(database);
  }

  /** Runs what needs the directories; those that are not there yet are its own matter. */
  async inPlace<T>(
    roots: readonly { readonly path: string; readonly what: string }[],
    task: () => Promise<T>,
  ): Promise<T> {
    return holding(
      roots.filter(({ path, what }) => this.isThere(path, what)),
      task,
    );
  }

  /** Holds the directories for guarded work, whose commit is proof that they are there: it lies in them. */
  hold(roots: readonly { readonly path: string; readonly what: string }[]): Disposable {
    const held: HeldRoot[] = [];
    const release = () => {
      for (const root of held) root[Symbol.dispose]();
    };
    try {
      for (const { path, what } of roots) {
        this.begin(path, what);
        held.push(HeldRoot.hold(path, what));
      }
    } catch (error) {
      release();
      throw error;
    }
    return { [Symbol.dispose]: release };
  }
}
