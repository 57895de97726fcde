import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { listNames } from "../../../../fs/directory-tree.ts";
import { PIN_ORDER, Placer } from "../../../../fs/placer.ts";
import { TAGS } from "../../../../lance/capture.ts";
import { VERSIONS } from "../../../../lance/manifest.ts";
import { digestOfVersion } from "../../../../lance/put-back/table-state.ts";
import { tagOfFile, versionOfTag } from "../../../../lance/tag-file.ts";
import type { SnapshotFile } from "../../snapshot-view.ts";

/** Directories whose files belong to versions: put back sees to them. */
const OF_VERSIONS = ["data/", "_deletions/", "_indices/", "_transactions/", `${VERSIONS}/`, "_refs/"];

/**
 * Renames good copies over live files that are damaged. Safe under open handles (docs/lance-facts.md). Manifests are
 * put back's: another one of the same number is another table's.
 */
export async function healFiles(
  live: string,
  staged: string,
  damaged: readonly SnapshotFile[],
): Promise<void> {
  const placer = new Placer(PIN_ORDER);
  for (const { path } of damaged) {
    if (isContent(path)) await placer.placeOver(join(staged, path), live, path);
  }
  await placer.sync();
}

/**
 * Files of older versions that the live table has lost come back, where it has every version of the snapshot still:
 * otherwise a cleanup has taken them, as it should. Those of the version that is restored are put back's.
 */
export async function placeMissing(
  live: string,
  staged: string,
  files: readonly SnapshotFile[],
): Promise<void> {
  const manifests = files.filter(({ path }) => path.startsWith(`${VERSIONS}/`));
  if (!manifests.every(({ path }) => existsSync(join(live, path)))) return;
  const placer = new Placer(PIN_ORDER);
  for (const { path } of files) {
    if (isContent(path) && !existsSync(join(live, path))) await placer.place(staged, live, path);
  }
  await placer.sync();
}

/** Files that manifests name. */
function isContent(path: string): boolean {
  return OF_VERSIONS.some((room) => path.startsWith(room)) && !/^(_versions|_refs)\//.test(path);
}

/** Files that belong to the table rather than to a version come where they are missing. */
export async function placeOwnFiles(
  live: string,
  staged: string,
  files: readonly SnapshotFile[],
): Promise<void> {
  const placer = new Placer(PIN_ORDER);
  for (const { path } of files) {
    const isOwn = !OF_VERSIONS.some((room) => path.startsWith(room));
    if (isOwn && !existsSync(join(live, path))) await placer.place(staged, live, path);
  }
  await placer.sync();
}

/** The snapshot's tags are what they were; others stay. Answers with those whose version is not there. */
export async function putTags(
  live: string,
  staged: string,
  files: readonly SnapshotFile[],
): Promise<string[]> {
  const tags = files.map(({ path }) => path).filter((path) => path.startsWith(`${TAGS}/`));
  if (tags.length === 0) return [];
  const leftOut: string[] = [];
  const placer = new Placer(PIN_ORDER);
  for (const path of tags) {
    const wanted = readFileSync(join(staged, path));
    // The same manifest, not the same number alone: that may be another table's, made anew under the name.
    const meant = meaningOf(wanted, staged);
    if (meant === "" || meaningOf(wanted, live) !== meant) leftOut.push(nameOf(path));
    else if (!existsSync(join(live, path)) || !readFileSync(join(live, path)).equals(wanted)) {
      await placer.placeOver(join(staged, path), live, path);
    }
  }
  await placer.sync();
  return leftOut;
}

/** What each tag of a live table names now: the digest of its version's manifest, empty where there is none. */
export function meaningsOfTags(live: string): Map<string, string> {
  const meanings = new Map<string, string>();
  for (const name of listNames(join(live, TAGS))) {
    if (tagOfFile(name) === undefined) continue;
    meanings.set(nameOf(`${TAGS}/${name}`), meaningOf(readFileSync(join(live, TAGS, name)), live));
  }
  return meanings;
}

function meaningOf(tag: Buffer, dataset: string): string {
  const version = versionOfTag(tag);
  return Number.isSafeInteger(version) ? digestOfVersion(dataset, version) : "";
}

function nameOf(path: string): string {
  return path.slice(TAGS.length + 1, -".json".length);
}
