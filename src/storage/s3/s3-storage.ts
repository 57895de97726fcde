import { UnsupportedError } from "../../errors.ts";
import { type RetryOptions, RetryPolicy } from "../layers/retry-policy.ts";
import { assertObjectPrefix, type StoredObject } from "../object-name.ts";
import type { CallOptions, Content, ReadOptions, Storage, WriteOptions } from "../storage.ts";
import { answerOf, isTransientS3, s3Error } from "./s3-answer.ts";
import { S3Bucket, toSecond } from "./s3-bucket.ts";
import { listObjects } from "./s3-list.ts";
import { assertS3Location, type S3Location } from "./s3-location.ts";
import { S3Lock } from "./s3-lock.ts";
import { MADE_TWICE, notExclusive, probeExclusive, SAYS_NOT } from "./s3-probe.ts";
import { headObject, readObject } from "./s3-read.ts";
import { type PutOptions, putObject, writeObject } from "./s3-write.ts";
import { wholeOf, writeNewObject } from "./s3-write-new.ts";

/**
 * Objects in a bucket of S3, or of a store that speaks its language. Relied on are PutObject with `If-None-Match`, GetObject
 * with ranges, HeadObject, ListObjectsV2, DeleteObject, and multipart uploads for what is larger than 16 MiB. Before the
 * first write it is tried, in this very place, whether the store holds to `If-None-Match`: one that does not would let
 * two backups or prunes work as if each were alone, and is refused.
 *
 * @example
 * ```ts
 * const storage = await S3Storage.open(parseS3Location("s3://my-bucket/vault?region=eu-central-1"));
 * const repository = await Repository.init(storage);
 * ```
 */
export class S3Storage implements Storage {
  readonly location: string;
  readonly lock: S3Lock | undefined;
  readonly keepsNoContent = true;
  readonly keepsNoPieces = true;
  readonly #bucket: S3Bucket;
  #probe: Promise<void> | undefined;
  #mayNotExclude = false;

  private constructor(bucket: S3Bucket) {
    this.#bucket = bucket;
    this.location = bucket.location;
    this.lock = S3Lock.of(bucket);
  }

  /**
   * Asks nothing of the store yet.
   *
   * @param retry for the parts of a large object and the pages of a listing; other requests are made once, and again by the
   * layer that openStorage and Repository add.
   * @throws UnsupportedError where the SDK is not installed.
   * @example
   * ```ts
   * const storage = await S3Storage.open({ bucket: "my-bucket", prefix: "vault", region: "eu-central-1" });
   * ```
   */
  static async open(place: S3Location, retry: RetryOptions = {}): Promise<S3Storage> {
    assertS3Location(place);
    return new S3Storage(await S3Bucket.open(place, new RetryPolicy(retry)));
  }

  read(name: string, options: ReadOptions = {}): AsyncGenerator<Uint8Array> {
    return readObject(this.#bucket, name, options);
  }

  async write(name: string, content: Content, options: WriteOptions = {}): Promise<void> {
    await this.#beforeWriting(name, options);
    await this.#put(name, options, false, async (how) => {
      await writeObject(this.#bucket, name, content, how);
      return true;
    });
  }

  async writeNew(name: string, content: Content, options: WriteOptions = {}): Promise<boolean> {
    this.#bucket.key(name);
    options.signal?.throwIfAborted();
    // What nobody has, it is tried with by itself: two requests fewer.
    const isTried = options.isRandom && !this.#mayNotExclude && this.#probe === undefined;
    if (!isTried) await this.#beforeWriting(name, options);
    const body = await wholeOf(this.#bucket, name, content, options);
    return this.#put(name, options, true, async (how) => {
      if (isTried) return this.#tryWith(name, body, how);
      if (!this.#mayNotExclude) return writeNewObject(this.#bucket, name, body, how);
      if (await this.stat(name)) return false;
      await putObject(this.#bucket, name, body, how);
      return true;
    });
  }

  /** A store that does not know the condition writes the same bytes again. */
  async assertWritable(name: string, options: CallOptions = {}): Promise<void> {
    const body = await wholeOf(this.#bucket, name, this.read(name, options), options);
    await writeNewObject(this.#bucket, name, body, options);
  }

  /** As `writeNew`, and finds out whether it can be relied on. @throws UnsupportedError where it cannot: the object is taken away. */
  async #tryWith(name: string, body: Buffer, how: PutOptions): Promise<boolean> {
    const { place } = this.#bucket;
    const isNew = await writeNewObject(this.#bucket, name, body, how).catch((error: unknown) => {
      throw error instanceof UnsupportedError ? notExclusive(place, SAYS_NOT, error) : error;
    });
    if (isNew && (await writeNewObject(this.#bucket, name, body, how))) {
      const remove = new this.#bucket.sdk.DeleteObjectCommand(this.#bucket.key(name));
      await this.#bucket.send(name, "remove", () => this.#bucket.client.send(remove));
      throw notExclusive(place, MADE_TWICE);
    }
    this.#probe = Promise.resolve();
    return isNew;
  }

  /** @param put answers whether it has written. */
  #put(
    name: string,
    { lock: isToLock, ...rest }: WriteOptions,
    isNew: boolean,
    put: (options: PutOptions) => Promise<boolean>,
  ): Promise<boolean> {
    if (!isToLock || !this.lock) return put(rest);
    return this.lock.write(name, (lock) => put({ ...rest, lock }), isNew);
  }

  list(prefix: string): AsyncGenerator<StoredObject> {
    assertObjectPrefix(prefix);
    return listObjects(this.#bucket, prefix);
  }

  async remove(name: string): Promise<void> {
    await this.#beforeWriting(name, {});
    const command = new this.#bucket.sdk.DeleteObjectCommand(this.#bucket.key(name));
    try {
      await this.#bucket.client.send(command);
    } catch (error) {
      if (answerOf(error).meaning !== "missing") throw s3Error(error, "remove", this.#bucket.address(name));
    }
  }

  async stat(name: string): Promise<StoredObject | undefined> {
    const found = await headObject(this.#bucket, name);
    return found && { name, size: found.size, modified: toSecond(found.modified) };
  }

  isTransient(error: unknown): boolean {
    return isTransientS3(error);
  }

  acceptNoExclusion(): void {
    this.#mayNotExclude = true;
  }

  /** Once before the first write. @throws UnsupportedError where the store makes an object that there is already. */
  async #beforeWriting(name: string, { signal }: WriteOptions): Promise<void> {
    this.#bucket.key(name);
    signal?.throwIfAborted();
    if (this.#mayNotExclude) return;
    const { sdk, client, place } = this.#bucket;
    this.#probe ??= probeExclusive(sdk, client, place).catch((error: unknown) => {
      this.#probe = undefined;
      throw error;
    });
    await this.#probe;
  }
}
