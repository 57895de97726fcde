import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PIN_ORDER, Placer } from "../../../fs/place.ts";
import { TAGS } from "../../../lance/capture.ts";
import { listManifests, VERSIONS } from "../../../lance/image.ts";
import type { SnapshotFile } from "../../snapshot.ts";

/** Directories whose files belong to versions: put back sees to them. */
const OF_VERSIONS = ["data/", "_deletions/", "_indices/", "_transactions/", `${VERSIONS}/`, "_refs/"];

/**
 * Renames good copies over live files that are damaged. Safe under open handles (docs/lance-facts.md). Manifests are
 * put back's: another one of the same number is another table's.
 */
export async function mendFiles(
  live: string,
  staged: string,
  damaged: readonly SnapshotFile[],
): Promise<void> {
  const placer = new Placer(PIN_ORDER);
  for (const { path } of damaged) {
    const isOwn = OF_VERSIONS.some((room) => path.startsWith(room)) && !/^(_versions|_refs)\//.test(path);
    if (isOwn) await placer.placeOver(join(staged, path), live, path);
  }
  await placer.sync();
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
  const versions = new Set((await listManifests(live)).map((name) => name.version));
  const leftOut: string[] = [];
  const placer = new Placer(PIN_ORDER);
  for (const path of tags) {
    const wanted = readFileSync(join(staged, path));
    if (!versions.has(versionOf(wanted))) leftOut.push(path.slice(TAGS.length + 1, -".json".length));
    else if (!existsSync(join(live, path)) || !readFileSync(join(live, path)).equals(wanted)) {
      await placer.placeOver(join(staged, path), live, path);
    }
  }
  await placer.sync();
  return leftOut;
}

/** NaN where it cannot be told. */
function versionOf(tag: Buffer): number {
  try {
    const content = JSON.parse(tag.toString("utf8")) as { version?: unknown } | null;
    return Number(content?.version);
  } catch {
    return Number.NaN;
  }
}
