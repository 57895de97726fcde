import { digestOf } from "../blobs/blob-codec.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import type { Piece } from "../snapshot.ts";
import type { Entry } from "../source-contract.ts";
import { storeLocally } from "./store-locally.ts";
import { storePieces } from "./store-pieces.ts";

export interface StoreRequest {
  readonly files: readonly Entry[];
  /** Hash before copying, since the content may well be there. */
  readonly maybeThere: (entry: Entry) => boolean;
  /** Pieces of a content that are in the repository already. */
  readonly piecesOf: (sha256: string, size: number) => readonly Piece[] | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onStored: (entry: Entry, bytes: number) => void;
}

/** A file whose content is in the repository. */
export interface StoredFile {
  readonly sha256: string;
  readonly size: number;
  /** Undefined: one blob whose name is the digest. */
  readonly pieces?: readonly Piece[] | undefined;
  /** Whether the repository did not have it. */
  readonly isNew: boolean;
}

export interface StoredBlobs {
  readonly files: ReadonlyMap<Entry, StoredFile>;
  /** Bytes of plain content of the blobs in which files of this run have pieces. */
  readonly sizes: ReadonlyMap<string, number>;
  /** Of the objects that were written. */
  readonly storedBytes: number;
}

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
