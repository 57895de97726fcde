import { copyFileSync, linkSync, lstatSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { wrongSize } from "../../engine/blobs/blob-errors.ts";
import type { BlobStore } from "../../engine/blobs/blob-store.ts";
import { blobName } from "../../engine/format/names.ts";
import { makeDirectory } from "../../fs/directory-tree.ts";
import { errnoOf, isMissing, toIoError } from "../../fs/io.ts";
import { hasNoLinks } from "../../fs/name-file.ts";
import type { LocalFiles } from "../../storage/local-files.ts";
import type { SelectedTable } from "./restore/select.ts";

type Method = (blob: string, target: string) => void;

/** The first that works here serves for all. */
const METHODS: readonly Method[] = [
  linkSync,
  (blob, target) => symlinkSync(blob, target, "file"),
  copyFileSync,
];

/** Errors by which a file system says that it cannot do this at all, or not between these two places. */
const CANNOT = ["EROFS"];

/** Links are made in stretches of this many, so that a long list does not hold the event loop. */
const STRETCH = 512;

/**
 * Gives blobs the names of a database's files below `directory`: by hard links, else symbolic links, else copies.
 *
 * @throws CorruptError naming file and blob where one is missing or has another size.
 */
export async function linkBlobs(
  local: LocalFiles,
  { storage }: BlobStore,
  tables: readonly SelectedTable[],
  directory: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const methods = [...METHODS];
  const made = new Set<string>();
  let sinceYield = 0;
  for (const table of tables) {
    for (const file of table.files) {
      if (++sinceYield % STRETCH === 0) {
        await new Promise((resolve) => setImmediate(resolve));
        signal?.throwIfAborted();
      }
      const blob = local.pathOf(blobName(file.sha256));
      const target = join(directory, table.directory, file.path);
      const inner = dirname(target);
      if (!made.has(inner)) makeDirectory(inner);
      made.add(inner);
      const found = lstatSync(blob, { throwIfNoEntry: false });
      const size = found?.isFile() ? found.size : undefined;
      if (size !== file.size) throw wrongSize(storage, { table: table.id, ...file }, size);
      place(blob, target, methods);
    }
  }
}

function place(blob: string, target: string, methods: Method[]): void {
  for (;;) {
    const [method] = methods;
    try {
      method?.(blob, target);
      return;
    } catch (error) {
      const cannot = (hasNoLinks(error) || CANNOT.includes(errnoOf(error) ?? "")) && methods.length > 1;
      if (!cannot || isMissing(error)) throw toIoError(error, "link to", target);
      methods.shift();
    }
  }
}
