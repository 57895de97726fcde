import { join } from "node:path";
import type { Connection } from "@lancedb/lancedb";
import { assertKnown, assertSignal } from "../../checks.ts";
import type { BlobStore } from "../../engine/blobs/blob-store.ts";
import { assertSpace } from "../../engine/restore/assert-space.ts";
import { writeFiles } from "../../engine/restore/write-files.ts";
import { makeScratch } from "../../engine/scratch.ts";
import { makeDirectory } from "../../fs/directory-tree.ts";
import { NAMESPACE_TABLE } from "../../lance/database.ts";
import type { LanceDB } from "../../lance/which-lancedb.ts";
import { linkBlobs } from "./link-blobs.ts";
import { assertSelection, type Selection } from "./restore/restore-options.ts";
import { type Selected, select } from "./restore/select.ts";
import type { SnapshotContent } from "./snapshot-view.ts";

export interface OpenOptions extends Selection {
  /** Of which database the snapshot is to be, by its id or its directory: where the repository has several. */
  source?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** A snapshot, opened: a LanceDB connection that is given back with `await using`. */
export type OpenedSnapshot = Connection & AsyncDisposable;

/**
 * Opens a snapshot as a database, without restoring it: links to its blobs in a temporary directory, made in
 * milliseconds. What is written there goes with the directory and reaches no blob, nor any other opened snapshot. Its
 * digests are not looked at; `verify` and `restore` do that.
 *
 * By hard links it stays readable whatever becomes of the snapshot meanwhile; by symbolic links, where the repository
 * cannot be written to, only while its blobs are there. From a storage that is not local, all files are fetched first,
 * and compared with their digests.
 *
 * Leave it by `await using`, or `close()` and then `[Symbol.asyncDispose]()`. Of a process that dies, the next one
 * removes the directory.
 *
 * @throws ValidationError where a table or version is not in the snapshot. @throws CorruptError naming file and blob
 * where one is missing or has another size.
 */
export async function openSnapshot(
  { blobs, lancedb }: { readonly blobs: BlobStore; readonly lancedb: LanceDB },
  content: SnapshotContent,
  options: OpenOptions = {},
): Promise<OpenedSnapshot> {
  assertKnown(options, "openSnapshot", {
    tables: true,
    at: true,
    versions: true,
    source: true,
    signal: true,
  });
  assertSelection(options);
  const { signal } = options;
  assertSignal(signal);
  signal?.throwIfAborted();
  const selected = await select(blobs, content, options, signal);
  const scratch = await makeScratch(blobs);
  try {
    const database = join(scratch.directory, "database");
    await fill(blobs, selected, database, signal);
    if (selected.tables.some((table) => table.id === NAMESPACE_TABLE)) {
      const { dropMissingTables } = await import("../../lance/namespaces.ts");
      await dropMissingTables(lancedb, database, scratch.directory);
    }
    for (const { directory, lacksIndices } of selected.tables) {
      if (!lacksIndices) continue;
      const { dropBrokenIndices } = await import("../../lance/broken-indices.ts");
      await dropBrokenIndices(lancedb, scratch.directory, join(database, directory));
    }
    const connection = await lancedb.connect(database);
    return Object.assign(connection, {
      async [Symbol.asyncDispose]() {
        connection.close();
        await scratch.remove();
      },
    });
  } catch (error) {
    await scratch.remove().catch(() => undefined); // the next one removes it
    throw error;
  }
}

async function fill(
  blobs: BlobStore,
  { tables }: Selected,
  database: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { local } = blobs;
  if (local && tables.every(({ files }) => files.every((file) => !file.pieces))) {
    return linkBlobs(local, blobs, tables, database, signal);
  }
  assertSpace(join(database, ".."), tables);
  makeDirectory(database);
  await writeFiles({ blobs, directory: database, tables, signal });
}
