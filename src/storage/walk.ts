import { type Dirent, lstatSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { ifThere, ifThereLater } from "../fs/held-root.ts";
import { toIoError } from "../fs/io.ts";
import { isObjectName, type StoredObject } from "./object-name.ts";

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
export async function entriesOf(directory: string): Promise<Dirent[]> {
  try {
    return (await ifThereLater(directory, () => readdir(directory, { withFileTypes: true }))) ?? [];
  } catch (error) {
    throw toIoError(error, "list", directory);
  }
}
