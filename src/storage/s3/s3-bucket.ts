import type * as Sdk from "@aws-sdk/client-s3";
import { UnsupportedError, ValidationError } from "../../errors.ts";
import { isNotInstalled } from "../../util/not-installed.ts";
import type { RetryPolicy } from "../layers/retry-policy.ts";
import { assertObjectName } from "../object-name.ts";
import { knownStore } from "./known-stores.ts";
import { isTransientS3, type S3Action, s3Error } from "./s3-answer.ts";
import type { S3Location } from "./s3-location.ts";

/** Colder storage classes bill every object as one of this size at least. */
const LEAST_FOR_CLASS = 128 << 10;

/** Milliseconds in which a connection must be there; and of silence, after which it is given up, however long a request is. */
const CONNECT_MS = 10_000;
const SILENCE_MS = 60_000;

/** S3's own limit for a name with its prefix, both of ASCII letters alone. */
export const MOST_KEY_BYTES = 1024;

/** A bucket's prefix, and the client that talks to its store. What is asked of it is said by its neighbours. */
export class S3Bucket {
  readonly place: S3Location;
  readonly sdk: typeof Sdk;
  readonly client: Sdk.S3Client;
  /** `s3://bucket/prefix`, for messages. */
  readonly location: string;
  readonly #retries: RetryPolicy;

  private constructor(place: S3Location, sdk: typeof Sdk, retries: RetryPolicy) {
    this.place = place;
    this.sdk = sdk;
    this.#retries = retries;
    this.client = clientOf(place, sdk);
    this.location = `s3://${place.bucket}/${place.prefix}`.replace(/\/$/, "");
  }

  /** Asks nothing of the store yet. @throws UnsupportedError where the SDK is not installed. */
  static async open(place: S3Location, retries: RetryPolicy): Promise<S3Bucket> {
    return new S3Bucket(place, await loadSdk(), retries);
  }

  /** @throws ValidationError for what is no object's name. */
  key(name: string): { readonly Bucket: string; readonly Key: string } {
    assertObjectName(name);
    const Key = this.place.prefix + name;
    if (Key.length > MOST_KEY_BYTES)
      throw new ValidationError(
        `${this.address(name)} is longer than the ${MOST_KEY_BYTES} bytes that S3 allows.`,
      );
    return { Bucket: this.place.bucket, Key };
  }

  /** An object's, for messages; with an empty name the bucket's. */
  address(name: string): string {
    return name === "" ? this.location : `${this.location}/${name}`;
  }

  /** What goes along with an object of so many bytes. */
  settings(bytes: number) {
    const { storageClass, serverSideEncryption } = this.place;
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

  /** Makes a request; what it throws is ours, and says what was to be done to which object. */
  async send<T>(name: string, action: S3Action, request: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    try {
      return await request();
    } catch (error) {
      signal?.throwIfAborted();
      throw s3Error(error, action, this.address(name));
    }
  }

  /** As `send`, made again by itself: one step of a call that would have to begin from its start. */
  sendStep<T>(name: string, action: S3Action, request: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#retries.run(() => this.send(name, action, request, signal), isTransientS3, signal);
  }
}

function clientOf(place: S3Location, sdk: typeof Sdk): Sdk.S3Client {
  const { endpoint } = place;
  const known = knownStore(endpoint);
  const region = place.region ?? (known ? known.region : "us-east-1");
  return new sdk.S3Client({
    ...(region !== undefined && { region }),
    ...(place.profile !== undefined && { profile: place.profile }),
    ...(endpoint !== undefined && { endpoint }),
    forcePathStyle: place.pathStyle ?? known?.pathStyle ?? true,
    // Many stores do not know the checksums that the SDK adds by itself; a signed payload is checked by all.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    maxAttempts: 1, // what is made again is said in one place, `RetryPolicy`
    requestHandler: { connectionTimeout: CONNECT_MS, socketTimeout: SILENCE_MS },
  });
}

async function loadSdk(): Promise<typeof Sdk> {
  try {
    return await import("@aws-sdk/client-s3");
  } catch (error) {
    if (!isNotInstalled(error)) throw error;
    throw new UnsupportedError(
      "Repositories in S3 need the AWS SDK, which is not installed: npm install @aws-sdk/client-s3",
      { cause: error },
    );
  }
}

export const withSignal = (signal: AbortSignal | undefined) => (signal ? { abortSignal: signal } : {});

/** LIST tells milliseconds where HEAD tells seconds. */
export const toSecond = (time: Date | undefined) =>
  new Date(Math.floor((time?.getTime() ?? 0) / 1000) * 1000);
