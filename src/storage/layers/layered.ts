import { assertFlag, assertKnown, describe } from "../../checks.ts";
import { ValidationError } from "../../errors.ts";
import type { Storage } from "../storage.ts";
import { ConnectedStorage } from "./connected-storage.ts";
import { CountedStorage, type StorageRequest } from "./counted-storage.ts";
import { assertRates, RateLimitedStorage, type RateLimits } from "./rate-limited-storage.ts";
import { ReadOnlyStorage } from "./read-only-storage.ts";
import { assertRetry, type Retry, type RetryOptions, RetryPolicy } from "./retry-policy.ts";
import { RetryingStorage } from "./retrying-storage.ts";

/** How a storage is used. */
export interface StorageOptions extends RateLimits {
  /**
   * How calls to a store are made again that failed for a reason that passes: it was busy, or a connection broke. False: no
   * call is. Default: six times within two minutes. A local directory is asked once.
   */
  readonly retry?: RetryOptions | false | undefined;
  /** Refuse to write: an `IoError` of errno `EROFS`, before anything is asked of the store. Default false. */
  readonly readOnly?: boolean | undefined;
  /**
   * Told of each call to the storage that has ended, also of one that failed and is made again; for metrics. What is copied or linked
   * in a local directory passes by it. It must not throw. Default: nobody is told.
   */
  readonly onRequest?: ((request: StorageRequest) => void) | undefined;
}

/** For checks of options that have these among others. */
export const STORAGE_OPTIONS = {
  ...{ retry: true, readOnly: true, onRequest: true },
  ...{ limitUpload: true, limitDownload: true, limitRequests: true },
} as const;

/** @throws TypeError, ValidationError */
export function assertStorageOptions(options: StorageOptions, of: string): void {
  assertKnown(options, of, STORAGE_OPTIONS);
  const { retry, readOnly, onRequest, ...limits } = options;
  if (onRequest !== undefined && typeof onRequest !== "function") {
    throw new TypeError(`onRequest must be a function, not ${describe(onRequest)}.`);
  }
  assertRetry(retry);
  assertFlag(readOnly, "readOnly");
  assertRates(limits);
}

/** Storages with a layer that makes calls again, and with one that makes few at once. */
const retrying = new WeakSet<Storage>();
const connected = new WeakSet<Storage>();

/**
 * A storage with the layers that the options ask for. What is sent again counts for the limits, too. One that makes calls again
 * already gets no second layer that does.
 *
 * @param onRetry told of each call that is made again
 * @throws ValidationError for limits of a local directory: what is copied and linked there passes by its storage.
 */
export function layered(
  storage: Storage,
  options: StorageOptions,
  onRetry?: (retry: Retry) => void,
): Storage {
  const { retry = {}, readOnly = false, onRequest, ...limits } = options;
  const isLimited = Object.values(limits).some((limit) => limit !== undefined);
  const isLocal = storage.local !== undefined;
  if (isLocal && isLimited) {
    throw new ValidationError(
      `${storage.location} is a local directory: limitUpload, limitDownload and limitRequests are for stores.`,
    );
  }
  const connections = storage.limits?.connections;
  let result = onRequest ? new CountedStorage(storage, onRequest) : storage;
  if (connections !== undefined && !connected.has(storage))
    result = new ConnectedStorage(result, assertConnections(connections, storage));
  if (isLimited) result = new RateLimitedStorage(result, limits);
  const alreadyRetries = retrying.has(storage);
  const isToRetry = !isLocal && retry !== false && !alreadyRetries;
  if (isToRetry) result = new RetryingStorage(result, new RetryPolicy(retry, onRetry));
  if (readOnly) result = new ReadOnlyStorage(result);
  if (isToRetry || alreadyRetries) retrying.add(result);
  if (connections !== undefined) connected.add(result);
  return result;
}

function assertConnections(connections: number, { location }: Storage): number {
  if (Number.isInteger(connections) && connections > 0) return connections;
  throw new ValidationError(
    `limits.connections of ${location} must be a whole number from 1, not ${connections}.`,
  );
}
