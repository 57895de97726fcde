import { randomBytes } from "node:crypto";
import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import { ValidationError } from "../../errors.ts";
import { freeMemory } from "../../util/free-memory.ts";
import { isDigest } from "../format/names.ts";
import {
  type BlobHead,
  type CompressionAlgorithm,
  encodedBytes,
  headToBytes,
  MAX_CONTENT_BYTES,
  outputChunk,
  SALT_BYTES,
  SEGMENT_BYTES,
  segmentCount,
  segmentsOf,
} from "./blob-head.ts";
import { type BlobKey, checkedSeal, encryptedSeal, HEAD_TAG } from "./blob-key.ts";

export interface Compression {
  readonly algorithm: CompressionAlgorithm;
  /** zstd: 1 to 19; gzip: 1 to 9. Higher is smaller and slower. Default 1. */
  readonly level?: number | undefined;
}

export interface EncodeOptions {
  /** What the blob will be called: 64 hexadecimal digits. A reader refuses it under any other name. */
  readonly name: string;
  readonly compression: Compression;
  /** Default: it is not encrypted. */
  readonly key?: BlobKey | undefined;
}

const HIGHEST_LEVEL: Readonly<Record<CompressionAlgorithm, number>> = { none: 0, zstd: 19, gzip: 9 };

/** A segment is kept as it is unless compression saves this part of it: reading it again costs time, too. */
const WORTHWHILE = 1 / 16;

/**
 * A blob as it is stored (docs/formats.md, "Encoded blobs"). With a key, each call gives other bytes, by its salt;
 * without, the same ones for the same content and options.
 *
 * Where the first MiB does not get smaller, the others are not tried.
 *
 * @param content at most `MAX_CONTENT_BYTES`
 * @throws ValidationError as `assertCompression`
 */
export function encodeBlob(content: Uint8Array, { name, compression, key }: EncodeOptions): Buffer {
  if (content.length > MAX_CONTENT_BYTES) {
    throw new TypeError(`A blob has at most ${MAX_CONTENT_BYTES} bytes, not ${content.length}.`);
  }
  if (!isDigest(name)) throw new TypeError("The name of a blob has 64 hexadecimal digits.");
  if (key && !(Number.isInteger(key.epoch) && key.epoch >= 1 && key.epoch < 2 ** 32)) {
    throw new TypeError(`An epoch is a number from 1 on, not ${key.epoch}.`);
  }
  assertCompression(compression);
  const parts = compressed(content, compression);
  const head: BlobHead = {
    compression: compression.algorithm,
    epoch: key?.epoch ?? 0,
    salt: key ? randomBytes(SALT_BYTES) : Buffer.alloc(SALT_BYTES),
    name,
    contentBytes: content.length,
    stored: parts.map((part) => part.length),
  };
  const blob = assemble(head, parts, key);
  for (const part of parts) if (part.buffer !== content.buffer) freeMemory(part);
  return blob;
}

/** @throws ValidationError for an algorithm that there is not, or a level that it does not have */
export function assertCompression({ algorithm, level }: Compression): void {
  if (!Object.hasOwn(HIGHEST_LEVEL, algorithm)) {
    const known = Object.keys(HIGHEST_LEVEL).join(", ");
    throw new ValidationError(`There is no compression ${JSON.stringify(algorithm)}: choose from ${known}.`);
  }
  const highest = HIGHEST_LEVEL[algorithm];
  if (level === undefined || (Number.isInteger(level) && level >= 1 && level <= highest)) return;
  const levels = highest === 0 ? "no levels" : `the levels 1 to ${highest}`;
  throw new ValidationError(`The compression ${algorithm} has ${levels}, not ${level}.`);
}

function assemble(head: BlobHead, parts: readonly Uint8Array[], key: BlobKey | undefined): Buffer {
  const bytes = headToBytes(head);
  const seal = key ? encryptedSeal(bytes, head.salt, key) : checkedSeal(bytes);
  const blob = Buffer.allocUnsafe(encodedBytes(head));
  blob.set(bytes);
  blob.set(seal.seal(HEAD_TAG, new Uint8Array()).tag, bytes.length);
  for (const [index, segment] of segmentsOf(head).entries()) {
    const part = parts[index] ?? new Uint8Array();
    const { stored, tag } = seal.seal(segment, part);
    blob.set(stored, segment.at);
    blob.set(tag, segment.at + segment.storedBytes);
    if (stored !== part) freeMemory(stored);
  }
  return blob;
}

function compressed(content: Uint8Array, compression: Compression): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let isTried = compression.algorithm !== "none";
  for (let index = 0; index < segmentCount(content.length); index++) {
    const plain = content.subarray(index * SEGMENT_BYTES, (index + 1) * SEGMENT_BYTES);
    const smaller = isTried ? compress(plain, compression) : plain;
    const isWorthIt = smaller.length < plain.length - plain.length * WORTHWHILE;
    if (index === 0) isTried &&= isWorthIt;
    if (smaller !== plain && !isWorthIt) freeMemory(smaller);
    parts.push(isWorthIt ? smaller : plain);
  }
  return parts;
}

function compress(plain: Uint8Array, { algorithm, level = 1 }: Compression): Uint8Array {
  const chunkSize = outputChunk(plain.length);
  if (algorithm === "gzip") return gzipSync(plain, { level, chunkSize });
  const { ZSTD_c_compressionLevel, ZSTD_c_checksumFlag } = constants;
  // By the pledged size the frame's window is no larger than the segment, and its header says the size.
  return zstdCompressSync(plain, {
    chunkSize,
    pledgedSrcSize: plain.length,
    params: { [ZSTD_c_compressionLevel]: level, [ZSTD_c_checksumFlag]: 1 },
  });
}
