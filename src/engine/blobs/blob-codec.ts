import { createHash } from "node:crypto";
import { CorruptError } from "../../errors.ts";

/** How the plain content of blobs becomes objects. */
export interface BlobCodec {
  readonly name: "plain" | "segments";
  /** @param content up to 16 MiB. */
  encode(content: Buffer): Buffer;
  /**
   * The plain content of a whole object.
   *
   * @param name the blob's.
   * @throws CorruptError naming `place` where it is not what the name says.
   */
  decode(object: Buffer, name: string, place: string): Buffer;
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
};

export function digestOf(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}
