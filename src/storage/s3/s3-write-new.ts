import { piecesOf } from "../pieces.ts";
import type { Content, WriteOptions } from "../storage.ts";
import { answerOf, s3Error } from "./s3-answer.ts";
import { type S3Bucket, withSignal } from "./s3-bucket.ts";
import { assertStored, type PutOptions, putCommand, tooLarge } from "./s3-write.ts";

/** A document: what is made exclusively is sent whole, in one request. */
const MOST_BYTES = 256 << 20;

/** The whole of what is to be made exclusively. @throws UnsupportedError where it is too large for one request. */
export async function wholeOf(
  bucket: S3Bucket,
  name: string,
  content: Content,
  { signal }: WriteOptions,
): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of piecesOf(content, signal)) {
    bytes += piece.length;
    if (bytes > MOST_BYTES) throw tooLarge(bucket.address(name), MOST_BYTES);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** Makes an object unless there is one. Whoever makes this call again finds out whose the one is that is there then. */
export async function writeNewObject(
  bucket: S3Bucket,
  name: string,
  body: Buffer,
  options: PutOptions,
): Promise<boolean> {
  const { signal } = options;
  const command = putCommand(bucket, name, body, options, { IfNoneMatch: "*" });
  try {
    assertStored(await bucket.client.send(command, withSignal(signal)));
    return true;
  } catch (error) {
    signal?.throwIfAborted();
    if (answerOf(error).meaning === "exists") return false;
    throw s3Error(error, "write", bucket.address(name));
  }
}
