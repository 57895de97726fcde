import { CorruptError, UnsupportedError } from "../../errors.ts";

// The head of an encoded blob, byte by byte (docs/formats.md, "Encoded blobs"). What it says is believed only when its
// tag was checked; that it holds together is checked here, before.

/** Bytes of content in each segment but the last. */
export const SEGMENT_BYTES = 1024 * 1024;

/** What one blob holds at most, so that it is encoded and decoded in memory. */
export const MAX_CONTENT_BYTES = 16 * SEGMENT_BYTES;

export const TAG_BYTES = 16;
export const SALT_BYTES = 32;

const INDEX_AT = 84;

/** The longest head, with its tag: whoever reads so much from the start of a blob has all of it. */
export const LONGEST_HEAD_BYTES = headBytes(MAX_CONTENT_BYTES / SEGMENT_BYTES) + TAG_BYTES;

export type CompressionAlgorithm = "none" | "zstd" | "gzip";

export interface BlobHead {
  readonly compression: CompressionAlgorithm;
  /** Whose key it is encrypted by, from 1; 0 where it is not encrypted. */
  readonly epoch: number;
  /** 32 bytes; zeros where it is not encrypted. */
  readonly salt: Buffer;
  /** 64 hexadecimal digits, as in `blobs/`. */
  readonly name: string;
  readonly contentBytes: number;
  /** For each segment, the bytes that are stored of it, without its tag. At least one. */
  readonly stored: readonly number[];
}

/** A segment, and where it lies in the blob. */
export interface Segment {
  /** From 1 on, as its tag counts it. */
  readonly number: number;
  readonly isLast: boolean;
  /** Of its first stored byte, from the start of the blob. */
  readonly at: number;
  /** Its tag stands behind so many. */
  readonly storedBytes: number;
  readonly contentBytes: number;
}

const MAGIC = Buffer.from("LANCBLOB", "latin1");
const FORMAT = 2;
const ALGORITHMS: readonly CompressionAlgorithm[] = ["none", "zstd", "gzip"];
const AT = { format: 8, compression: 9, encryption: 10, zero: 11, epoch: 12, salt: 16, name: 48, size: 80 };

/** Without the tag. */
export function headBytes(segments: number): number {
  return INDEX_AT + 4 * segments;
}

export function segmentCount(contentBytes: number): number {
  return Math.max(1, Math.ceil(contentBytes / SEGMENT_BYTES));
}

/**
 * For node:zlib: what comes out of it is one chunk. By its own, of 16 KiB, decompression takes half as long again. A little more than
 * comes: of a chunk that is full another one is made, which nobody gets, and nobody can free.
 */
export function outputChunk(bytes: number): number {
  return bytes + 64;
}

/** A head as it is written, without its tag. */
export function headToBytes(head: BlobHead): Buffer {
  const bytes = Buffer.alloc(headBytes(head.stored.length));
  bytes.set(MAGIC);
  bytes[AT.format] = FORMAT;
  bytes[AT.compression] = ALGORITHMS.indexOf(head.compression);
  bytes[AT.encryption] = head.epoch === 0 ? 0 : 1;
  bytes.writeUInt32LE(head.epoch, AT.epoch);
  bytes.set(head.salt, AT.salt);
  bytes.write(head.name, AT.name, "hex");
  bytes.writeUInt32LE(head.contentBytes, AT.size);
  for (const [index, length] of head.stored.entries()) bytes.writeUInt32LE(length, INDEX_AT + 4 * index);
  return bytes;
}

/**
 * The head of a blob, of which `bytes` is the beginning: all, or `LONGEST_HEAD_BYTES`. Its tag is still to be checked.
 *
 * @param place of the blob, for messages
 * @returns the head; its bytes, without and with the tag behind them
 * @throws UnsupportedError for a format of another number
 * @throws CorruptError for what no writer writes
 */
export function parseHead(
  bytes: Buffer,
  place: string,
): { readonly head: BlobHead; readonly bytes: Buffer; readonly tag: Buffer } {
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw damaged(place, "it does not begin as one");
  if (bytes.length < headBytes(1) + TAG_BYTES) throw damaged(place, "it is cut short");
  const format = bytes.readUInt8(AT.format);
  if (format !== FORMAT) {
    throw new UnsupportedError(
      `The blob ${place} has the format ${format}, and this version of lancedb-backup knows ${FORMAT} only.`,
    );
  }
  const contentBytes = bytes.readUInt32LE(AT.size);
  if (contentBytes > MAX_CONTENT_BYTES) throw damaged(place, `it says that it holds ${contentBytes} bytes`);
  const stored = new Array<number>(segmentCount(contentBytes)).fill(0);
  const end = headBytes(stored.length);
  if (bytes.length < end + TAG_BYTES) throw damaged(place, "it is cut short");
  const head: BlobHead = {
    ...parseKind(bytes, place),
    salt: bytes.subarray(AT.salt, AT.salt + SALT_BYTES),
    name: bytes.toString("hex", AT.name, AT.size),
    contentBytes,
    stored: stored.map((_, index) => bytes.readUInt32LE(INDEX_AT + 4 * index)),
  };
  assertIndex(head, place);
  return { head, bytes: bytes.subarray(0, end), tag: bytes.subarray(end, end + TAG_BYTES) };
}

function parseKind(bytes: Buffer, place: string): Pick<BlobHead, "compression" | "epoch"> {
  const compression = ALGORITHMS[bytes.readUInt8(AT.compression)];
  const encryption = bytes.readUInt8(AT.encryption);
  const epoch = bytes.readUInt32LE(AT.epoch);
  const isWhole = encryption === (epoch === 0 ? 0 : 1) && bytes.readUInt8(AT.zero) === 0;
  if (compression === undefined || !isWhole) throw damaged(place, "its head is not one");
  return { compression, epoch };
}

function assertIndex(head: BlobHead, place: string): void {
  for (const { number, storedBytes, contentBytes } of segmentsOf(head)) {
    if (storedBytes === contentBytes || (storedBytes < contentBytes && head.compression !== "none")) continue;
    throw damaged(place, `its segment ${number} has ${storedBytes} bytes for ${contentBytes}`);
  }
}

export function segmentsOf({ contentBytes, stored }: BlobHead): Segment[] {
  let at = headBytes(stored.length) + TAG_BYTES;
  return stored.map((storedBytes, index) => {
    const isLast = index === stored.length - 1;
    const segment = {
      number: index + 1,
      isLast,
      at,
      storedBytes,
      contentBytes: isLast ? contentBytes - index * SEGMENT_BYTES : SEGMENT_BYTES,
    };
    at += storedBytes + TAG_BYTES;
    return segment;
  });
}

/** How long a blob of so much content is where nothing of it gets smaller. */
export function encodedBytesAtMost(contentBytes: number): number {
  const segments = segmentCount(contentBytes);
  return headBytes(segments) + contentBytes + (segments + 1) * TAG_BYTES;
}

/** How long the blob is, all in all. */
export function encodedBytes(head: BlobHead): number {
  return (
    headBytes(head.stored.length) + head.stored.reduce((sum, length) => sum + length + TAG_BYTES, TAG_BYTES)
  );
}

export function damaged(place: string, how: string, options?: ErrorOptions): CorruptError {
  return new CorruptError(`The blob ${place} is damaged: ${how}.`, { ...options, path: place });
}
