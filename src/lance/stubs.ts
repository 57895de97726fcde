import { lstatSync, readdirSync, readlinkSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { isMissing, toIoError } from "../fs/io.ts";
import { listManifests } from "./manifest.ts";
import { isStrayDirectory, NAMESPACED } from "./table-directory.ts";

const ENDING = ".lance";

/**
 * The names in a database that LanceDB lists as tables and cannot open: files, and directories without a manifest, as
 * an interrupted creation, a copy that was cut short or a synchronised directory leaves them.
 *
 * @param except names that are known to be tables
 */
export async function listStubs(
  database: string,
  except: ReadonlySet<string> = new Set(),
): Promise<string[]> {
  let names: string[];
  try {
    names = await readdir(database);
  } catch (error) {
    if (isMissing(error)) return [];
    throw toIoError(error, "list", database);
  }
  const stubs: string[] = [];
  for (const name of names.sort()) {
    if (!name.endsWith(ENDING) || NAMESPACED.test(name) || isStrayDirectory(name) || except.has(name))
      continue;
    if ((await listManifests(join(database, name))).length > 0) continue;
    if (lstatSync(join(database, name), { throwIfNoEntry: false })) stubs.push(name);
  }
  return stubs;
}

/** Whether a name is taken by anything but an empty directory. */
export function isOccupied(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found?.isDirectory()) return found !== undefined;
  return readdirSync(path).length > 0;
}

/** A directory, not a link to one: it can be moved out of the way, with all that is in it. */
export function isRealDirectory(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Whether a table's directory is a symbolic link, mostly to another disk. */
export function isLinked(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
}

/** Where a table's directory really lies, absolute, if it is a symbolic link; there may be nothing. */
export function linkTarget(path: string): string | undefined {
  return isLinked(path) ? resolve(dirname(path), readlinkSync(path)) : undefined;
}

/** A file has no place for a table, and LanceDB leaves it alone. */
export function isPlainFile(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isFile() === true;
}
