import { CorruptError } from "../../errors.ts";
import { assertInnerPath } from "../../fs/safe-names.ts";
import type { EntryAttributes } from "../snapshot.ts";
import { shown } from "./shown.ts";

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
export function assertPathsApart(paths: Iterable<string | NamedPath>, place: string): void {
  const root: Node = { name: "", kind: "directory" };
  // Neighbours mostly lie in one directory.
  let [folder, node]: [string, Node | undefined] = ["", root];
  for (const named of paths) {
    const { path, isDirectory = false } = typeof named === "string" ? { path: named } : named;
    assertShort(path, place);
    assertInnerPath(path, place);
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

function assertShort(path: string, place: string): void {
  const isLong = path.length > LONGEST_PATH_BYTES || Buffer.byteLength(path) > LONGEST_PATH_BYTES;
  if (!isLong) return;
  throw new CorruptError(
    `${place} names a path of more than ${LONGEST_PATH_BYTES.toLocaleString("en")} bytes: ${shown(path)}.`,
    { path: place },
  );
}

/** Names of which this is the same are one to some file systems. */
export function fold(name: string): string {
  return name.normalize("NFC").toLowerCase();
}
