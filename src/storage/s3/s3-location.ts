import { assertKnown } from "../../checks.ts";
import { ValidationError } from "../../errors.ts";
import { isObjectName } from "../object-name.ts";

/** Where a bucket is and how its objects are written. */
export interface S3Location {
  readonly bucket: string;
  /** What comes before the names of objects: empty, or parts that end in a slash. */
  readonly prefix: string;
  /** Default: the SDK's (`AWS_REGION`, the profile's), or of a store that is not AWS what docs/stores.md has. */
  readonly region?: string | undefined;
  /** Of a store that is not AWS: `https://host:port`. */
  readonly endpoint?: string | undefined;
  /** Whether the bucket stands in the path of a request, not in the name of its host. Default: as docs/stores.md has it; with an endpoint that is not known, true. */
  readonly pathStyle?: boolean | undefined;
  /** Allows an endpoint without TLS: who listens on the way reads and changes what goes there. Default false. */
  readonly allowHttp?: boolean | undefined;
  /** `STANDARD_IA`, `GLACIER_IR`, …: for objects of 128 KiB or more. Smaller ones cost more in such a class, and stay in the bucket's own. */
  readonly storageClass?: string | undefined;
  /** Encryption by the store: `AES256`, `aws:kms`, or `aws:kms:` and a key's id. Default: what the bucket does. */
  readonly serverSideEncryption?: string | undefined;
  /** Of the files of the AWS command line: whose credentials and region are taken. Default: as the SDK finds them. */
  readonly profile?: string | undefined;
  /**
   * Object Lock: for `lockDays` nobody can take away for good what a snapshot needs; with `COMPLIANCE` not even the owner of the
   * account, with `GOVERNANCE` who has a permission of its own. The bucket must have been made for it. Default: none.
   */
  readonly lockMode?: LockMode | undefined;
  /** Days from the newest snapshot that needs an object. With `lockMode`, and not without. */
  readonly lockDays?: number | undefined;
}

const LOCK_MODES = ["GOVERNANCE", "COMPLIANCE"] as const;

type LockMode = (typeof LOCK_MODES)[number];

/** A hundred years: what is locked by a slip of the hand with `COMPLIANCE` is paid for till then. */
const MOST_LOCK_DAYS = 36_500;

const PARAMETERS: Readonly<Record<string, keyof S3Location>> = {
  region: "region",
  endpoint: "endpoint",
  pathStyle: "pathStyle",
  allowHttp: "allowHttp",
  storageClass: "storageClass",
  sse: "serverSideEncryption",
  profile: "profile",
  lockMode: "lockMode",
  lockDays: "lockDays",
};

const KNOWN: Readonly<Record<keyof S3Location, boolean>> = {
  ...{ bucket: true, prefix: true, region: true, endpoint: true, pathStyle: true, allowHttp: true },
  ...{ storageClass: true, serverSideEncryption: true, profile: true, lockMode: true, lockDays: true },
};

const FLAGS = new Set(["pathStyle", "allowHttp"]);

/** As S3 has it; old buckets may have capital letters and `_`. */
const BUCKET = /^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$/;

/**
 * Reads `s3://bucket/prefix?region=…&endpoint=…`.
 *
 * @throws ValidationError for what is no such address, or has a parameter that is not known, or credentials in it.
 * @example
 * ```ts
 * const { bucket, prefix } = parseS3Location("s3://my-bucket/vault?region=eu-central-1");
 * ```
 */
export function parseS3Location(address: string): S3Location {
  const refuse = (why: string) =>
    new ValidationError(
      `${withoutSecrets(address)} is not the address of a bucket: ${why}. Write s3://bucket/prefix?region=eu-central-1.`,
    );
  // What the platform throws would have the whole address in it.
  if (!URL.canParse(address)) throw refuse("it cannot be read");
  const url = new URL(address);
  if (url.protocol !== "s3:") throw refuse("it does not begin with s3://");
  if (url.username !== "" || url.password !== "") {
    throw refuse(
      "credentials do not belong in it; the SDK takes them from AWS_ACCESS_KEY_ID, a profile or a role",
    );
  }
  if (url.port !== "" || url.hash !== "") throw refuse("it has a port or a #");
  const path = url.pathname.replace(/^\/+|\/+$/g, "");
  const settings: Record<string, string | boolean | number> = {};
  for (const [name, value] of url.searchParams) {
    const key = Object.hasOwn(PARAMETERS, name) ? PARAMETERS[name] : undefined;
    if (key === undefined)
      throw refuse(`it has no parameter ${name}: it has ${Object.keys(PARAMETERS).join(", ")}`);
    if (key in settings) throw refuse(`it has ${name} twice`);
    if (value === "") throw refuse(`${name} is empty`);
    settings[key] = settingOf(name, value, refuse);
  }
  const location: S3Location = { bucket: url.hostname, prefix: path === "" ? "" : `${path}/`, ...settings };
  assertValues(location, refuse);
  return location;
}

