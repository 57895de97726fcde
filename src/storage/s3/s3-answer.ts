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
  /** Whether the client had asked before and got no clear answer: an earlier try may have been carried out. */
  readonly isRepeated: boolean;
}

/** Codes by which a status that says nothing by itself is understood. */
const MEANINGS: Readonly<Record<string, S3Meaning>> = {
  NoSuchBucket: "refused",
  NoSuchUpload: "refused",
  RequestTimeTooSkewed: "refused",
  SlowDown: "transient",
  RequestTimeout: "transient",
  InternalError: "transient",
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
  const { $metadata = {}, Code, name, code } = (error ?? {}) as SdkError;
  const status = $metadata.httpStatusCode;
  const words = [Code, code, name].filter((word) => typeof word === "string");
  const said = words.find((word) => word !== "Error") ?? "";
  return {
    meaning: MEANINGS[said] ?? meaningOf(status, said),
    status,
    code: said === "Unknown" || said === "UnknownError" ? "" : said,
    isRepeated: ($metadata.attempts ?? 1) > 1,
  };
}

interface SdkError {
  readonly $metadata?: { readonly httpStatusCode?: number; readonly attempts?: number };
  readonly Code?: unknown;
  readonly name?: unknown;
  readonly code?: unknown;
}

function meaningOf(status: number | undefined, code: string): S3Meaning {
  // No credentials, no region: the request was never made, and will not be made the next time either.
  if (status === undefined) return code.endsWith("ProviderError") || code === "" ? "refused" : "transient";
  return BY_STATUS[status] ?? (status >= 500 ? "transient" : "refused");
}

const ADVICE: Readonly<Record<string, string>> = {
  AccessDenied: "the store refuses access; look at the policy of the user and of the bucket",
  InvalidAccessKeyId: "the store does not know this access key",
  SignatureDoesNotMatch: "the secret key is wrong",
  ExpiredToken: "the credentials have expired",
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

/** What an answer is to our callers. @param place the object's address, or the bucket's. */
export function s3Error(error: unknown, action: string, place: string): BackupError {
  const { meaning, status, code } = answerOf(error);
  const said = [status, code].filter((word) => word !== undefined && word !== "").join(" ");
  const own = reasonOf(error);
  const why = ADVICE[code] ?? (status === 403 ? ADVICE["AccessDenied"] : undefined) ?? own;
  const message = `Could not ${action} ${place}: ${why}${said === "" ? "" : ` (${said})`}.`;
  if (meaning === "unsupported") return new UnsupportedError(message, { cause: error });
  if (meaning === "missing") return new NotFoundError(message, { cause: error, path: place });
  // Never EIO: that is damage of one file on a disk, and this is the store's, of all of its objects.
  const errno = status === 403 ? "EACCES" : "EAGAIN";
  return new IoError(message, { cause: error, path: place, errno });
}
