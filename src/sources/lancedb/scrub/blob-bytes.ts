import { createHash } from "node:crypto";
import { blobName } from "../../../engine/format/names.ts";
import { readSmall } from "../../../engine/read-small.ts";
import { BackupError } from "../../../errors.ts";
import type { Storage } from "../../../storage/storage.ts";

/** The whole of a small blob; why not, in words, where it is not there or not what its name says. */
export async function readBlob(storage: Storage, sha256: string): Promise<Buffer | string> {
  try {
    const bytes = await readSmall(storage, blobName(sha256));
    if (createHash("sha256").update(bytes).digest("hex") === sha256) return bytes;
    return `the snapshot's own copy, ${blobName(sha256)}, is damaged`;
  } catch (error) {
    if (error instanceof BackupError) return `the snapshot's own copy cannot be read: ${error.message}`;
    throw error;
  }
}

/** A stretch of a blob. */
export async function readStretch(
  storage: Storage,
  sha256: string,
  offset: number,
  length: number,
): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of storage.read(blobName(sha256), { offset, length })) pieces.push(piece);
  return Buffer.concat(pieces);
}
