import { dirname, join } from "node:path";
import { syncDirectories, syncIfThere } from "../fs/durable.ts";
import { isMissing } from "../fs/io.ts";
import { forEachParallel } from "../util/parallel.ts";
import { ImageReader } from "./image.ts";
import { listManifests, type ManifestName, manifestPath } from "./manifest.ts";
import { findManifest, LOOKS, vanishing } from "./put-back/table-state.ts";

// LanceDB syncs nothing itself.

/** Puts the newest version on the disk. Whoever has committed it: it holds what was committed before. */
export async function syncNewest(dataset: string): Promise<void> {
  for (let look = 1; ; look++) {
    const newest = (await listManifests(dataset)).slice(0, 1);
    // One that is cleaned up meanwhile has a newer one after it.
    if ((await syncVersions(new ImageReader(dataset), newest)) === newest.length) return;
    if (look === LOOKS) throw vanishing(dataset);
  }
}

/**
 * Puts on the disk what has come since a version, or all where there was none. Where the version is not there, the table
 * may have been dropped and made anew: then all that is there is new.
 */
export async function syncNewVersions(
  dataset: string,
  since: { readonly version: number; readonly digest: string } | undefined,
): Promise<void> {
  const reader = new ImageReader(dataset);
  const manifests = await listManifests(dataset);
  const before = since && (await findManifest(dataset, since.version, since.digest, manifests));
  const old = before ? (await reader.read(before)).files.map((file) => file.path) : [];
  const newer = manifests.filter((name) => name.version > (before?.version ?? 0));
  await syncVersions(reader, newer, new Set(old));
}

/** How many files are synced at once. */
const AT_ONCE = 16;

/**
 * Files that are not known, then the manifests that name them, then the directories.
 *
 * @returns how many of the versions were still there.
 */
async function syncVersions(
  reader: ImageReader,
  manifests: readonly ManifestName[],
  known: ReadonlySet<string> = new Set(),
): Promise<number> {
  const fresh = new Set<string>();
  const heads: string[] = [];
  for (const manifest of manifests) {
    try {
      for (const { path } of (await reader.read(manifest)).files) if (!known.has(path)) fresh.add(path);
      heads.push(manifestPath(manifest.name));
    } catch (error) {
      if (!isMissing(error)) throw error; // cleaned up meanwhile: no version any more
    }
  }
  const { dataset } = reader;
  for (const paths of [fresh, heads]) {
    await forEachParallel(paths, AT_ONCE, (path) => syncIfThere(join(dataset, path)));
  }
  await syncDirectories([dataset, ...[...fresh, ...heads].map((path) => join(dataset, dirname(path)))]);
  return heads.length;
}
