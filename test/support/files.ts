import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseManifestName } from "../../src/lance/manifest.ts";

/** Every file below a directory, as sorted relative paths. */
export function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
    .sort();
}

/** Directories included, with sizes and times: equal before and after means that nothing was touched. */
export function stampOf(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => {
      const { ino, size, mtimeMs } = statSync(path);
      return `${path} ${ino} ${size} ${mtimeMs}`;
    })
    .sort();
}

/** The path of a table's newest manifest. */
export function newestManifest(dataset: string): string {
  const versions = join(dataset, "_versions");
  const names = readdirSync(versions).flatMap((name) => parseManifestName(name) ?? []);
  const newest = names.sort((a, b) => b.version - a.version)[0]?.name;
  if (newest === undefined) throw new Error(`no manifest in ${versions}`);
  return join(versions, newest);
}
