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
}

const PARAMETERS: Readonly<Record<string, keyof S3Location>> = {
  region: "region",
  endpoint: "endpoint",
  pathStyle: "pathStyle",
  allowHttp: "allowHttp",
  storageClass: "storageClass",
  sse: "serverSideEncryption",
};

const FLAGS = new Set(["pathStyle", "allowHttp"]);

/** As S3 has it; old buckets may have capital letters and `_`. */
const BUCKET = /^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$/;

/**
 * Reads `s3://bucket/prefix?region=…&endpoint=…`.
 *
 * @throws ValidationError for what is no such address, or has a parameter that is not known, or credentials in it.
 */
export function parseS3Location(address: string): S3Location {
  const refuse = (why: string) =>
    new ValidationError(
      `${withoutSecrets(address)} is no address of a bucket: ${why}. Write s3://bucket/prefix?region=eu-central-1.`,
    );
  // What the platform throws would have the whole address in it.
  if (!URL.canParse(address)) throw refuse("it cannot be read");
  const url = new URL(address);
  if (url.protocol !== "s3:") throw refuse("it does not begin with s3://");
  if (url.username !== "" || url.password !== "") {
    throw refuse(
      "credentials do not belong into it; the SDK takes them from AWS_ACCESS_KEY_ID, a profile or a role",
    );
  }
  if (url.port !== "" || url.hash !== "") throw refuse("it has a port or a #");
  const bucket = url.hostname;
  if (!BUCKET.test(bucket)) throw refuse(`${JSON.stringify(bucket)} is no bucket's name`);
  const path = url.pathname.replace(/^\/+|\/+$/g, "");
  if (path !== "" && !isObjectName(path)) {
    throw refuse(`the prefix ${JSON.stringify(path)} has more than letters, digits, "_", "-", "." and "/"`);
  }
  const settings: Record<string, string | boolean> = {};
  for (const [name, value] of url.searchParams) {
    const key = PARAMETERS[name];
    if (key === undefined)
      throw refuse(`it has no parameter ${name}: it has ${Object.keys(PARAMETERS).join(", ")}`);
    if (key in settings) throw refuse(`it has ${name} twice`);
    if (FLAGS.has(name) && value !== "true" && value !== "false")
      throw refuse(`${name} must be true or false`);
    if (value === "") throw refuse(`${name} is empty`);
    settings[key] = FLAGS.has(name) ? value === "true" : value;
  }
  const location: S3Location = { bucket, prefix: path === "" ? "" : `${path}/`, ...settings };
  assertEndpoint(location, refuse);
  return location;
}

/** The address that `parseS3Location` reads. It never holds credentials. */
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
  if (url.username !== "" || url.password !== "") throw refuse("credentials do not belong into its endpoint");
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
