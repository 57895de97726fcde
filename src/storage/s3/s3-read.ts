import type * as Sdk from "@aws-sdk/client-s3";
import { IoError } from "../../errors.ts";
import type { ReadOptions } from "../storage.ts";
import { answerOf, notAnAnswer, s3Error } from "./s3-answer.ts";
import { type S3Bucket, withSignal } from "./s3-bucket.ts";

/** The bytes of an object. Of an answer that ends early the rest is fetched by range, as long as it is the same object. */
export async function* readObject(
  bucket: S3Bucket,
  name: string,
  options: ReadOptions = {},
): AsyncGenerator<Uint8Array> {
  const { offset = 0, length = Number.POSITIVE_INFINITY, signal } = options;
  const key = bucket.key(name);
  signal?.throwIfAborted();
  let position = offset;
  const end = offset + length;
  let etag: string | undefined;
  while (position < end) {
    const answer = await getObject(bucket, name, key, { from: position, end }, signal);
    if (!answer) return;
    if (etag !== undefined && answer.ETag !== etag) throw changed(bucket.address(name));
    etag = answer.ETag;
    const wanted = answer.ContentLength;
    let got = 0;
    try {
      for await (const piece of answer.Body as AsyncIterable<Uint8Array>) {
        signal?.throwIfAborted();
        got += piece.length;
        position += piece.length;
        yield piece;
      }
      if (wanted === undefined || got === wanted) return;
      throw new IoError(`The answer ended after ${got} of ${wanted} bytes.`, { errno: "EAGAIN" });
    } catch (error) {
      signal?.throwIfAborted();
      if (got === 0) throw s3Error(error, "read", bucket.address(name));
    }
  }
}

/** Undefined where nothing is from `from` on. */
async function getObject(
  bucket: S3Bucket,
  name: string,
  key: object,
  { from, end }: { readonly from: number; readonly end: number },
  signal: AbortSignal | undefined,
): Promise<Sdk.GetObjectCommandOutput | undefined> {
  const isWhole = from === 0 && end === Number.POSITIVE_INFINITY;
  const last = end === Number.POSITIVE_INFINITY ? "" : String(end - 1);
  const range = isWhole ? {} : { Range: `bytes=${from}-${last}` };
  try {
    const input = { ...key, ...range } as Sdk.GetObjectCommandInput;
    const answer = await bucket.client.send(new bucket.sdk.GetObjectCommand(input), withSignal(signal));
    if (!answer.ETag) throw notAnAnswer("ETag"); // else an error's body would pass for the object's
    return answer;
  } catch (error) {
    signal?.throwIfAborted();
    if (answerOf(error).meaning === "beyond") return undefined;
    throw s3Error(error, "read", bucket.address(name));
  }
}

/** What the store tells of an object without its bytes. */
export interface ObjectHead {
  readonly size: number;
  readonly modified: Date | undefined;
}

/** Undefined where there is no such object. Who may not read it, and may list, is told by a listing. */
export async function headObject(bucket: S3Bucket, name: string): Promise<ObjectHead | undefined> {
  const key = bucket.key(name);
  try {
    const head = await bucket.client.send(new bucket.sdk.HeadObjectCommand(key));
    return { size: head.ContentLength ?? 0, modified: head.LastModified };
  } catch (error) {
    const { meaning, status, code } = answerOf(error);
    if (meaning === "missing") return undefined;
    if (status === 403) return listOne(bucket, name, key, error);
    // A look has no body in which the store could say why.
    if (meaning === "refused" && code === "")
      await getObject(bucket, name, key, { from: 0, end: 1 }, undefined);
    throw s3Error(error, "look at", bucket.address(name));
  }
}

/** @param refused why it could not be looked at. */
async function listOne(
  bucket: S3Bucket,
  name: string,
  { Bucket, Key }: ReturnType<S3Bucket["key"]>,
  refused: unknown,
): Promise<ObjectHead | undefined> {
  const list = new bucket.sdk.ListObjectsV2Command({ Bucket, Prefix: Key, MaxKeys: 1 });
  const page = await bucket.client.send(list).catch(() => undefined); // the first error says more
  if (page?.IsTruncated === undefined) {
    // A look has no body in which the store could say why.
    await getObject(bucket, name, { Bucket, Key }, { from: 0, end: 1 }, undefined);
    throw s3Error(refused, "look at", bucket.address(name));
  }
  const [first] = page.Contents ?? [];
  return first?.Key === Key ? { size: first.Size ?? 0, modified: first.LastModified } : undefined;
}

function changed(path: string): IoError {
  return new IoError(`Could not read ${path}: it was overwritten meanwhile.`, { path, errno: "EAGAIN" });
}
