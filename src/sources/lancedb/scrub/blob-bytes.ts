import { digestOf } from "../../../engine/blobs/blob-codec.ts";
import type { BlobStore, FileToRead } from "../../../engine/blobs/blob-store.ts";
import { blobName } from "../../../engine/format/names.ts";
import { BackupError } from "../../../errors.ts";

/** The whole of a small file of the snapshot; why not, in words, where it is not there or not what its digest says. */
export async function readFile(blobs: BlobStore, file: FileToRead): Promise<Buffer | string> {
  try {
    const bytes = await blobs.readWhole(file);
    if (digestOf(bytes) === file.sha256) return bytes;
    return `the snapshot's own copy, ${blobName(file.pieces?.[0]?.blob ?? file.sha256)}, is damaged`;
  } catch (error) {
    if (error instanceof BackupError) return `the snapshot's own copy cannot be read: ${error.message}`;
    throw error;
  }
}
