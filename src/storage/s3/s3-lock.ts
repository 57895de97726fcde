import { createHash } from "node:crypto";
import type * as Sdk from "@aws-sdk/client-s3";
import { UnsupportedError } from "../../errors.ts";
import { isError } from "../../fs/io.ts";
import { forEachParallel } from "../../util/parallel.ts";
import type { CallOptions, StorageLock } from "../storage.ts";
import { answerOf } from "./s3-answer.ts";
import { type S3Bucket, withSignal } from "./s3-bucket.ts";
import type { S3Location } from "./s3-location.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

/** What was locked by this process so short a time ago is not locked anew: each lock is longer by that. */
const SLACK_MS = 60 * 60 * 1000;

const PARALLEL = 32;

/** What stores say of an object, or a bucket, that has no lock. */
const NOT_LOCKED = new Set([
  "NoSuchObjectLockConfiguration",
  "ObjectLockConfigurationNotFoundError",
  "InvalidRequest",
]);

/**
 * Object Lock. It is believed when it was read back: some stores take the headers of a lock, and forget them. Of a locked object
 * another version can be written, and it can be hidden by a delete marker; the locked version stays until its time.
 */
export class S3Lock implements StorageLock {
  readonly #bucket: S3Bucket;
  readonly #mode: NonNullable<S3Location["lockMode"]>;
  readonly #days: number;
  /** Until when what this process has locked is locked, by names; milliseconds since 1970. */
  readonly #known = new Map<string, number>();
  #isProven = false;

  private constructor(bucket: S3Bucket, mode: NonNullable<S3Location["lockMode"]>, days: number) {
    this.#bucket = bucket;
    this.#mode = mode;
    this.#days = days;
  }

  /** Undefined where the place asks for none. */
  static of(bucket: S3Bucket): S3Lock | undefined {
    const { lockMode, lockDays } = bucket.place;
    return lockMode && lockDays ? new S3Lock(bucket, lockMode, lockDays) : undefined;
  }

  /**
   * Writes an object with a lock.
   *
   * @param put answers whether it has written.
   * @param isNew whether there was none before: it is taken away where its lock was not kept.
   * @throws UnsupportedError where the store does not keep locks.
   */
  async write(name: string, put: (lock: LockSettings) => Promise<boolean>, isNew: boolean): Promise<boolean> {
    const lock = this.#settings();
    const isWritten = await put(lock).catch((error: unknown) => {
      throw this.#notForLocks(error);
    });
    if (!isWritten) return false;
    if (!this.#isProven) await this.#prove(name, lock.ObjectLockRetainUntilDate, isNew);
    this.#known.set(name, lock.ObjectLockRetainUntilDate.getTime());
    return true;
  }

  async extend(names: Iterable<string>, { signal }: CallOptions = {}): Promise<void> {
    const least = Date.now() + this.#days * DAY_MS;
    const due = new Set([...names].filter((name) => (this.#known.get(name) ?? 0) < least));
    await forEachParallel(due, PARALLEL, async (name) => {
      signal?.throwIfAborted();
      await this.#extend(name, least, signal);
    });
  }

  async until(name: string, { signal }: CallOptions = {}): Promise<Date | undefined> {
    const found = await this.#read(name, signal);
    return found && found.until.getTime() > Date.now() ? found.until : undefined;
  }

  async #extend(name: string, least: number, signal: AbortSignal | undefined): Promise<void> {
    const { PutObjectRetentionCommand } = this.#bucket.sdk;
    const { ObjectLockRetainUntilDate: RetainUntilDate, ObjectLockMode: Mode } = this.#settings();
    const input = { ...this.#bucket.key(name), Retention: { Mode, RetainUntilDate } };
    const put = () => this.#bucket.client.send(new PutObjectRetentionCommand(input), withSignal(signal));
    try {
      await this.#bucket.sendStep(name, "lock", put, signal);
    } catch (error) {
      signal?.throwIfAborted();
      // A lock that is longer already, or stricter, is refused to be made shorter.
      const found = await this.#read(name, signal);
      if (!found || found.until.getTime() < least) throw this.#notForLocks(error);
      this.#known.set(name, found.until.getTime());
      return;
    }
    if (!this.#isProven) await this.#prove(name, RetainUntilDate, false);
    this.#known.set(name, RetainUntilDate.getTime());
  }

  async #prove(name: string, wanted: Date, isNew: boolean): Promise<void> {
    const found = await this.#read(name, undefined);
    // A second of grace: not every store keeps fractions.
    if (found?.mode === this.#mode && found.until.getTime() >= wanted.getTime() - 1000) {
      this.#isProven = true;
      return;
    }
    if (isNew) {
      const { DeleteObjectCommand } = this.#bucket.sdk;
      const remove = () => this.#bucket.client.send(new DeleteObjectCommand(this.#bucket.key(name)));
      await this.#bucket.send(name, "remove", remove);
    }
    const has = found ? `${found.mode} until ${found.until.toISOString()}` : "none";
    throw notKept(this.#bucket.address(name), `a lock was requested, but when read back it is ${has}`);
  }

  async #read(
    name: string,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly mode: string; readonly until: Date } | undefined> {
    const { GetObjectRetentionCommand } = this.#bucket.sdk;
    const get = async (): Promise<Sdk.ObjectLockRetention | undefined> => {
      const command = new GetObjectRetentionCommand(this.#bucket.key(name));
      try {
        return (await this.#bucket.client.send(command, withSignal(signal))).Retention;
      } catch (error) {
        if (NOT_LOCKED.has(answerOf(error).code)) return undefined;
        throw error;
      }
    };
    const { Mode, RetainUntilDate } =
      (await this.#bucket.sendStep(name, "read the lock of", get, signal)) ?? {};
    return Mode === undefined || RetainUntilDate === undefined
      ? undefined
      : { mode: Mode, until: RetainUntilDate };
  }

  #settings(): LockSettings {
    const until = Date.now() + this.#days * DAY_MS + SLACK_MS;
    return { ObjectLockMode: this.#mode, ObjectLockRetainUntilDate: new Date(until) };
  }

  /** What a bucket that was not made for it says is nothing that anybody understands. */
  #notForLocks(error: unknown): unknown {
    const isSaid = isError(error) && NOT_LOCKED.has(answerOf(error.cause).code);
    return isSaid ? notKept(this.#bucket.location, "it refuses the lock", error) : error;
  }
}

export interface LockSettings {
  readonly ObjectLockMode: "GOVERNANCE" | "COMPLIANCE";
  readonly ObjectLockRetainUntilDate: Date;
}

function notKept(place: string, why: string, cause?: unknown): UnsupportedError {
  return new UnsupportedError(
    `${place} cannot be locked: ${why}. Object Lock must be enabled when a bucket is made, and not every store has it (docs/stores.md). An object that is not locked is never reported as locked: leave lockMode and lockDays out, or use another bucket.`,
    { cause },
  );
}

/** AWS takes no object with a lock without a digest of what is sent. */
export function digestForLock(body: Uint8Array): { readonly ContentMD5: string } {
  return { ContentMD5: createHash("md5").update(body).digest("base64") };
}
