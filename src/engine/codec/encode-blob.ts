import { randomBytes } from "node:crypto";
import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import { ValidationError } from "../../errors.ts";
import { isDigest } from "../../fs/fields.ts";
import { freeMemory } from "../../util/free-memory.ts";
import { takeMemory } from "../../util/spare-memory.ts";
import {
  type BlobHead,
  type CompressionAlgorithm,
  encodedBytes,
  encodedBytesAtMost,
  headBytes,
  headToBytes,
  MAX_CONTENT_BYTES,
  outputChunk,
  SALT_BYTES,
  SEGMENT_BYTES,
  segmentCount,
  segmentsOf,
  TAG_BYTES,
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
  const segments = segmentCount(content.length);
  const blob = takeMemory(encodedBytesAtMost(content.length));
  const stored = compressInto(blob.subarray(headBytes(segments) + TAG_BYTES), content, compression);
  const head: BlobHead = {
    compression: compression.algorithm,
    epoch: key?.epoch ?? 0,
    salt: key ? randomBytes(SALT_BYTES) : Buffer.alloc(SALT_BYTES),
    name,
    contentBytes: content.length,
    stored,
  };
  sealInPlace(blob, head, content, key);
  return blob.subarray(0, encodedBytes(head));
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

/**
 * Writes head and tags, and what is stored of each segment in the place of its plain bytes: compressed ones lie there already, the
 * others are taken from the content.
 */
function sealInPlace(blob: Buffer, head: BlobHead, content: Uint8Array, key: BlobKey | undefined): void {
  const bytes = headToBytes(head);
  const seal = key ? encryptedSeal(bytes, head.salt, key) : checkedSeal(bytes);
  blob.set(bytes);
  blob.set(seal.seal(HEAD_TAG, new Uint8Array(), new Uint8Array()), bytes.length);
  for (const [index, segment] of segmentsOf(head).entries()) {
    const end = segment.at + segment.storedBytes;
    const isPlain = segment.storedBytes === segment.contentBytes;
    const target = blob.subarray(segment.at, end);
    blob.set(seal.seal(segment, isPlain ? segmentOf(content, index) : target, target), end);
  }
}

function segmentOf(content: Uint8Array, index: number): Uint8Array {
  return content.subarray(index * SEGMENT_BYTES, (index + 1) * SEGMENT_BYTES);
}

/** Answers with the bytes that each segment has; those that stay as they are are left out, and have their room. */
function compressInto(target: Buffer, content: Uint8Array, compression: Compression): number[] {
  const stored: number[] = [];
  let isTried = compression.algorithm !== "none";
  let at = 0;
  for (let index = 0; index < segmentCount(content.length); index++) {
    const plain = segmentOf(content, index);
    const smaller = isTried ? compress(plain, compression) : plain;
    const isWorthIt = smaller.length < plain.length - plain.length * WORTHWHILE;
    if (index === 0) isTried &&= isWorthIt;
    if (isWorthIt) target.set(smaller, at);
    const { length } = isWorthIt ? smaller : plain;
    if (smaller !== plain) freeMemory(smaller);
    stored.push(length);
    at += length + TAG_BYTES;
  }
  return stored;
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
