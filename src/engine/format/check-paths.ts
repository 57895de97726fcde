import { CorruptError } from "../../errors.ts";
import { shown } from "../../fs/fields.ts";
import { assertInnerPath } from "../../fs/safe-names.ts";
import { fingerprint, NumberTable } from "../../util/number-table.ts";
import type { EntryAttributes } from "../snapshot.ts";

/** Bytes in UTF-8. No file system takes more at once, and what is checked piece by piece has an end. */
const LONGEST_PATH_BYTES = 4096;

/** A path to be held apart from others. */
export interface NamedPath {
  readonly path: string;
  /** Whether it is a directory, in which others may lie. */
  readonly isDirectory?: boolean | undefined;
}

/** The path of an entry, as it is captured or stored. */
export function namedPath({
  path,
  attributes,
}: {
  readonly path: string;
  readonly attributes?: EntryAttributes | undefined;
}): NamedPath {
  return { path, isDirectory: attributes?.directory };
}

const ASCII = /^[\0-\x7f]*$/;

/** More paths are looked at by their fingerprints first, in a twentieth of the memory. */
const MANY_PATHS = 1000;

/**
 * Paths that come one after the other, of which only directories are kept. Files are told apart by fingerprints, so that those of
 * two that differ may be the same: then `assertPathsApart` has to say.
 */
export class PathsSeen {
  readonly #files = new NumberTable();
  /** By their folded paths, as they were first spelt. */
  readonly #directories = new Map<string, string>();
  readonly #entered = new Set<string>();
  #folder = "";
  #mayClash = false;

  add({ path, isDirectory = false }: NamedPath): void {
    const folder = path.slice(0, Math.max(path.lastIndexOf("/"), 0));
    if (folder !== this.#folder) this.#enter(folder);
    this.#folder = folder;
    const folded = fold(path);
    if (isDirectory) {
      this.#enter(path);
      if (this.#entered.has(folded)) this.#mayClash = true;
      this.#entered.add(folded);
    } else if (this.#files.add(fingerprint(folded), 0) !== undefined) this.#mayClash = true;
  }

  /** Whether paths may clash, when all were added. Where it is false none do. */
  mayClash(): boolean {
    if (this.#mayClash) return true;
    for (const folded of this.#directories.keys())
      if (this.#files.get(fingerprint(folded)) !== undefined) return true;
    return false;
  }

  #enter(directory: string): void {
    for (let end = directory.length; end > 0; end = directory.lastIndexOf("/", end - 1)) {
      const path = directory.slice(0, end);
      const folded = fold(path);
      const known = this.#directories.get(folded);
      if (known === path) return; // and those above it
      if (known !== undefined) this.#mayClash = true;
      else this.#directories.set(folded, path);
    }
  }
}

/** What one name in a directory stands for. */
interface Node {
  /** As it was first spelt. */
  readonly name: string;
  /** Undefined: named only as the directory of others so far. */
  kind: "file" | "directory" | undefined;
  /** By their folded names. */
  inside?: Map<string, Node>;
}

/**
 * Holds the paths of one directory to what every file system can hold apart: inside of it, none twice, none that
 * differs from another by the case of letters alone, none that is the directory of another, unless it is said to be one.
 * Takes time and memory by the letters of the paths alone.
 *
 * @throws CorruptError naming `place` and the path.
 */
export function assertPathsApart(paths: readonly (string | NamedPath)[], place: string): void {
  if (paths.length > MANY_PATHS) {
    const seen = new PathsSeen();
    for (const each of paths) {
      const named = typeof each === "string" ? { path: each } : each;
      assertPath(named.path, place);
      seen.add(named);
    }
    if (!seen.mayClash()) return;
  }
  assertEachApart(paths, place);
}

/** The same, and the first that clashes with another named. */
export function assertEachApart(paths: Iterable<string | NamedPath>, place: string): void {
  const root: Node = { name: "", kind: "directory" };
  // Neighbours mostly lie in one directory.
  let [folder, node]: [string, Node | undefined] = ["", root];
  for (const named of paths) {
    const { path, isDirectory = false } = typeof named === "string" ? { path: named } : named;
    assertPath(path, place);
    const end = path.lastIndexOf("/");
    const parent = path.slice(0, Math.max(end, 0));
    if (parent !== folder) [folder, node] = [parent, folderOf(root, parent)];
    if (!node || !put(node, path.slice(end + 1), isDirectory ? "directory" : "file")) {
      throw new CorruptError(`${place} names a path that clashes with another in it: ${shown(path)}.`, {
        path: place,
      });
    }
  }
}

/** Undefined where it clashes with what is there. */
function folderOf(root: Node, path: string): Node | undefined {
  let node: Node | undefined = root;
  for (const name of path === "" ? [] : path.split("/")) node = node && enter(node, name);
  return node;
}

function enter(node: Node, name: string): Node | undefined {
  const folded = fold(name);
  const known = node.inside?.get(folded);
  if (known) return known.name === name && known.kind !== "file" ? known : undefined;
  const made: Node = { name, kind: undefined };
  node.inside ??= new Map();
  node.inside.set(folded, made);
  return made;
}

/** False where it clashes with what is there. */
function put(node: Node, name: string, kind: "file" | "directory"): boolean {
  const folded = fold(name);
  const known = node.inside?.get(folded);
  if (!known) {
    node.inside ??= new Map();
    node.inside.set(folded, { name, kind });
    return true;
  }
  if (known.name !== name || known.kind !== undefined || kind === "file") return false;
  known.kind = kind;
  return true;
}

/** @throws CorruptError naming `place`, for one that is too long, or leaves its directory. */
export function assertPath(path: string, place: string): void {
  const isLong = path.length > LONGEST_PATH_BYTES || Buffer.byteLength(path) > LONGEST_PATH_BYTES;
  if (!isLong) {
    assertInnerPath(path, place);
    return;
  }
  throw new CorruptError(
    `${place} names a path of more than ${LONGEST_PATH_BYTES.toLocaleString("en")} bytes: ${shown(path)}.`,
    { path: place },
  );
}

/** Names of which this is the same are one to some file systems. */
export function fold(name: string): string {
  return (ASCII.test(name) ? name : name.normalize("NFC")).toLowerCase();
}
