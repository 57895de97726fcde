import { objectsThere } from "../../storage/look-for.ts";
import { wrongSize } from "../blobs/blob-errors.ts";
import { type BlobNeed, type BlobStore, needsOf } from "../blobs/blob-store.ts";
import { blobName } from "../format/names.ts";
import type { FilesOfTable } from "./read-entries.ts";

interface Use extends BlobNeed {
  readonly table: string;
  readonly path: string;
}

/** @throws CorruptError naming file and blob, where one is not there or has another size. */
export async function assertBlobs(
  blobs: BlobStore,
  tables: readonly Omit<FilesOfTable, "directory">[],
  signal?: AbortSignal,
): Promise<void> {
  const uses = new Map<string, Use>();
  for (const { id, files } of tables) {
    for (const file of files) {
      for (const need of needsOf(file)) addUse(blobs, uses, { ...need, table: id, path: file.path });
    }
  }
  const there = await objectsThere(blobs.storage, Array.from(uses.keys(), blobName), { signal });
  for (const use of uses.values()) {
    const found = there.get(blobName(use.blob));
    if (!blobs.holds(found?.size, use)) throw refused(blobs, use, found?.size);
  }
}

/** Of each blob the farthest that anybody needs of it. */
function addUse(blobs: BlobStore, uses: Map<string, Use>, use: Use): void {
  const other = uses.get(use.blob);
  if (other?.isWhole && use.isWhole && other.bytes !== use.bytes) throw refused(blobs, use, other.bytes);
  const isFarther = !other || (!other.isWhole && use.offset + use.bytes > other.offset + other.bytes);
  if (isFarther || use.isWhole) uses.set(use.blob, use);
}

function refused({ storage }: BlobStore, use: Use, found: number | undefined) {
  const { table, path, blob, offset, bytes } = use;
  return wrongSize(storage, { table, path, sha256: blob, size: offset + bytes }, found);
}
