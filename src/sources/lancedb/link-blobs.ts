import { lstatSync } from "node:fs";
import { join } from "node:path";
import { wrongSize } from "../../engine/blobs/blob-errors.ts";
import type { BlobStore } from "../../engine/blobs/blob-store.ts";
import { blobName } from "../../engine/format/names.ts";
import { io } from "../../fs/io.ts";
import { Placer } from "../../fs/placer.ts";
import type { LocalFiles } from "../../storage/local-files.ts";
import type { SelectedTable } from "./restore/select.ts";

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
  const placer = new Placer(["hardlink", "symlink", "copy"]);
  for (const table of tables) {
    for (const file of table.files) {
      signal?.throwIfAborted();
      const blob = local.pathOf(blobName(file.sha256));
      const found = lstatSync(blob, { throwIfNoEntry: false });
      const size = found?.isFile() ? found.size : undefined;
      if (size !== file.size) throw wrongSize(storage, { table: table.id, ...file }, size);
      const path = join(table.directory, file.path);
      await io("link to", join(directory, path), () => placer.placeAs(blob, directory, path));
    }
  }
}
