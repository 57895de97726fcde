import { digestOf } from "../blobs/blob-codec.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import type { Entry } from "../source-contract.ts";
import { type StoredBlobs, type StoredFile, type StoreRequest, storeLocally } from "./store-locally.ts";
import { storePieces } from "./store-pieces.ts";

/**
 * Reads files, and writes those of which the repository does not have the content: named, and on the disk, when
 * this returns.
 *
 * @throws IoError; NotFoundError where a file has vanished. @throws CorruptError where one has another size
 * than it had when it was captured.
 */
export async function writeBlobs(blobs: BlobStore, request: StoreRequest): Promise<StoredBlobs> {
  const { local } = blobs;
  const {
    bare = [],
    alone = [],
    cut = [],
  } = Object.groupBy(request.files, (entry) => {
    if (entry.attributes?.directory || entry.attributes?.link !== undefined) return "bare";
    return local && entry.file !== undefined && !entry.changesInPlace ? "alone" : "cut";
  });
  const names = bare.map((entry): [Entry, StoredFile] => [entry, NO_CONTENT]);
  const whole = local ? await storeLocally(local, { ...request, files: alone }) : NONE;
  const pieces = cut.length > 0 ? await storePieces(blobs, { ...request, files: cut }) : NONE;
  return {
    files: new Map([...names, ...whole.files, ...pieces.files]),
    sizes: pieces.sizes,
    storedBytes: whole.storedBytes + pieces.storedBytes,
  };
}

/** Of directories and symbolic links. */
const NO_CONTENT: StoredFile = { sha256: digestOf(Buffer.alloc(0)), size: 0, pieces: [], isNew: false };
const NONE: StoredBlobs = { files: new Map(), sizes: new Map(), storedBytes: 0 };
