import { randomBytes } from "node:crypto";
import { chmodSync, lstatSync, mkdirSync, readdirSync, rmdirSync } from "node:fs";
import { rename } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { syncDirectories } from "../../fs/durable.ts";
import { io } from "../../fs/io.ts";
import { makeDirectory } from "../../fs/make-directory.ts";
import { takeOwner } from "../../fs/owner.ts";
import { livenessOfToken, PROCESS_TOKEN } from "../../fs/process-token.ts";
import { removeTree } from "../../fs/remove-tree.ts";
import { NAMESPACE_TABLE } from "../../lance/database.ts";
import type { TargetPlace } from "./target.ts";

/** `<target>.partial-<snapshot>-<8 hex>`; inside of the target without its name. */
const PARTIAL = /^\.partial-\d{8}T\d{6}Z-[0-9a-f]{8}-[0-9a-f]{8}$/;

export function isLeftover(name: string, target: string): boolean {
  return name.startsWith(target) && PARTIAL.test(name.slice(target.length));
}

/** A database that is being put together beside its place, and gets there by one rename. */
export class Landing {
  readonly #place: TargetPlace;
  readonly #partial: string;
  /** The directories around the target that had to be made, outermost first. */
  readonly #made: readonly string[];

  private constructor(place: TargetPlace, partial: string, made: readonly string[]) {
    this.#place = place;
    this.#partial = partial;
    this.#made = made;
  }

  /** Makes an empty directory for the database's files. What dead restores to this target left is swept. */
  static async open(place: TargetPlace, snapshot: string): Promise<Landing> {
    const { path, gather } = place;
    const [around, prefix] = gather === "beside" ? [dirname(path), basename(path)] : [path, ""];
    const made = missingParents(around);
    const partial = join(around, `${prefix}.partial-${snapshot}-${randomBytes(4).toString("hex")}`);
    const landing = new Landing(place, partial, made);
    try {
      makeDirectory(around);
      await sweep(around, prefix);
      await io("write", partial, () => {
        for (const directory of [partial, landing.directory]) {
          mkdirSync(directory);
          takeOwner(directory);
        }
      });
      return landing;
    } catch (error) {
      await landing.abandon();
      throw error;
    }
  }

  /** Where the database's files go: its name says whose it is, from the moment at which it is there. */
  get directory(): string {
    return join(this.#partial, PROCESS_TOKEN);
  }

  /** Gives the database, whose files are on the disk, its place; on the disk when it returns. */
  async finish(): Promise<void> {
    const { path, gather, mode } = this.#place;
    if (mode !== undefined) chmodSync(this.directory, mode);
    await syncDirectories([this.directory]);
    if (gather === "beside") await this.#rename(this.directory, path);
    else await this.#moveInto(path);
    await syncDirectories([path, dirname(path), ...this.#made.map((directory) => dirname(directory))]);
    await removeTree(this.#partial).catch(() => undefined); // the next restore to this target sweeps it
  }

  /** Takes everything away again. Never throws: an error has brought us here, and the next restore sweeps. */
  async abandon(): Promise<void> {
    await removeTree(this.#partial).catch(() => undefined);
    for (const directory of this.#made.toReversed()) {
      try {
        rmdirSync(directory);
      } catch {
        return; // others have put something there
      }
    }
  }

  async #rename(from: string, to: string): Promise<void> {
    await io("restore to", to, () => rename(from, to));
  }

  /** One table after the other, the list of namespaces last; back again where one cannot be moved. */
  async #moveInto(path: string): Promise<void> {
    const names = readdirSync(this.directory).sort(
      (a, b) => Number(a === NAMESPACE_TABLE) - Number(b === NAMESPACE_TABLE),
    );
    const moved: string[] = [];
    try {
      for (const name of names) {
        await this.#rename(join(this.directory, name), join(path, name));
        moved.push(name);
      }
    } catch (error) {
      for (const name of moved.reverse()) await this.#rename(join(path, name), join(this.directory, name));
      throw error;
    }
  }
}

async function sweep(directory: string, prefix: string): Promise<void> {
  for (const name of readdirSync(directory)) {
    if (!isLeftover(name, prefix)) continue;
    const path = join(directory, name);
    if (isDead(path)) await removeTree(path);
  }
}

/** An empty one has been made just now, or been left by its last rename: it goes if it stays empty. */
function isDead(partial: string): boolean {
  try {
    const owners = readdirSync(partial);
    if (owners.length === 0) rmdirSync(partial);
    return owners.length > 0 && owners.every((token) => livenessOfToken(token) === "dead");
  } catch {
    return false; // somebody else takes it away, or fills it
  }
}

function missingParents(directory: string): string[] {
  const missing: string[] = [];
  for (let current = directory; !lstatSync(current, { throwIfNoEntry: false }); current = dirname(current)) {
    missing.push(current);
  }
  return missing.reverse();
}
