import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { ifThere } from "../../fs/held-root.ts";
import { isStray } from "../../fs/safe-names.ts";
import { TAGS } from "../../lance/capture.ts";
import type { TableLocation } from "../../lance/database.ts";
import { listManifests, manifestPath } from "../../lance/manifest.ts";
import { tagOfFile } from "../../lance/tag-file.ts";
import type { CapturedTable, KnownTable } from "./table-capture.ts";

const BRANCHES = "_refs/branches";

/**
 * A table of which nothing has changed since it was captured: its manifests, tags and branches are the same, and
 * every file is there with the size, number and time that it had. Undefined where anything is not.
 *
 * By size, number and time of modification alone a file is known again: making and removing links, as backups do,
 * changes its time of change.
 */
export async function reuseUnchanged(
  database: string,
  location: TableLocation,
  known: KnownTable,
  history: "all" | "latest",
): Promise<CapturedTable | undefined> {
  const dataset = join(database, location.directory);
  if (known.leftOut.length > 0 || list(dataset, BRANCHES).some((name) => !isStray(name))) return undefined;
  const manifests = (await listManifests(dataset)).map(({ name }) => manifestPath(name));
  const wanted = history === "all" ? manifests : manifests.slice(0, 1);
  const tags = list(dataset, TAGS).filter((name) => tagOfFile(name) !== undefined);
  const listed = new Set([...wanted, ...tags.map((name) => `${TAGS}/${name}`)]);
  for (const { path } of known.files) {
    if (path.startsWith("_versions/") || path.startsWith(`${TAGS}/`)) {
      if (!listed.delete(path)) return undefined;
    }
  }
  if (listed.size > 0) return undefined;
  for (const file of known.files) {
    const now = statSync(join(dataset, file.path), { throwIfNoEntry: false });
    const same = now?.size === file.size && now.ino === file.inode && now.mtimeMs === file.mtimeMs;
    if (!same) return undefined;
  }
  return {
    ...known,
    id: location.id,
    files: known.files.map((file) => ({ ...file, location: join(dataset, file.path) })),
  };
}

function list(dataset: string, directory: string): string[] {
  const path = join(dataset, directory);
  return ifThere(path, () => readdirSync(path)) ?? [];
}
