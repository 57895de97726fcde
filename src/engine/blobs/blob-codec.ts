import { createHash } from "node:crypto";
import { CorruptError, ValidationError } from "../../errors.ts";
import { blobNameUnderKey } from "../codec/blob-key.ts";
import { decodeBlob, epochOf, openBlob, type ReadRange } from "../codec/decode-blob.ts";
import { type Compression, encodeBlob } from "../codec/encode-blob.ts";
import type { Piece } from "../snapshot.ts";

/** How the plain content of blobs becomes objects. */
export interface BlobCodec {
  readonly name: "plain" | "segments";
  /** By whose key it writes; 0: by none. */
  readonly epoch: number;
  /** What the cuts by content are made of, where they are a secret. */
  readonly gear?: Uint8Array | undefined;
  /** The name that a blob of this content has. @param sha256 of the plain content, 64 hexadecimal digits. */
  nameOf(sha256: string): string;
  /** @param content up to 16 MiB. @param name the blob's. */
  encode(content: Buffer, name: string): Buffer;
  /**
   * The plain content of a whole object.
   *
   * @param name the blob's.
   * @throws CorruptError naming `place` where it is not what the name says.
   */
  decode(object: Buffer, name: string, place: string): Buffer;
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
  encode: (content) => content,
  decode(object, name, place) {
    if (digestOf(object) === name) return object;
    throw new CorruptError(`The blob ${place} is damaged: its content is not what its name says.`, {
      path: place,
    });
  },
  readPiece: (read, { offset, bytes }) => read(offset, bytes),
};

/** Objects are encoded blobs (docs/formats.md), of names that are the SHA-256 of their content. */
export function segments(compression: Compression): BlobCodec {
  return {
    name: "segments",
    epoch: 0,
    nameOf: (sha256) => sha256,
    encode: (content, name) => encodeBlob(content, { name, compression }),
    decode: (object, name, place) => decodeBlob(object, { name, place, sha256: name }),
    async readPiece(read, { blob, offset, bytes }, place) {
      const opened = await openBlob(read, { name: blob, place }, aheadOf(offset, bytes));
      return opened.read(offset, bytes);
    },
  };
}

const WORTH_READING_AHEAD = 512 * 1024;

/** What is near the beginning of a blob, and no trifle, is read with its head: a request less, for twice the bytes at most. */
function aheadOf(offset: number, bytes: number): number {
  return bytes >= WORTH_READING_AHEAD && offset <= bytes ? offset + bytes : 0;
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
    encode: (content, name) => encodeBlob(content, { name, compression, key: { epoch, key } }),
    decode(object, name, place) {
      const content = whole(() => decodeBlob(object, { name, place, keys: keys.byEpoch }), place);
      const own = keys.namesOf(epochOf(object, place));
      if (own && blobNameUnderKey(digestOf(content), own) === name) return content;
      throw new CorruptError(`The blob ${place} is damaged: its content is not what its name says.`, {
        path: place,
      });
    },
    async readPiece(read, { blob, offset, bytes }, place) {
      const wanted = { name: blob, place, keys: keys.byEpoch };
      const opened = await openBlob(read, wanted, aheadOf(offset, bytes)).catch((error: unknown) =>
        whole(() => {
          throw error;
        }, place),
      );
      return opened.read(offset, bytes);
    },
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
function whole<T>(decode: () => T, place: string): T {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof ValidationError)) throw error;
    throw new CorruptError(error.message, { path: place, cause: error });
  }
}

export function digestOf(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}
