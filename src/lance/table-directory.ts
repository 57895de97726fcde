import { type Dirent, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { ifThere } from "../fs/held-root.ts";
import { toIoError } from "../fs/io.ts";
import { isConflictCopy, isStray } from "../fs/safe-names.ts";

/** The dataset in which LanceDB keeps namespaces; it is captured and put back like a table. */
export const NAMESPACE_TABLE = "__manifest";

/** LanceDB allows no `$` in a root table's name: what has one lies in a namespace, whatever its name ends in. */
export const NAMESPACED = /^[0-9a-f]{8}_(.*\$.*)$/s;

/** How LanceDB names the directory of any table that it lists in `__manifest`. */
export const LISTED = /^[0-9a-f]{8}_(.+)$/s;

/** The id that a directory of the database stands for: `0123abcd_ns$t.lance` is `ns$t.lance`, `t.lance` is `t`. */
export function idOfDirectory(directory: string): string {
  const namespaced = NAMESPACED.exec(directory)?.[1];
  if (namespaced !== undefined) return namespaced;
  if (directory.endsWith(".lance")) return directory.slice(0, -".lance".length);
  return LISTED.exec(directory)?.[1] ?? directory;
}

/** What LanceDB takes for a root table's name; it opens no other, though it lists it. */
const ROOT_NAME = /^[A-Za-z0-9_.-]+$/;

/**
 * Whether a directory is a copy of a table's, which a synchronising program or a person has made beside it: LanceDB
 * cannot open it, or it has the name of a conflict's.
 */
export function isStrayDirectory(directory: string): boolean {
  if (isConflictCopy(directory)) return true;
  return !NAMESPACED.test(directory) && !ROOT_NAME.test(idOfDirectory(directory));
}

/** What begins with a dot is no table's, unless a table is called so. */
export function isHidden(directory: string): boolean {
  return directory.startsWith(".") && !directory.endsWith(".lance");
}

/** Whether a directory is a Lance dataset. */
export function isDataset(directory: string): boolean {
  const versions = join(directory, "_versions");
  const found = ifThere(versions, () => statSync(versions, { throwIfNoEntry: false }));
  return found?.isDirectory() === true;
}

/** Of these names no two files are ever made: they hold a random id. */
const UNIQUE = ["data/", "_deletions/", "_indices/"];

/** Whether a file of a dataset, by its path in it, is the only one that ever has the name. */
export function hasUniqueName(path: string): boolean {
  return UNIQUE.some((room) => path.startsWith(room));
}

/** The paths of the files below a directory of a dataset; none where it is not there. */
export function listFiles(dataset: string, directory: string): string[] {
  const root = join(dataset, directory);
  return listEntries(root, true)
    .filter((entry) => entry.isFile() && !isStray(entry.name))
    .map((entry) => {
      const inner = entry.parentPath.slice(root.length).replaceAll("\\", "/");
      return `${directory}${inner}/${entry.name}`;
    });
}

/** What lies in a directory; nothing where it is not there. */
export function listEntries(directory: string, recursive = false): Dirent[] {
  try {
    return ifThere(directory, () => readdirSync(directory, { withFileTypes: true, recursive })) ?? [];
  } catch (error) {
    throw toIoError(error, "list", directory);
  }
}