function settingOf(
  name: string,
  value: string,
  refuse: (why: string) => ValidationError,
): string | boolean | number {
  if (name === "lockDays") {
    if (!/^[0-9]{1,6}$/.test(value)) throw refuse("lockDays must be a whole number of days");
    return Number(value);
  }
  if (!FLAGS.has(name)) return value;
  if (value !== "true" && value !== "false") throw refuse(`${name} must be true or false`);
  return value === "true";
}

/** Holds options that a program gives to what an address can say. @throws ValidationError, TypeError */
export function assertS3Location(location: S3Location): void {
  assertKnown(location, "S3Storage", KNOWN);
  for (const [key, value] of Object.entries(location) as [keyof S3Location, unknown][]) {
    const wanted = FLAGS.has(key) ? "boolean" : key === "lockDays" ? "number" : "string";
    if (value !== undefined && typeof value !== wanted) throw new TypeError(`${key} must be a ${wanted}.`);
    if (value === "" && key !== "prefix") throw new ValidationError(`${key} is empty.`);
  }
  if (location.bucket === undefined || location.prefix === undefined)
    throw new TypeError("S3Storage needs a bucket, and a prefix, which may be empty.");
  if (location.prefix !== "" && !location.prefix.endsWith("/"))
    throw new ValidationError(`The prefix ${JSON.stringify(location.prefix)} must end in a slash.`);
  assertValues(location, (why) => new ValidationError(`This is not a place in a bucket: ${why}.`));
}

/** @param refuse makes the error. */
function assertValues(location: S3Location, refuse: (why: string) => ValidationError): void {
  const { bucket, prefix, lockMode, lockDays, serverSideEncryption } = location;
  if (!BUCKET.test(bucket)) throw refuse(`${JSON.stringify(bucket)} is not a valid name for a bucket`);
  const path = prefix.slice(0, -1);
  if (prefix !== "" && !isObjectName(path)) {
    throw refuse(`the prefix ${JSON.stringify(path)} has more than letters, digits, "_", "-", "." and "/"`);
  }
  assertEndpoint(location, refuse);
  if (serverSideEncryption !== undefined && !/^(?:AES256|aws:kms(?::.+)?)$/.test(serverSideEncryption))
    throw refuse("sse must be AES256, aws:kms, or aws:kms: and a key's id");
  if ((lockMode === undefined) !== (lockDays === undefined))
    throw refuse("lockMode and lockDays go together");
  if (lockMode !== undefined && !LOCK_MODES.includes(lockMode))
    throw refuse(`lockMode must be ${LOCK_MODES.join(" or ")}`);
  if (lockDays !== undefined && !(Number.isInteger(lockDays) && lockDays >= 1 && lockDays <= MOST_LOCK_DAYS))
    throw refuse(`lockDays must be a whole number from 1 to ${MOST_LOCK_DAYS}`);
}

/**
 * The address that `parseS3Location` reads. It never holds credentials.
 *
 * @example
 * ```ts
 * formatS3Location({ bucket: "my-bucket", prefix: "vault", region: "eu-central-1" });
 * ```
 */
export function formatS3Location(location: S3Location): string {
  const parameters = Object.entries(PARAMETERS).flatMap(([name, key]) => {
    const value = location[key];
    return value === undefined ? [] : [`${name}=${encodeURIComponent(String(value))}`];
  });
  const path = `s3://${location.bucket}/${location.prefix}`.replace(/\/$/, "");
  return parameters.length === 0 ? path : `${path}?${parameters.join("&")}`;
}

function assertEndpoint({ endpoint, allowHttp }: S3Location, refuse: (why: string) => ValidationError): void {
  if (endpoint === undefined) return;
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url?.protocol !== "https:" && url?.protocol !== "http:")
    throw refuse("its endpoint must be https://host");
  if (url.username !== "" || url.password !== "") throw refuse("credentials do not belong in its endpoint");
  if (url.protocol === "http:" && !allowHttp) {
    throw refuse(
      "its endpoint has no TLS, so that everybody on the way could read and change it; allowHttp=true allows that",
    );
  }
}

/** For messages about an address that may hold what must not be told. */
function withoutSecrets(address: string): string {
  return address.replace(/\/\/.*@/s, "//…@").replace(/\?.*$/s, "?…");
}
