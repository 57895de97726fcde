import { createHash } from "node:crypto";
import { constants, gunzipSync, zstdDecompressSync } from "node:zlib";
import { ValidationError } from "../../errors.ts";
import { freeMemory } from "../../util/free-memory.ts";
import { takeMemory } from "../../util/spare-memory.ts";
import type { ReadRange } from "../read-small.ts";
import {
  type BlobHead,
  type CompressionAlgorithm,
  damaged,
  encodedBytes,
  LONGEST_HEAD_BYTES,
  outputChunk,
  parseHead,
  SEGMENT_BYTES,
  type Segment,
  segmentsOf,
  TAG_BYTES,
} from "./blob-head.ts";
import { type BlobSeal, checkedSeal, encryptedSeal, HEAD_TAG } from "./blob-key.ts";

/** Which blob it must be. Any other is refused, also a whole one. */
export interface WantedBlob {
  /** 64 hexadecimal digits. */
  readonly name: string;
  /**
   * The keys at hand, of 32 bytes, by epoch. With any, the blob must be encrypted, by one of them; undefined: it must not be encrypted.
   */
  readonly keys?: ReadonlyMap<number, Uint8Array> | undefined;
  /** Where it is, for messages. */
  readonly place: string;
}

/** A blob whose head was read and checked. */
export interface OpenBlob {
  readonly contentBytes: number;
  /** 0: not encrypted. */
  readonly epoch: number;
  /**
   * Part of the content, in one request. Keeps nothing, so that one can be asked for many parts, several at once.
   *
   * @throws CorruptError where the segments are damaged, or the content has no such part
   */
  read(offset: number, length: number): Promise<Buffer>;
}

/**
 * The content of an encoded blob.
 *
 * @param wanted `sha256`: what the content must have, 64 hexadecimal digits. Default: it is not looked at; tags and the name
 *   in the head show already that it is what a writer has put there.
 * @throws ValidationError where it is encrypted by a key that is not at hand
 * @throws UnsupportedError for a format of another number
 * @throws CorruptError for everything that is not, to the last bit, what a writer with the key has written under the name
 */
export function decodeBlob(
  bytes: Buffer,
  wanted: WantedBlob & { readonly sha256?: string | undefined },
): Buffer {
  const { place, sha256 } = wanted;
  const { head, seal } = openHead(bytes, wanted);
  if (bytes.length !== encodedBytes(head)) {
    throw damaged(place, `it has ${bytes.length} bytes instead of ${encodedBytes(head)}`);
  }
  const content = decodeSegments(bytes, 0, segmentsOf(head), { head, seal, place });
  if (sha256 !== undefined && createHash("sha256").update(content).digest("hex") !== sha256) {
    throw damaged(place, `its content does not have the SHA-256 ${sha256}`);
  }
  return content;
}

/**
 * Opens a blob of which parts are wanted: reads its first bytes only. Errors as `decodeBlob`; what `read` throws comes
 * out unchanged.
 */
export async function openBlob(read: ReadRange, wanted: WantedBlob): Promise<OpenBlob> {
  const start = await read(0, LONGEST_HEAD_BYTES);
  const opened = { ...openHead(start, wanted), place: wanted.place };
  const { contentBytes, epoch } = opened.head;
  return {
    contentBytes,
    epoch,
    read: (offset, length) => readPart(read, offset, length, opened),
  };
}

/**
 * By which epoch's key a blob says that it is encrypted; 0: by none. It is believed without the key, for sorting only.
 *
 * @param bytes its beginning, of `LONGEST_HEAD_BYTES` or all
 */
export function epochOf(bytes: Buffer, place: string): number {
  return parseHead(bytes, place).head.epoch;
}

interface Opened {
  readonly head: BlobHead;
  readonly seal: BlobSeal;
  readonly place: string;
}

function openHead(start: Buffer, { name, keys, place }: WantedBlob): Omit<Opened, "place"> {
  const { head, bytes, tag } = parseHead(start, place);
  const seal = keys ? sealByKey(head, bytes, keys, place) : plainSeal(head, bytes, place);
  if (seal.open(HEAD_TAG, new Uint8Array(), tag) === undefined) {
    const orKey = keys ? `, or the key of epoch ${head.epoch} is not the one that it was encrypted with` : "";
    throw damaged(place, `its head was changed${orKey}`);
  }
  if (head.name !== name) throw damaged(place, `it is the blob ${head.name}, in the place of ${name}`);
  return { head, seal };
}

