import { type Dirent, lstatSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, io, isMissing, toIoError } from "../../fs/io.ts";
import { livenessOfToken } from "../../fs/process-token.ts";
import type { Storage } from "../../storage/storage.ts";
import { BLOBS, LEASES, MARKS, SNAPSHOTS, UNFINISHED } from "../format/names.ts";

/** A snapshot that is open: links of a process. */
const OPENED = /^\.open-([^.]+)\./;
const BLOB_FOLDER = /^[0-9a-f]{2}$/;

/** Nobody writes for so long without a byte. */
const LEAST_AGE_MS = 60 * 60 * 1000;

/**
 * What processes that died left half-written, where the repository is a local directory: paths of files and
 * directories whose names say that their maker is dead; where its life cannot be told, those in which nothing has
 * changed for `ageMs`, an hour at least, unless somebody is at work.
 *
 * @param options.now milliseconds since 1970.
 */
export async function findUnfinished(
  storage: Storage,
  options: { readonly now: number; readonly ageMs: number; readonly isBusy: boolean },
): Promise<string[]> {
  const root = storage.directory;
  if (root === undefined) return [];
  const blobs = join(root, BLOBS);
  const folders = (await entriesOf(blobs)).filter(
    (entry) => entry.isDirectory() && BLOB_FOLDER.test(entry.name),
  );
  const places = [root, blobs, ...[SNAPSHOTS, LEASES, MARKS].map((folder) => join(root, folder))];
  places.push(...folders.map((entry) => join(blobs, entry.name)));
  const found: string[] = [];
  for (const place of places) {
    for (const { name } of await entriesOf(place)) {
      const opener = OPENED.exec(name)?.[1];
      const path = join(place, name);
      if (opener !== undefined && livenessOfToken(opener, path) === "dead") found.push(path);
      if (!UNFINISHED.test(name)) continue;
      const life = livenessOfToken(name.split(".")[1] ?? "", path);
      if (life === "dead" || (life === "unknown" && (await isOld(path, options)))) found.push(path);
    }
  }
  return found;
}

export async function removeUnfinished(paths: readonly string[]): Promise<void> {
  for (const path of paths) await io("remove", path, () => rm(path, { recursive: true, force: true }));
}

async function isOld(
  path: string,
  { now, ageMs, isBusy }: Parameters<typeof findUnfinished>[1],
): Promise<boolean> {
  const changed = isBusy ? undefined : await newestChange(path);
  return changed !== undefined && now - changed > Math.max(ageMs, LEAST_AGE_MS);
}

/** When a file, or anything in a directory, was last written; undefined where it is gone. */
async function newestChange(path: string): Promise<number | undefined> {
  try {
    const found = lstatSync(path);
    if (!found.isDirectory()) return found.mtimeMs;
    const inside = await Promise.all(
      (await entriesOf(path)).map(({ name }) => newestChange(join(path, name))),
    );
    return Math.max(found.mtimeMs, ...inside.map((time) => time ?? 0));
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw errnoOf(error) === "IO" ? error : toIoError(error, "look at", path);
  }
}

async function entriesOf(directory: string): Promise<Dirent[]> {
  try {
    return await readdir(directory, { withFileTypes: true });
  } catch (error) {
    if (isMissing(error)) return [];
    throw toIoError(error, "list", directory);
  }
}
