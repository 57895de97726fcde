import { linkSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import type { BlobStore } from "../../../../engine/blobs/blob-store.ts";
import { writeFiles } from "../../../../engine/restore/write-files.ts";
import { makeDirectory } from "../../../../fs/directory-tree.ts";
import { toIoError } from "../../../../fs/io.ts";
import { runTasks } from "../../../../fs/workers/pool.ts";
import { hasUniqueName } from "../../../../lance/table-directory.ts";
import type { SnapshotFile } from "../../snapshot-view.ts";
import type { RestoreOptions } from "../restore-options.ts";
import type { SelectedTable } from "../select.ts";

export interface Staged {
  /** A dataset with every file of the table. */
  readonly dataset: string;
  /** Files that the live table has under the same path with another content. */
  readonly damaged: readonly SnapshotFile[];
}

/**
 * Gathers the files of tables in a directory inside the database: by links to those that the live tables have with
 * the right content, from blobs otherwise. All verified and on the disk when it returns; the live tables are as they
 * were.
 */
export async function stage(
  blobs: BlobStore,
  tables: readonly { readonly selected: SelectedTable; readonly live: string }[],
  directory: string,
  options: Pick<RestoreOptions, "verify" | "parallel" | "signal" | "onProgress">,
): Promise<Staged[]> {
  const staged: Staged[] = [];
  const rest: SelectedTable[] = [];
  for (const { selected, live } of tables) {
    const dataset = join(directory, selected.directory);
    const same = await unchanged(selected.files, live, options);
    const missing: SnapshotFile[] = [];
    const damaged: SnapshotFile[] = [];
    for (const file of selected.files) {
      if (same.has(file) && link(join(live, file.path), join(dataset, file.path))) continue;
      missing.push(file);
      if (statSync(join(live, file.path), { throwIfNoEntry: false })) damaged.push(file);
    }
    rest.push({ ...selected, files: missing });
    staged.push({ dataset, damaged });
  }
  await writeFiles({ ...options, blobs, directory, tables: rest });
  return staged;
}

/**
 * Files that the live table has with the right content; with `verify: false`, of the right size, where LanceDB gives
 * their names only once. (Tags and manifests are written again under the same names, often of the same size.)
 */
async function unchanged(
  files: readonly SnapshotFile[],
  live: string,
  { verify = true, parallel, signal }: Pick<RestoreOptions, "verify" | "parallel" | "signal">,
): Promise<Set<SnapshotFile>> {
  const candidates = files
    .map((file) => ({ path: join(live, file.path), file }))
    .filter(({ path, file }) => statSync(path, { throwIfNoEntry: false })?.size === file.size);
  const isTrusted = ({ file }: (typeof candidates)[number]) => !verify && hasUniqueName(file.path);
  const same = new Set(candidates.filter(isTrusted).map(({ file }) => file));
  const questioned = candidates.filter((candidate) => !isTrusted(candidate));
  try {
    await runTasks("hash", questioned, {
      bytesOf: (task) => (task as (typeof candidates)[number]).file.size,
      onDone: (task, { sha256 }) => {
        const { file } = task as (typeof candidates)[number];
        if (sha256 === file.sha256) same.add(file);
      },
      parallel,
      signal,
    });
  } catch (error) {
    signal?.throwIfAborted();
    throw toIoError(error, "read", live);
  }
  return same;
}

/** False where the file cannot be linked, or is gone by now. */
function link(from: string, to: string): boolean {
  makeDirectory(dirname(to));
  try {
    linkSync(from, to);
    return true;
  } catch {
    return false; // the blob is copied
  }
}
