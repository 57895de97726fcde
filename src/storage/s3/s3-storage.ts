import { setTimeout as sleep } from "node:timers/promises";
import type * as Sdk from "@aws-sdk/client-s3";
import { IoError, isNotFound, UnsupportedError } from "../../errors.ts";
import { isError } from "../../fs/io.ts";
import { assertObjectName, assertObjectPrefix, isObjectName } from "../object-name.ts";
import { piecesOf } from "../pieces.ts";
import type { Content, ReadOptions, Storage, StoredObject, WriteOptions } from "../storage.ts";
import { knownStore } from "./known-stores.ts";
import { answerOf, s3Error } from "./s3-answer.ts";
import type { S3Location } from "./s3-location.ts";
import { probeExclusive } from "./s3-probe.ts";

/** What is larger goes up in parts of this size, each held in memory, so that it can be sent again. */
const PART_BYTES = 16 << 20;

/** S3's own limit. */
const MOST_PARTS = 10_000;

/** Colder storage classes bill every object as one of this size at least. */
const LEAST_FOR_CLASS = 128 << 10;

/** A document: what is made exclusively is sent whole, in one request. */
const MOST_EXCLUSIVE_BYTES = 256 << 20;

const TRIES = 4;
const FIRST_PAUSE_MS = 100;

/** Milliseconds in which a connection must be there; and of silence, after which it is given up, however long a request is. */
const CONNECT_MS = 10_000;
const SILENCE_MS = 60_000;

/**
 * Objects in a bucket of S3, or of a store that speaks its language. Relied on are PutObject with `If-None-Match`, GetObject
 * with ranges, HeadObject, ListObjectsV2, DeleteObject, and multipart uploads for what is larger than 16 MiB. Before the
 * first write it is tried, in this very place, whether the store holds to `If-None-Match`: one that does not would let
 * two backups or prunes work as if each were alone, and is refused.
 */
export class S3Storage implements Storage {
  readonly location: string;
  readonly #place: S3Location;
  readonly #sdk: typeof Sdk;
  readonly #client: Sdk.S3Client;
  #probe: Promise<void> | undefined;
  #mayNotExclude = false;

