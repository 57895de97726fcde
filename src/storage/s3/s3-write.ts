import { types } from "node:util";
import type * as Sdk from "@aws-sdk/client-s3";
import { UnsupportedError } from "../../errors.ts";
import { piecesOf } from "../pieces.ts";
import type { Content, WriteOptions } from "../storage.ts";
import { answerOf, notAnAnswer } from "./s3-answer.ts";
import { type S3Bucket, withSignal } from "./s3-bucket.ts";
import { digestForLock, type LockSettings } from "./s3-lock.ts";
import { headObject } from "./s3-read.ts";

/** What is larger goes up in parts of this size, each held in memory, so that it can be sent again. */
const PART_BYTES = 16 << 20;

/** What is in memory as a whole goes in one request: an encoded blob has some hundred bytes more than a part. */
const MOST_AT_ONCE_BYTES = PART_BYTES + (64 << 10);

/** S3's own limit. */
const MOST_PARTS = 10_000;

export interface PutOptions extends Omit<WriteOptions, "lock"> {
  readonly lock?: LockSettings | undefined;
}

/** Writes an object in place of any that has the name: in one request, or in parts where it is large. */
export async function writeObject(
  bucket: S3Bucket,
  name: string,
  content: Content,
  options: PutOptions,
): Promise<void> {
  const { signal } = options;
  if (types.isUint8Array(content) && content.length <= MOST_AT_ONCE_BYTES)
    return putObject(bucket, name, bufferOf(content), options);
  const parts = partsOf(content, signal);
  try {
    const { value: first = Buffer.alloc(0), done } = await parts.next();
    const second = done ? undefined : await parts.next();
    if (second === undefined || second.done) await putObject(bucket, name, first, options);
    else await upload(bucket, name, concat([first, second.value], parts), options);
  } finally {
    await parts.return(undefined); // the source is told to end, where it has not come to its end
  }
}

/** In one request. */
export async function putObject(
  bucket: S3Bucket,
  name: string,
  body: Buffer,
  options: PutOptions,
): Promise<void> {
  const put = () => bucket.client.send(putCommand(bucket, name, body, options), withSignal(options.signal));
  await bucket.send(name, "write", async () => assertStored(await put()), options.signal);
}

/** Without an ETag it is an answer of somebody in between, and nothing may be stored. */
export function assertStored({ ETag }: Sdk.PutObjectCommandOutput): void {
  if (!ETag) throw notAnAnswer("ETag");
}

/** @param condition goes along. */
export function putCommand(
  bucket: S3Bucket,
  name: string,
  body: Buffer,
  { sha256, lock }: PutOptions,
  condition: { readonly IfNoneMatch?: "*" } = {},
): Sdk.PutObjectCommand {
  const command = new bucket.sdk.PutObjectCommand({
    ...bucket.key(name),
    ...bucket.settings(body.length),
    ...(lock && { ...lock, ...digestForLock(body) }),
    ...condition,
    Body: body,
  });
  if (sha256 !== undefined) {
    // The signature is of this digest, and the store holds what arrives to it; the SDK hashes nothing itself then.
    command.middlewareStack.add(
      (next) => (args) => {
        const { headers } = args.request as { readonly headers: Record<string, string> };
        headers["x-amz-content-sha256"] = sha256;
        return next(args);
      },
      { step: "build", name: "digestOfContent" },
    );
  }
  return command;
}

/** In parts. What was begun and not finished is taken away; nobody reads it. */
async function upload(
  bucket: S3Bucket,
  name: string,
  parts: AsyncIterable<Buffer>,
  { signal, lock }: PutOptions,
): Promise<void> {
  const { CreateMultipartUploadCommand, AbortMultipartUploadCommand } = bucket.sdk;
  const key = bucket.key(name);
  const create = { ...key, ...bucket.settings(PART_BYTES), ...lock };
  const begin = async () => {
    const answer = await bucket.client.send(new CreateMultipartUploadCommand(create), withSignal(signal));
    if (!answer.UploadId) throw notAnAnswer("UploadId");
    return answer;
  };
  const { UploadId } = await bucket.sendStep(name, "write", begin, signal);
  const begun = { ...key, UploadId } as Upload;
  try {
    const { sent, bytes } = await sendParts(bucket, name, begun, parts, { signal, lock });
    signal?.throwIfAborted();
    await complete(bucket, name, begun, { sent, bytes });
  } catch (error) {
    const abort = new AbortMultipartUploadCommand(begun);
    await bucket.client.send(abort).catch(() => undefined); // a rule of the bucket takes it away; the first error matters
    throw error;
  }
}

interface Upload {
  readonly Bucket: string;
  readonly Key: string;
  readonly UploadId: string;
}

interface Sent {
  readonly sent: readonly Sdk.CompletedPart[];
  readonly bytes: number;
}

async function sendParts(
  bucket: S3Bucket,
  name: string,
  begun: Upload,
  parts: AsyncIterable<Buffer>,
  { signal, lock }: PutOptions,
): Promise<Sent> {
  const sent: Sdk.CompletedPart[] = [];
  let bytes = 0;
  for await (const Body of parts) {
    const PartNumber = sent.length + 1;
    if (PartNumber > MOST_PARTS) throw tooLarge(bucket.address(name), MOST_PARTS * PART_BYTES);
    const input = { ...begun, ...(lock && digestForLock(Body)), PartNumber, Body };
    const part = new bucket.sdk.UploadPartCommand(input);
    const send = async () => {
      const answer = await bucket.client.send(part, withSignal(signal));
      if (!answer.ETag) throw notAnAnswer("ETag");
      return answer;
    };
    const { ETag } = await bucket.sendStep(name, "write", send, signal);
    sent.push({ PartNumber, ETag });
    bytes += Body.length;
  }
  return { sent, bytes };
}

async function complete(bucket: S3Bucket, name: string, begun: Upload, { sent, bytes }: Sent): Promise<void> {
  const { CompleteMultipartUploadCommand } = bucket.sdk;
  const command = new CompleteMultipartUploadCommand({ ...begun, MultipartUpload: { Parts: [...sent] } });
  const finish = async () => {
    try {
      await bucket.client.send(command);
    } catch (error) {
      // After an answer that was lost it is sent again, and there is no such upload any more: it is done.
      const isDone =
        answerOf(error).code === "NoSuchUpload" && (await headObject(bucket, name))?.size === bytes;
      if (!isDone) throw error;
    }
  };
  await bucket.sendStep(name, "write", finish);
}

export function tooLarge(address: string, most: number): UnsupportedError {
  return new UnsupportedError(`${address} would have more than ${most} bytes.`);
}

const bufferOf = ({ buffer, byteOffset, byteLength }: Uint8Array) =>
  Buffer.from(buffer, byteOffset, byteLength);

/** Parts of one size, the last one smaller; one empty part of nothing. */
async function* partsOf(content: Content, signal: AbortSignal | undefined): AsyncGenerator<Buffer> {
  let held: Uint8Array[] = [];
  let bytes = 0;
  let parts = 0;
  for await (let piece of piecesOf(content, signal)) {
    while (bytes + piece.length > PART_BYTES) {
      const head = piece.subarray(0, PART_BYTES - bytes);
      yield Buffer.concat([...held, head]);
      parts++;
      piece = piece.subarray(head.length);
      held = [];
      bytes = 0;
    }
    held.push(Buffer.from(piece));
    bytes += piece.length;
  }
  if (bytes > 0 || parts === 0) yield Buffer.concat(held);
}

async function* concat(begun: readonly Buffer[], rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield* begun;
  yield* rest;
}
