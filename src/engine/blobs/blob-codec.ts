import { createHash } from "node:crypto";
import { CorruptError } from "../../errors.ts";
import { decodeBlob, openBlob, type ReadRange } from "../codec/decode-blob.ts";
import { type Compression, encodeBlob } from "../codec/encode-blob.ts";
import type { Piece } from "../snapshot.ts";

/** How the plain content of blobs becomes objects. */
export interface BlobCodec {
  readonly name: "plain" | "segments";
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
    encode: (content, name) => encodeBlob(content, { name, compression }),
    decode: (object, name, place) => decodeBlob(object, { name, place, sha256: name }),
    async readPiece(read, { blob, offset, bytes }, place) {
      const opened = await openBlob(read, { name: blob, place });
      return opened.read(offset, bytes);
    },
  };
}

export function digestOf(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}
