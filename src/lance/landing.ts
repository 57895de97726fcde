import { randomBytes } from "node:crypto";
import {
  accessSync,
  chmodSync,
  constants,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmdirSync,
  type Stats,
  statSync,
} from "node:fs";
import { rename } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ValidationError } from "../errors.ts";
import { makeDirectory, removeTree } from "../fs/directory-tree.ts";
import { syncDirectories } from "../fs/durable.ts";
import { HeldRoot } from "../fs/held-root.ts";
import { io, isMissing, toIoError } from "../fs/io.ts";
import { realPath } from "../fs/local-path.ts";
import { isStray } from "../fs/safe-names.ts";
import { takeOwner } from "../fs/take-owner.ts";
import { livenessOfToken, PROCESS_TOKEN } from "../fs/this-process.ts";
import { advice } from "../hint.ts";
import { assertOutsideTables, NAMESPACE_TABLE } from "./database.ts";

/** `<target>.partial-<snapshot>-<8 hex>`, or `periodic` for the snapshot; inside of the target without its name. */
const PARTIAL = /^\.partial-(?:\d{8}T\d{6}Z-[0-9a-f]{8}|periodic)-[0-9a-f]{8}$/;

function isLeftover(name: string, target: string): boolean {
  return name.startsWith(target) && PARTIAL.test(name.slice(target.length));
}

/** Where a new database will be. */
export interface LandingPlace {
  /** Absolute, behind any symbolic link. */
  readonly path: string;
  /** The nearest directory that there is: the target, or one around it. */
  readonly near: string;
  /** Mode bits of the empty directory that is there; undefined where none is. */
  readonly mode: number | undefined;
  /**
   * Where the files are gathered before they get their place: beside the target; inside of it where it is a mount
   * point, has strays in it, or its surroundings cannot be written to.
   */
  readonly gather: "beside" | "inside";
}

/**
 * Looks at the directory that a new database is to get, and writes nothing.
 *
 * @param linkTo the repository's directory, where files are to be linked to it.
 * @throws ValidationError where the target is a file or not empty, lies in a table, or on another file system than
 * `linkTo`.
 */
export function lookAtTarget(target: string, linkTo?: string): LandingPlace {
  nearest(target); // a link to nothing is refused
  const path = realPath(target);
  assertOutsideTables(path, "The target");
  const found = look(path);
  if (found && !found.isDirectory()) throw new ValidationError(`The target ${path} is a file.`);
  // Over an empty directory a rename goes; strays in it stay where they are.
  const hasStrays = found !== undefined && assertEmpty(path) > 0;
  const near = found ? path : nearest(dirname(path));
  const at = statSync(near);
  if (!at.isDirectory()) throw new ValidationError(`The target ${path} lies below ${near}, which is a file.`);
  if (linkTo !== undefined && statSync(linkTo).dev !== at.dev) {
    throw new ValidationError(
      advice`Links need one file system, and ${path} is on another than the repository ${linkTo}. Restore ${{ options: { link: false } }}.`,
    );
  }
  const around = dirname(path);
  const inside = found && (hasStrays || statSync(around).dev !== found.dev || !isWritable(around));
  return { path, near, mode: found && found.mode & 0o7777, gather: inside ? "inside" : "beside" };
}

/**
 * A database that is being put together beside its place, and gets there by one rename. A killed one leaves a directory
 * that says whose it was, which the next to the same target removes.
 */
export class Landing {
  readonly #place: LandingPlace;
  readonly #partial: string;
  /** The directories around the target that had to be made, outermost first. */
  readonly #made: readonly string[];
  /** Where it is put together: while it is, nobody makes that anew. */
  #held: HeldRoot | undefined;

  private constructor(place: LandingPlace, partial: string, made: readonly string[]) {
    this.#place = place;
    this.#partial = partial;
    this.#made = made;
  }

  /**
   * Makes an empty directory for the database's files. What dead restores to this target left is removed.
   *
   * @param origin the snapshot's id, or `periodic`.
   */
  static async open(place: LandingPlace, origin: string): Promise<Landing> {
    const { path, near, gather } = place;
    const [around, prefix] = gather === "beside" ? [dirname(path), basename(path)] : [path, ""];
    const made = missingParents(around);
    const partial = join(around, `${prefix}.partial-${origin}-${randomBytes(4).toString("hex")}`);
    const landing = new Landing(place, partial, made);
    try {
      makeDirectory(around, near === path ? around : near);
      landing.#held = HeldRoot.hold(around, "directory of the target");
      await removeLeftovers(around, prefix);
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
    this.#held?.assertThere();
    await removeTree(this.#partial).catch(() => undefined); // the next restore to this target removes it
    this.#held?.[Symbol.dispose]();
  }

  /** Takes everything away again. Never throws: an error has brought us here, and the next restore removes it. */
  async abandon(): Promise<void> {
    await removeTree(this.#partial).catch(() => undefined);
    this.#held?.[Symbol.dispose]();
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

async function removeLeftovers(directory: string, prefix: string): Promise<void> {
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
    return (
      owners.length > 0 && owners.every((token) => livenessOfToken(token, join(partial, token)) === "dead")
    );
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

/** How many strays there are. @throws ValidationError where there is anything else. */
function assertEmpty(path: string): number {
  let names: string[];
  try {
    names = readdirSync(path);
  } catch (error) {
    throw toIoError(error, "read", path);
  }
  const rest = names.filter((name) => !isLeftover(name, "") && !isStray(name));
  if (rest.length === 0) return names.filter(isStray).length;
  throw new ValidationError(
    `The target ${path} is not empty: it has ${rest.slice(0, 3).join(", ")}${rest.length > 3 ? ", …" : ""}. Restore into a directory that does not exist, or is empty.`,
  );
}

/** The innermost part of a path that there is. */
function nearest(path: string): string {
  return look(path) || dirname(path) === path ? path : nearest(dirname(path));
}

/** Undefined where there is nothing. */
function look(path: string): Stats | undefined {
  try {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (!found?.isSymbolicLink()) return found;
    const behind = statSync(path, { throwIfNoEntry: false });
    if (behind) return behind;
  } catch (error) {
    if (isMissing(error)) return undefined; // below a file
    throw toIoError(error, "read", path);
  }
  throw new ValidationError(`The target's ${basename(path)} is a symbolic link to nothing: ${path}.`);
}

function isWritable(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK);
    return true;
  } catch {
    return false; // the error that matters comes from what is tried instead
  }
}