  private constructor(place: S3Location, sdk: typeof Sdk) {
    this.#place = place;
    this.#sdk = sdk;
    this.location = `s3://${place.bucket}/${place.prefix}`.replace(/\/$/, "");
    const { endpoint } = place;
    const known = knownStore(endpoint);
    const region = place.region ?? (known ? known.region : "us-east-1");
    this.#client = new sdk.S3Client({
      ...(region !== undefined && { region }),
      ...(endpoint !== undefined && { endpoint }),
      forcePathStyle: place.pathStyle ?? known?.pathStyle ?? true,
      // Many stores do not know the checksums that the SDK adds by itself; a signed payload is checked by all.
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
      maxAttempts: TRIES,
      requestHandler: { connectionTimeout: CONNECT_MS, socketTimeout: SILENCE_MS },
    });
  }

  /** Asks nothing of the store yet. @throws UnsupportedError where the SDK is not installed. */
  static async open(place: S3Location): Promise<S3Storage> {
    return new S3Storage(place, await loadSdk());
  }

  async *read(name: string, options: ReadOptions = {}): AsyncGenerator<Uint8Array> {
    const { offset = 0, length = Number.POSITIVE_INFINITY, signal } = options;
    const key = this.#key(name);
    signal?.throwIfAborted();
    let position = offset;
    const end = offset + length;
    let etag: string | undefined;
    for (let failures = 0; position < end; ) {
      const answer = await this.#get(name, key, position, end, signal);
      if (!answer) return;
      if (etag !== undefined && answer.ETag !== etag) throw this.#changed(name);
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
        if (++failures >= TRIES) throw s3Error(error, "read", this.#address(name));
        await pause(failures, signal);
      }
    }
  }

  /** Undefined where nothing is from `position` on. */
  async #get(
    name: string,
    key: object,
    position: number,
    end: number,
    signal: AbortSignal | undefined,
  ): Promise<Sdk.GetObjectCommandOutput | undefined> {
    const isWhole = position === 0 && end === Number.POSITIVE_INFINITY;
    const last = end === Number.POSITIVE_INFINITY ? "" : String(end - 1);
    const range = isWhole ? {} : { Range: `bytes=${position}-${last}` };
    const { GetObjectCommand } = this.#sdk;
    try {
      const input = { ...key, ...range } as Sdk.GetObjectCommandInput;
      return await this.#client.send(new GetObjectCommand(input), withSignal(signal));
    } catch (error) {
      signal?.throwIfAborted();
      if (answerOf(error).meaning === "beyond") return undefined;
      throw s3Error(error, "read", this.#address(name));
    }
  }

  async write(name: string, content: Content, options: WriteOptions = {}): Promise<void> {
    const { signal } = options;
    const key = this.#key(name);
    signal?.throwIfAborted();
    await this.#assertExclusive();
    const parts = partsOf(content, signal);
    try {
      const { value: first = Buffer.alloc(0), done } = await parts.next();
      const second = done ? undefined : await parts.next();
      if (second === undefined || second.done) await this.#put(name, key, first, signal);
      else await this.#upload(name, key, [first, second.value], parts, signal);
    } finally {
      await parts.return(undefined); // the source is told to end, where it has not come to its end
    }
  }

  async #put(name: string, key: object, body: Buffer, signal: AbortSignal | undefined): Promise<void> {
    const input = { ...key, ...this.#settings(body.length), Body: body } as Sdk.PutObjectCommandInput;
    await this.#send(
      name,
      "write",
      () => this.#client.send(new this.#sdk.PutObjectCommand(input), withSignal(signal)),
      signal,
    );
  }

  /** In parts. What was begun and not finished is taken away; nobody reads it. */
  async #upload(
    name: string,
    key: object,
    begun: readonly Buffer[],
    rest: AsyncIterable<Buffer>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { CreateMultipartUploadCommand, UploadPartCommand, CompleteMultipartUploadCommand } = this.#sdk;
    const create = { ...key, ...this.#settings(PART_BYTES) } as Sdk.CreateMultipartUploadCommandInput;
    const { UploadId } = await this.#send(
      name,
      "write",
      () => this.#client.send(new CreateMultipartUploadCommand(create), withSignal(signal)),
      signal,
    );
    const upload = { ...key, UploadId } as { Bucket: string; Key: string; UploadId: string };
    try {
      const Parts: Sdk.CompletedPart[] = [];
      let bytes = 0;
      for await (const Body of concat(begun, rest)) {
        const PartNumber = Parts.length + 1;
        if (PartNumber > MOST_PARTS) throw this.#tooLarge(name, MOST_PARTS * PART_BYTES);
        const { ETag } = await this.#send(
          name,
          "write",
          () => this.#client.send(new UploadPartCommand({ ...upload, PartNumber, Body }), withSignal(signal)),
          signal,
        );
        Parts.push({ PartNumber, ETag });
        bytes += Body.length;
      }
      signal?.throwIfAborted();
      const complete = { ...upload, MultipartUpload: { Parts } };
      await this.#client.send(new CompleteMultipartUploadCommand(complete)).catch(async (error: unknown) => {
        // After an answer that was lost the SDK has sent it again, and there is no such upload any more: it is done.
        const isDone = answerOf(error).code === "NoSuchUpload" && (await this.stat(name))?.size === bytes;
        if (!isDone) throw s3Error(error, "write", this.#address(name));
      });
    } catch (error) {
      const abort = new this.#sdk.AbortMultipartUploadCommand(upload);
      await this.#client.send(abort).catch(() => undefined); // a rule of the bucket takes it away; the first error matters
      throw error;
    }
  }

  async writeNew(name: string, content: Content, options: WriteOptions = {}): Promise<boolean> {
    const { signal } = options;
    this.#key(name);
    signal?.throwIfAborted();
    await this.#assertExclusive();
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    for await (const piece of piecesOf(content, signal)) {
      bytes += piece.length;
      if (bytes > MOST_EXCLUSIVE_BYTES) throw this.#tooLarge(name, MOST_EXCLUSIVE_BYTES);
      pieces.push(piece);
    }
    const body = Buffer.concat(pieces);
    if (!this.#mayNotExclude) return this.#putNew(name, body, signal);
    if (!(await this.stat(name))) return this.#put(name, this.#key(name), body, signal).then(() => true);
    return false;
  }

  /**
   * A condition that was not met means that somebody has the name; but after a try that was not answered, that may be
   * ourselves: then what is there is compared with what was sent.
   */
  async #putNew(name: string, body: Buffer, signal?: AbortSignal): Promise<boolean> {
    const input = { ...this.#key(name), ...this.#settings(body.length), Body: body, IfNoneMatch: "*" };
    let isUnclear = false;
    for (let failures = 0; ; ) {
      try {
        await this.#client.send(new this.#sdk.PutObjectCommand(input), withSignal(signal));
        return true;
      } catch (error) {
        signal?.throwIfAborted();
        const { meaning, isRepeated } = answerOf(error);
        isUnclear ||= isRepeated || meaning === "transient";
        if (meaning === "exists") return isUnclear && (await this.#holds(name, body, signal));
        if (meaning !== "transient" || ++failures >= TRIES) {
          if (isUnclear && (await this.#holds(name, body, signal).catch(() => false))) return true;
          throw s3Error(error, "write", this.#address(name));
        }
      }
      await pause(failures, signal);
    }
  }

  async #holds(name: string, body: Buffer, signal: AbortSignal | undefined): Promise<boolean> {
    const pieces: Uint8Array[] = [];
    try {
      for await (const piece of this.read(name, { signal })) pieces.push(piece);
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
    return body.equals(Buffer.concat(pieces));
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    assertObjectPrefix(prefix);
    const { bucket: Bucket, prefix: own } = this.#place;
    let ContinuationToken: string | undefined;
    do {
      const input = { Bucket, Prefix: own + prefix, ContinuationToken };
      const page: Sdk.ListObjectsV2CommandOutput = await this.#send("", "list", () =>
        this.#client.send(new this.#sdk.ListObjectsV2Command(input)),
      );
      for (const { Key = "", Size = 0, LastModified } of page.Contents ?? []) {
        const name = Key.slice(own.length);
        if (Key.startsWith(own + prefix) && isObjectName(name))
          yield { name, size: Size, modified: toSecond(LastModified) };
      }
      const before = ContinuationToken;
      ContinuationToken = page.IsTruncated ? page.NextContinuationToken : undefined;
      if (page.IsTruncated && (ContinuationToken === undefined || ContinuationToken === before)) {
        const path = this.#address(prefix);
        const message = `The store says that there is more below ${path}, and not where: it does not speak ListObjectsV2.`;
        throw new IoError(message, { path, errno: "EAGAIN" });
      }
    } while (ContinuationToken !== undefined);
  }

  async remove(name: string): Promise<void> {
    const key = this.#key(name);
    await this.#assertExclusive();
    try {
      await this.#client.send(new this.#sdk.DeleteObjectCommand(key));
    } catch (error) {
      if (answerOf(error).meaning !== "missing") throw s3Error(error, "remove", this.#address(name));
    }
  }

  async stat(name: string): Promise<StoredObject | undefined> {
    const key = this.#key(name);
    try {
      const { ContentLength = 0, LastModified } = await this.#client.send(
        new this.#sdk.HeadObjectCommand(key),
      );
      return { name, size: ContentLength, modified: toSecond(LastModified) };
    } catch (error) {
      const { meaning, code } = answerOf(error);
      if (meaning === "missing") return undefined;
      // A look has no body in which the store could say why.
      if (meaning === "refused" && code === "") await this.#get(name, key, 0, 1, undefined);
      throw s3Error(error, "look at", this.#address(name));
    }
  }

  acceptNoExclusion(): void {
    this.#mayNotExclude = true;
  }

  /** Once before the first write. @throws UnsupportedError where the store makes an object that there is already. */
  #assertExclusive(): Promise<void> {
    if (this.#mayNotExclude) return Promise.resolve();
    this.#probe ??= probeExclusive(this.#sdk, this.#client, this.#place).catch((error: unknown) => {
      this.#probe = undefined;
      throw error;
    });
    return this.#probe;
  }

  #settings(bytes: number) {
    const { storageClass, serverSideEncryption } = this.#place;
    const [algorithm, keyId] = serverSideEncryption?.startsWith("aws:kms:")
      ? ["aws:kms", serverSideEncryption.slice("aws:kms:".length)]
      : [serverSideEncryption];
    return {
      ...(storageClass !== undefined &&
        bytes >= LEAST_FOR_CLASS && { StorageClass: storageClass as Sdk.StorageClass }),
      ...(algorithm !== undefined && { ServerSideEncryption: algorithm as Sdk.ServerSideEncryption }),
      ...(keyId !== undefined && { SSEKMSKeyId: keyId }),
    };
  }

  async #send<T>(name: string, action: string, request: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    try {
      return await request();
    } catch (error) {
      signal?.throwIfAborted();
      throw s3Error(error, action, this.#address(name));
    }
  }

  #key(name: string): { Bucket: string; Key: string } {
    assertObjectName(name);
    return { Bucket: this.#place.bucket, Key: this.#place.prefix + name };
  }

  #address(name: string): string {
    return name === "" ? this.location : `${this.location}/${name}`;
  }

  #changed(name: string): IoError {
    const path = this.#address(name);
    return new IoError(`Could not read ${path}: it was written anew meanwhile.`, { path, errno: "EAGAIN" });
  }

  #tooLarge(name: string, most: number): UnsupportedError {
    return new UnsupportedError(`${this.#address(name)} would have more than ${most} bytes.`);
  }
}

async function loadSdk(): Promise<typeof Sdk> {
  try {
    return await import("@aws-sdk/client-s3");
  } catch (error) {
    const code = isError(error) && "code" in error ? error.code : undefined;
    if (code !== "ERR_MODULE_NOT_FOUND" && code !== "MODULE_NOT_FOUND") throw error;
    throw new UnsupportedError(
      "Repositories in S3 need the AWS SDK, which is not installed: npm install @aws-sdk/client-s3",
      { cause: error },
    );
  }
}

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

const withSignal = (signal: AbortSignal | undefined) => (signal ? { abortSignal: signal } : {});

/** LIST tells milliseconds where HEAD tells seconds. */
const toSecond = (time: Date | undefined) => new Date(Math.floor((time?.getTime() ?? 0) / 1000) * 1000);

async function pause(failures: number, signal?: AbortSignal): Promise<void> {
  const ms = FIRST_PAUSE_MS * 2 ** failures * (0.5 + Math.random());
  await sleep(ms, undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted());
}
