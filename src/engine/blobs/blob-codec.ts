import { hash } from "node:crypto";
import { CorruptError, ValidationError } from "../../errors.ts";
import { LONGEST_HEAD_BYTES, SEGMENT_BYTES, segmentCount, TAG_BYTES } from "../codec/blob-head.ts";
import { blobNameUnderKey } from "../codec/blob-key.ts";
import { asBuffer } from "../codec/codec-tasks.ts";
import { codecThreads } from "../codec/codec-threads.ts";
import { openBlob, type WantedBlob } from "../codec/decode-blob.ts";
import type { Compression, EncodeOptions } from "../codec/encode-blob.ts";
import type { ReadRange } from "../read-small.ts";
import type { Piece } from "../snapshot.ts";

/** How the plain content of blobs becomes objects. What it is given to encode or decode must be nobody else's, and is empty afterwards. */
export interface BlobCodec {
  readonly name: "plain" | "segments";
  /** By whose key it writes; 0: by none. */
  readonly epoch: number;
  /** What the cuts by content are made of, where they are a secret. */
  readonly gear?: Uint8Array | undefined;
  /** The name that a blob of this content has. @param sha256 of the plain content, 64 hexadecimal digits. */
  nameOf(sha256: string): string;
  /** @param content up to 16 MiB. @param name the blob's. Answers with the content itself where objects are plain. */
  encode(content: Buffer, name: string): Promise<Buffer>;
  /**
   * The plain content of a whole object.
   *
   * @param name the blob's.
   * @throws CorruptError naming `place` where it is not what the name says.
   */
  decode(object: Buffer, name: string, place: string): Promise<Buffer>;
  /**
   * A stretch of the plain content; of a plain object fewer bytes where it ends, and nothing is checked.
   *
   * @param read a stretch of the object.
   * @throws CorruptError naming `place` where what is read is damaged.
   */
  readPiece(read: ReadRange, piece: Piece, place: string): Promise<Buffer>;
}

/** Objects are the content as it is. */
export const PLAIN: BlobCodec = {
  name: "plain",
  epoch: 0,
  nameOf: (sha256) => sha256,
  encode: async (content) => content,
  async decode(object, name, place) {
    const { content, sha256 } = await digested(object);
    if (sha256 !== name) throw notItsContent(place);
    return content;
  },
  readPiece: (read, { offset, bytes }) => read(offset, bytes),
};

/** Objects are encoded blobs (docs/formats.md), of names that are the SHA-256 of their content. */
export function segments(compression: Compression): BlobCodec {
  return {
    name: "segments",
    epoch: 0,
    nameOf: (sha256) => sha256,
    encode: (content, name) => encode(content, { name, compression }),
    async decode(object, name, place) {
      const { bytes, sha256 } = await codecThreads.run("decode", { bytes: object, wanted: { name, place } });
      if (sha256 !== name) throw notItsContent(place);
      return asBuffer(bytes);
    },
    readPiece: (read, piece, place) => readPiece(read, piece, { name: piece.blob, place }),
  };
}

async function encode(bytes: Buffer, options: EncodeOptions): Promise<Buffer> {
  return asBuffer((await codecThreads.run("encode", { bytes, options })).bytes);
}

const WORTH_READING_AHEAD = 512 * 1024;

/** What is near the beginning of a blob, and no trifle, is read with its head: a request less, for twice the bytes at most. */
export async function readPiece(
  read: ReadRange,
  { offset, bytes }: Piece,
  wanted: WantedBlob,
): Promise<Buffer> {
  const isNear = bytes >= WORTH_READING_AHEAD && offset <= bytes;
  if (!isNear) return (await openBlob(read, wanted)).read(offset, bytes);
  const segmentsAhead = segmentCount(offset + bytes);
  const start = await read(0, LONGEST_HEAD_BYTES + segmentsAhead * (SEGMENT_BYTES + TAG_BYTES));
  return asBuffer((await codecThreads.run("part", { bytes: start, wanted, offset, length: bytes })).bytes);
}

/** The keys of blobs, as those of a repository at a moment. */
export interface BlobKeys {
  /** By these it is written. */
  readonly current: {
    readonly epoch: number;
    readonly blobs: Uint8Array;
    readonly names: Uint8Array;
    readonly gear: Uint8Array;
  };
  /** Of every epoch that is known. */
  readonly byEpoch: ReadonlyMap<number, Uint8Array>;
  /** By whose key a blob's name was made. */
  namesOf(epoch: number): Uint8Array | undefined;
}

/** Objects are encoded blobs that are encrypted; their names are made by a key. */
export function encryptedSegments(compression: Compression, keys: BlobKeys): BlobCodec {
  const { epoch, blobs: key, names, gear } = keys.current;
  return {
    name: "segments",
    epoch,
    gear,
    nameOf: (sha256) => blobNameUnderKey(sha256, names),
    encode: (content, name) => encode(content, { name, compression, key: { epoch, key } }),
    async decode(object, name, place) {
      const wanted = { name, place, keys: keys.byEpoch };
      const decoding = codecThreads.run("decode", { bytes: object, wanted });
      const { bytes, sha256, epoch: own } = await decoding.catch((error: unknown) => refused(error, place));
      const nameKey = keys.namesOf(own);
      if (!nameKey || blobNameUnderKey(sha256, nameKey) !== name) throw notItsContent(place);
      return asBuffer(bytes);
    },
    readPiece: (read, piece, place) =>
      readPiece(read, piece, { name: piece.blob, place, keys: keys.byEpoch }).catch((error: unknown) =>
        refused(error, place),
      ),
  };
}

/**
 * Whether an error says that a blob is encrypted by a key that the repository does not have. One that no snapshot names may be
 * left from before a rotation.
 */
export function isOfUnknownKey(error: unknown): boolean {
  return error instanceof CorruptError && error.cause instanceof ValidationError;
}

/** All keys of a repository are at hand: a blob of an epoch that it has not is damaged. */
function refused(error: unknown, place: string): never {
  if (!(error instanceof ValidationError)) throw error;
  throw new CorruptError(error.message, { path: place, cause: error });
}

function notItsContent(place: string): CorruptError {
  return new CorruptError(`The blob ${place} is damaged: its content does not match its name.`, {
    path: place,
  });
}

export function digestOf(content: Uint8Array): string {
  return hash("sha256", content, "hex");
}

/** The digest of bytes that are nobody else's, with these: they may have moved. */
export async function digested(
  content: Buffer,
): Promise<{ readonly content: Buffer; readonly sha256: string }> {
  const { bytes, sha256 } = await codecThreads.run("digest", { bytes: content });
  return { content: asBuffer(bytes), sha256 };
}
