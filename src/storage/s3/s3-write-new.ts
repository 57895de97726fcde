import { isNotFound } from "../../errors.ts";
import { piecesOf } from "../pieces.ts";
import type { Content, WriteOptions } from "../storage.ts";
import { answerOf, notAnAnswer, s3Error } from "./s3-answer.ts";
import { pause, type S3Bucket, TRIES, withSignal } from "./s3-bucket.ts";
import { readObject } from "./s3-read.ts";
import { tooLarge } from "./s3-write.ts";

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

/**
 * Makes an object unless there is one. A condition that was not met means that somebody has the name; but after a try that
 * was not answered, that may be ourselves: then what is there is compared with what was sent.
 */
export async function writeNewObject(
  bucket: S3Bucket,
  name: string,
  body: Buffer,
  { signal }: WriteOptions,
): Promise<boolean> {
  const input = { ...bucket.key(name), ...bucket.settings(body.length), Body: body, IfNoneMatch: "*" };
  let isUnclear = false;
  for (let failures = 0; ; ) {
    try {
      const put = new bucket.sdk.PutObjectCommand(input);
      const { ETag } = await bucket.client.send(put, withSignal(signal));
      if (!ETag) throw notAnAnswer("ETag");
      return true;
    } catch (error) {
      signal?.throwIfAborted();
      const { meaning, isRepeated } = answerOf(error);
      isUnclear ||= isRepeated || meaning === "transient";
      if (meaning === "exists") return isUnclear && (await holds(bucket, name, body, signal));
      if (meaning !== "transient" || ++failures >= TRIES) {
        if (isUnclear && (await holds(bucket, name, body, signal).catch(() => false))) return true;
        throw s3Error(error, "write", bucket.address(name));
      }
    }
    await pause(failures, signal);
  }
}

async function holds(
  bucket: S3Bucket,
  name: string,
  body: Buffer,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const pieces: Uint8Array[] = [];
  try {
    for await (const piece of readObject(bucket, name, { signal })) pieces.push(piece);
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
  return body.equals(Buffer.concat(pieces));
}