function sealByKey(
  head: BlobHead,
  bytes: Buffer,
  keys: ReadonlyMap<number, Uint8Array>,
  place: string,
): BlobSeal {
  const { epoch, salt } = head;
  if (epoch === 0) throw damaged(place, "it is not encrypted, and must be");
  const key = keys.get(epoch);
  if (key === undefined) throw missingKey(epoch, place);
  return encryptedSeal(bytes, salt, { epoch, key });
}

function plainSeal({ epoch }: BlobHead, bytes: Buffer, place: string): BlobSeal {
  if (epoch !== 0) throw missingKey(epoch, place);
  return checkedSeal(bytes);
}

function missingKey(epoch: number, place: string): ValidationError {
  return new ValidationError(
    `The blob ${place} is encrypted by the key of epoch ${epoch}, which was not given.`,
  );
}

async function readPart(read: ReadRange, offset: number, length: number, opened: Opened): Promise<Buffer> {
  const { head, place } = opened;
  if (!(Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0)) {
    throw new TypeError(`A part of a blob has an offset and a length, not ${offset} and ${length}.`);
  }
  if (offset + length > head.contentBytes) {
    throw damaged(
      place,
      `${length} bytes from ${offset} on are wanted of it, and it holds ${head.contentBytes}`,
    );
  }
  if (length === 0) return Buffer.alloc(0);
  const from = Math.floor(offset / SEGMENT_BYTES);
  const segments = segmentsOf(head).slice(from, Math.ceil((offset + length) / SEGMENT_BYTES));
  const start = segments[0]?.at ?? 0;
  const bytes = await read(
    start,
    segments.reduce((sum, { storedBytes }) => sum + storedBytes + TAG_BYTES, 0),
  );
  const content = decodeSegments(bytes, start, segments, opened);
  const skipped = offset - from * SEGMENT_BYTES;
  const part = content.subarray(skipped, skipped + length);
  return 2 * length < content.length ? Buffer.from(part) : part; // a few bytes must not keep a segment in memory
}

/** @param start where in the blob `bytes` begin */
function decodeSegments(bytes: Buffer, start: number, segments: readonly Segment[], opened: Opened): Buffer {
  const content = takeMemory(segments.reduce((sum, { contentBytes }) => sum + contentBytes, 0));
  let at = 0;
  for (const segment of segments) {
    const part = decodeSegment(bytes, start, segment, opened);
    content.set(part, at);
    if (part.buffer !== bytes.buffer) freeMemory(part);
    at += segment.contentBytes;
  }
  return content;
}

function decodeSegment(bytes: Buffer, start: number, segment: Segment, opened: Opened): Uint8Array {
  const { number, storedBytes, contentBytes } = segment;
  const { head, seal, place } = opened;
  const at = segment.at - start;
  const end = at + storedBytes;
  if (bytes.length < end + TAG_BYTES) throw damaged(place, `its segment ${number} is cut short`);
  const data = seal.open(segment, bytes.subarray(at, end), bytes.subarray(end, end + TAG_BYTES));
  if (data === undefined) throw damaged(place, `its segment ${number} was changed`);
  if (storedBytes === contentBytes) return data;
  const content = decompress(data, head.compression, segment, place);
  if (data.buffer !== bytes.buffer) freeMemory(data);
  // Node's functions pass over what follows a frame; some versions take a frame that is cut short for a whole one.
  if (content.length !== contentBytes) {
    throw damaged(place, `its segment ${number} gives ${content.length} bytes instead of ${contentBytes}`);
  }
  return content;
}

/** Of a window's size, the most that docs/formats.md allows: 8 MiB, as a power of 2. */
const WINDOW_LOG = 23;

function decompress(
  data: Uint8Array,
  algorithm: CompressionAlgorithm,
  { number, contentBytes }: Segment,
  place: string,
): Buffer {
  const limits = { maxOutputLength: contentBytes, chunkSize: outputChunk(contentBytes) };
  try {
    if (algorithm === "gzip") return gunzipSync(data, limits);
    const params = { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG };
    return zstdDecompressSync(data, { ...limits, params });
  } catch (error) {
    throw damaged(place, `its segment ${number} cannot be decompressed`, { cause: error });
  }
}
