import { type BackupError, IoError, NotFoundError, UnsupportedError } from "../../errors.ts";
import { reasonOf } from "../../fs/io.ts";

/**
 * What a store's answer means.
 * `missing`: there is no such object. `exists`: a conditional write found one. `beyond`: a range that begins behind the
 * object's end. `refused`: it will be refused again: permissions, credentials, a bucket that is not there, a request that
 * the store does not know. `unsupported`: the store says that it cannot do this at all. `transient`: it may be
 * otherwise the next time; what was asked for may have been done.
 */
type S3Meaning = "missing" | "exists" | "beyond" | "refused" | "unsupported" | "transient";

export interface S3Answer {
  readonly meaning: S3Meaning;
  /** The store's status; undefined where no answer came. */
  readonly status: number | undefined;
  /** `AccessDenied`, `ECONNRESET`, …; empty where there is none. */
  readonly code: string;
  /** After how many milliseconds the store wants to be asked again; undefined where it has not said. */
  readonly retryAfterMs: number | undefined;
  /** Where the bucket is, when the store says so. */
  readonly region: string | undefined;
}

const REGION = /^[a-z0-9-]{1,40}$/;

/** Codes by which a status that says nothing by itself is understood. */
const MEANINGS: Readonly<Record<string, S3Meaning>> = {
  NoSuchBucket: "refused",
  NoSuchUpload: "refused",
  RequestTimeTooSkewed: "transient", // the client goes by the store's clock from then on
  SlowDown: "transient",
  Throttling: "transient",
  ThrottlingException: "transient",
  TooManyRequests: "transient",
  ServiceUnavailable: "transient",
  NotImplemented: "unsupported", // also with 400
  RequestTimeout: "transient",
  InternalError: "transient",
  BadDigest: "transient", // what arrived was not what was sent
  XAmzContentSHA256Mismatch: "transient",
};

const BY_STATUS: Readonly<Record<number, S3Meaning>> = {
  404: "missing",
  409: "transient", // two conditional writes at once: neither is known to have won
  408: "transient",
  412: "exists",
  416: "beyond",
  429: "transient",
  501: "unsupported",
};

/** Reads what the SDK throws; by its status and code alone, since classes and messages differ from store to store. */
export function answerOf(error: unknown): S3Answer {
  const { $metadata = {}, $response, Code, name, code } = (error ?? {}) as SdkError;
  const status = $metadata.httpStatusCode;
  const words = [Code, code, name].filter((word) => typeof word === "string");
  const said = words.find((word) => word !== "Error") ?? "";
  return {
    meaning: MEANINGS[said] ?? meaningOf(status, said),
    status,
    code: said === "Unknown" || said === "UnknownError" ? "" : said,
    retryAfterMs: retryAfter($response?.headers?.["retry-after"]),
    region: REGION.exec($response?.headers?.["x-amz-bucket-region"] ?? "")?.[0],
  };
}

interface SdkError {
  readonly $metadata?: { readonly httpStatusCode?: number };
  readonly $response?: { readonly headers?: Readonly<Record<string, string | undefined>> };
  readonly Code?: unknown;
  readonly name?: unknown;
  readonly code?: unknown;
}

function meaningOf(status: number | undefined, code: string): S3Meaning {
  // No credentials, no region: the request was never made, and will not be made the next time either.
  if (status === undefined) return code.endsWith("ProviderError") || code === "" ? "refused" : "transient";
  // A success that the SDK throws has a body that it cannot read: cut, or not the store's.
  return BY_STATUS[status] ?? (status >= 500 || status < 300 ? "transient" : "refused");
}

/** `Retry-After` has seconds, or a time. @returns milliseconds. */
function retryAfter(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const isSeconds = /^[0-9]{1,9}$/.test(header.trim());
  const seconds = isSeconds ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? undefined : Math.max(0, Math.round(seconds * 1000));
}

