import type { Storage } from "../../storage/storage.ts";
import { wrongSize } from "../blob-errors.ts";
import { blobName } from "../format/names.ts";
import { forEachParallel } from "../parallel.ts";
import type { FilesOfTable } from "./write-files.ts";

const PARALLEL_LOOKS = 32;

/** @throws CorruptError naming file and blob, where one is not there or has another size. */
export async function assertBlobs(
  storage: Storage,
  tables: readonly Omit<FilesOfTable, "directory">[],
  signal?: AbortSignal,
): Promise<void> {
  const uses = new Map<string, { table: string; path: string; sha256: string; size: number }>();
  for (const { id, files } of tables) {
    for (const { path, sha256, size } of files) {
      const use = { table: id, path, sha256, size };
      const other = uses.get(sha256);
      if (other && other.size !== size) throw wrongSize(storage, use, other.size);
      uses.set(sha256, use);
    }
  }
  await forEachParallel(uses.values(), PARALLEL_LOOKS, async (use) => {
    signal?.throwIfAborted();
    const found = await storage.stat(blobName(use.sha256));
    if (found?.size !== use.size) throw wrongSize(storage, use, found?.size);
  });
}
