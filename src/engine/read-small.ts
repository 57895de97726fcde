import { CorruptError } from "../errors.ts";
import type { Storage } from "../storage/storage.ts";
import { freePiece } from "../util/free-memory.ts";
import { takeMemory } from "../util/spare-memory.ts";

/** Records, and blobs with their head, have less. */
export const MOST_BYTES = 32 << 20;
/** A text of more cannot be had: the document of some two million files. */
export const MOST_DOCUMENT_BYTES = 512 << 20;

/**
 * The whole of an object that fits into memory.
 *
 * @param most bytes that one of its kind can have. Default 32 MiB.
 * @throws CorruptError where it has more: a storage may say anything of its size, and go on for ever.
 */
export async function readSmall(
  storage: Storage,
  name: string,
  signal?: AbortSignal,
  most = MOST_BYTES,
): Promise<Buffer> {
  return gatherSmall(storage.read(name, { signal }), `${storage.location}/${name}`, most);
}

/** The same of pieces that come from elsewhere. @throws CorruptError where there are more bytes. */
export async function gatherSmall(
  pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  path: string,
  most: number,
): Promise<Buffer> {
  const all: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of pieces) {
    bytes += piece.length;
    if (bytes > most) throw tooLarge(path, most);
    all.push(piece);
  }
  return Buffer.concat(all, bytes);
}

/** Bytes of an object: fewer than `length` only where it ends. */
export type ReadRange = (offset: number, length: number) => Promise<Buffer>;

/** Reads stretches of an object, each into one piece of memory; fewer bytes come where it ends. */
export function readRange(storage: Storage, name: string, signal?: AbortSignal): ReadRange {
  return async (offset, length) => {
    // Stretches that are kept as they come are there twice when they are joined.
    const bytes = takeMemory(length);
    let end = 0;
    for await (const stretch of storage.read(name, { offset, length, signal })) {
      const wanted = stretch.subarray(0, length - end); // a storage may give more than it was asked for
      bytes.set(wanted, end);
      end += wanted.length;
      if (storage.keepsNoPieces) freePiece(stretch);
      if (end === length) break;
    }
    return bytes.subarray(0, end);
  };
}

/** An object has more bytes than what has its name can have. */
export function tooLarge(path: string, most: number): CorruptError {
  return new CorruptError(
    `${path} is damaged: it has more than ${most.toLocaleString("en")} bytes, which is more than such an object can have.`,
    { path },
  );
}