const ADVICE: Readonly<Record<string, string>> = {
  InvalidAccessKeyId:
    "the store does not know this access key; look at AWS_ACCESS_KEY_ID, the profile, and the endpoint",
  SignatureDoesNotMatch: "the secret key is wrong; look at AWS_SECRET_ACCESS_KEY or the profile",
  ExpiredToken: "the credentials have expired; get new ones",
  TokenRefreshRequired: "the credentials have expired; get new ones",
  InvalidToken: "AWS_SESSION_TOKEN does not belong to this access key, or to this store",
  QuotaExceeded: "the bucket or the account is full",
  InvalidBucketName: "the store does not accept this name for a bucket",
  EntityTooLarge: "the store does not accept an object of this size",
  XAmzContentSHA256Mismatch: "what arrived is not what was sent",
  BadDigest: "what arrived is not what was sent",
  InvalidObjectState: "it is in an archive; have the store bring it back first",
  NoSuchBucket: "there is no such bucket; make it first",
  PermanentRedirect: "the bucket is in another region; name it with region=",
  AuthorizationHeaderMalformed: "the bucket is in another region; name it with region=",
  RequestTimeTooSkewed: "this machine's clock differs from the store's by too much; set it right",
  InvalidStorageClass: "the store has no such storage class",
  CredentialsProviderError:
    "no credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role",
  ECONNREFUSED: "nobody answers at the endpoint",
  ENOTFOUND: "the endpoint's host is not known",
  TimeoutError: "the store did not answer in time, or cut the connection",
};

/** Those that speak of credentials, whatever the status: AWS says 400 of a token that has expired. */
const CREDENTIALS = new Set([
  "ExpiredToken",
  "TokenRefreshRequired",
  "InvalidToken",
  "CredentialsProviderError",
  "InvalidAccessKeyId",
]);

/** Where the code says nothing: an answer without a body, or a page of HTML by somebody in between. */
const BY_STATUS_ADVICE: Readonly<Record<number, string>> = {
  200: "the store's answer cannot be read; does the endpoint speak S3?",
  301: "the bucket is in another region; name it with region=",
  304: "the store answered that nothing has changed, although it was not asked",
  307: "the bucket is in another region; name it with region=",
  401: "the store does not accept these credentials",
  405: "the endpoint does not know this request; does it speak S3?",
  412: "a condition was not met",
  429: "the store has too many requests; try again later",
  500: "the store failed; try again later",
  502: "the store is not available at the moment; try again later",
  503: "the store has too many requests, or is not available at the moment; try again later",
  504: "the store is not available at the moment; try again later",
};

/** Where the SDK found no message. */
const NOTHING_SAID =
  "the store does not accept the request, and does not say why; look at storageClass, sse, region and lockMode";

/** What is asked of a store, in the words of its errors; and what it calls the permission. */
const PERMISSIONS = {
  read: "s3:GetObject",
  "look at": "s3:GetObject, and s3:ListBucket for objects that may not exist",
  write: "s3:PutObject",
  list: "s3:ListBucket",
  remove: "s3:DeleteObject",
  lock: "s3:PutObjectRetention",
  "read the lock of": "s3:GetObjectRetention",
} as const;

export type S3Action = keyof typeof PERMISSIONS;

/** An answer of success that is none: without what every answer to such a request has. Somebody in between may have given it. */
export function notAnAnswer(what: string): Error {
  return Object.assign(new Error(`the store's answer has no ${what}`), {
    name: `No${what}`,
    $metadata: { httpStatusCode: 200 },
  });
}

/** Whether it may succeed when it is asked again: of an error that `s3Error` made. */
export function isTransientS3(error: unknown): boolean {
  return (
    error instanceof IoError && error.cause !== undefined && answerOf(error.cause).meaning === "transient"
  );
}

/** What an answer is to our callers. @param place the object's address, or the bucket's. */
export function s3Error(error: unknown, action: S3Action, place: string): BackupError {
  const { meaning, status, code, retryAfterMs, region } = answerOf(error);
  const said = [status, code].filter((word) => word !== undefined && word !== "").join(" ");
  const told = reasonOf(error);
  const own = told === "UnknownError" ? NOTHING_SAID : told;
  const refused = `the store refuses access: the policies of the user and of the bucket must allow ${PERMISSIONS[action]}`;
  const advice = ADVICE[code] ?? (status === 403 ? refused : BY_STATUS_ADVICE[status ?? 0]) ?? own;
  const why = advice.endsWith("region=") ? advice + (region ?? "") : advice;
  const message = `Could not ${action} ${place}: ${why}${said === "" ? "" : ` (${said})`}.`;
  if (meaning === "unsupported") return new UnsupportedError(message, { cause: error });
  if (meaning === "missing") return new NotFoundError(message, { cause: error, path: place });
  // Never EIO: that is damage of one file on a disk, and this is the store's, of all of its objects.
  const isRefused = status === 403 || status === 401 || CREDENTIALS.has(code);
  const errno = isRefused && meaning === "refused" ? "EACCES" : "EAGAIN";
  return new IoError(message, { cause: error, path: place, errno, retryAfterMs });
}
