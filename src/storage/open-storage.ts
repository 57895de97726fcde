import { UnsupportedError, ValidationError } from "../errors.ts";
import { localPath } from "../fs/local-path.ts";
import { assertStorageOptions, layered, type StorageOptions } from "./layers/layered.ts";
import type { Retry, RetryOptions } from "./layers/retry-policy.ts";
import { LocalStorage } from "./local-storage.ts";
import type { Storage } from "./storage.ts";

/** Opens the storage at an address of its scheme. */
export type StorageOpener = (address: string, options: OpenerOptions) => Promise<Storage> | Storage;

export interface OpenerOptions {
  /** For a storage that makes steps of a call again by itself; calls that failed so that they may be made again, by `isTransient`, are. */
  readonly retry: RetryOptions;
}

/** Two letters at least: one is a drive of Windows. */
const SCHEME = /^([a-z][a-z0-9+.-]+):\/\//i;

const openers = new Map<string, StorageOpener>([
  [
    "s3",
    async (address, { retry }) => {
      const [{ parseS3Location }, { S3Storage }] = await Promise.all([
        import("./s3/s3-location.ts"),
        import("./s3/s3-storage.ts"),
      ]);
      return S3Storage.open(parseS3Location(address), retry);
    },
  ],
]);

/** The scheme of an address that is no local path, in lower case. */
export function schemeOf(location: string): string | undefined {
  const scheme = SCHEME.exec(location)?.[1]?.toLowerCase();
  return scheme === "file" ? undefined : scheme;
}

/**
 * Has addresses that begin with `<scheme>://` opened by `open`, wherever a repository's location is given. Before
 * `s3`, too, where it is registered anew.
 *
 * @throws ValidationError for what is no scheme.
 * @example
 * ```ts
 * registerStorage("sftp", (address) => new SftpStorage(address));
 * const repository = await Repository.init("sftp://backup@nas/vault");
 * ```
 */
export function registerStorage(scheme: string, open: StorageOpener): void {
  if (schemeOf(`${scheme}://`) !== scheme) {
    throw new ValidationError(
      `${JSON.stringify(scheme)} cannot be registered as a scheme. Use one such as "sftp".`,
    );
  }
  if (typeof open !== "function") throw new TypeError("open must be a function that answers with a Storage.");
  openers.set(scheme, open);
}

/**
 * The storage at a location: a local directory by its path or a `file:` address, `s3://bucket/prefix?region=…`, or an
 * address of a scheme that was registered. Nothing is asked of it yet.
 *
 * @param options how it is used: by default calls to a store are made again that failed for a reason that passes
 * @param onRetry told of each call that is made again
 * @throws UnsupportedError for a scheme that nobody has registered, or whose package is not installed.
 * @throws ValidationError for a location that is none. @throws TypeError for what is no string.
 * @example
 * ```ts
 * const storage = await openStorage("s3://my-bucket/vault?region=eu-central-1", { readOnly: true });
 * for await (const { name, size } of storage.list("snapshots/")) console.log(name, size);
 * ```
 */
export async function openStorage(
  location: string,
  options: StorageOptions = {},
  onRetry?: (retry: Retry) => void,
): Promise<Storage> {
  assertStorageOptions(options, "openStorage");
  const { retry } = options;
  const storage = await open(location, { retry: retry === false ? { attempts: 1 } : (retry ?? {}) });
  return layered(storage, options, onRetry);
}

async function open(location: string, options: OpenerOptions): Promise<Storage> {
  const scheme = typeof location === "string" ? schemeOf(location) : undefined;
  if (scheme === undefined) return new LocalStorage(localPath(location, "location"));
  const opener = openers.get(scheme);
  if (opener) return opener(location, options);
  throw new UnsupportedError(
    `No storage is registered for "${scheme}:". There are: a directory's path, file:, ${[...openers.keys()].map((name) => `${name}:`).join(", ")}. registerStorage adds others.`,
  );
}
