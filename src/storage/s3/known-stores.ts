/** Whether a store keeps a promise: `depends` on the bucket, says the note; `unknown`: nobody has said or tried it. */
type Kept = "yes" | "no" | "depends" | "unknown";

/**
 * What is known of a store that speaks S3. What it is relied on for is tried all the same, in the very bucket: a row says how it is
 * addressed, and why it was refused.
 */
export interface KnownStore {
  readonly name: string;
  /** Of the endpoint, in lower case; its group `region` is what is signed. Undefined where the server stands under anybody's name. */
  readonly host?: RegExp | undefined;
  /** The same for people. */
  readonly endpoint: string;
  /** Whether the bucket stands in the path of a request, not in the name of its host. */
  readonly pathStyle: boolean;
  /** What is signed where neither the address nor the host names one; undefined: the SDK's own. */
  readonly region?: string | undefined;
  /** Whether it takes the CRC checksums that the SDK adds by itself. They are sent to none: a signed payload is checked by all. */
  readonly checksums: Kept;
  /** Whether `PutObject` with `If-None-Match: *` is refused where the object is there, also of several at once. */
  readonly conditionalPut: Kept;
  /** Whether Object Lock by S3's own headers is kept. */
  readonly objectLock: Kept;
  /** `measured` by this project; `documented` by its maker; `reported` by its users. */
  readonly known: "measured" | "documented" | "reported";
  /** Plain sentences, with where they come from. */
  readonly note: string;
}

export const KNOWN_STORES: readonly KnownStore[] = [
  {
    name: "AWS S3",
    host: /(?:^|\.)(?:(?<region>[a-z]+-[a-z-]+-[0-9])\.)?(?:vpce\.)?amazonaws\.com(?:\.cn)?$/,
    endpoint: "none, or `*.amazonaws.com`",
    pathStyle: false,
    checksums: "yes",
    conditionalPut: "yes",
    objectLock: "yes",
    known: "documented",
    note: "[Conditional writes](https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html). Directory buckets have no Object Lock.",
  },
  {
    name: "Cloudflare R2",
    host: /(?:^|\.)r2\.cloudflarestorage\.com$/,
    endpoint: "`*.r2.cloudflarestorage.com`",
    pathStyle: true,
    region: "auto",
    checksums: "depends",
    conditionalPut: "yes",
    objectLock: "no",
    known: "documented",
    note: "[Conditional operations](https://developers.cloudflare.com/r2/api/s3/conditional-operations/); that one alone wins of several at once is not said there. It answered 501 to the SDK's own checksums [in 2025](https://github.com/aws/aws-sdk-js-v3/issues/6810). Its bucket locks are rules of its own, not S3's.",
  },
  {
    name: "Backblaze B2",
    host: /(?:^|\.)(?:(?<region>[a-z]+-[a-z0-9-]+)\.)?backblazeb2\.com$/,
    endpoint: "`s3.*.backblazeb2.com`",
    pathStyle: true,
    checksums: "depends",
    conditionalPut: "no",
    objectLock: "yes",
    known: "reported",
    note: "[501 to If-None-Match](https://github.com/sathinduga/obsidian-s3-sync-and-backup/issues/78) on every upload; [400 to the SDK's own checksums](https://github.com/nocobase/nocobase/issues/6872) in some regions.",
  },
  {
    name: "MinIO",
    host: /(?:^|\.)(?:min\.io|minio\.io)$/,
    endpoint: "anybody's",
    pathStyle: true,
    region: "us-east-1",
    checksums: "yes",
    conditionalPut: "yes",
    objectLock: "yes",
    known: "documented",
    note: "[S3 API](https://docs.min.io/enterprise/aistor-object-store/developers/s3-api-compatibility). [A release of 2023](https://github.com/minio/minio/issues/19442) answered 304 to a condition on a write.",
  },
  {
    name: "Tigris",
    host: /(?:^|\.)(?:tigris\.dev|t3\.storage\.dev|t3\.storageapi\.dev)$/,
    endpoint: "`t3.storage.dev`, `*.tigris.dev`",
    pathStyle: false,
    region: "auto",
    checksums: "unknown",
    conditionalPut: "depends",
    objectLock: "unknown",
    known: "documented",
    note: "[Conditional operations](https://www.tigrisdata.com/docs/objects/conditionals): the page has asked for the header X-Tigris-Consistent, so that the leader decides; it is not sent. What is tried from one place does not show what two regions do at once.",
  },
  {
    name: "DigitalOcean Spaces",
    host: /(?:^|\.)digitaloceanspaces\.com$/,
    endpoint: "`*.digitaloceanspaces.com`",
    pathStyle: false,
    region: "us-east-1",
    checksums: "unknown",
    conditionalPut: "unknown",
    objectLock: "unknown",
    known: "documented",
    note: "[S3 compatibility](https://docs.digitalocean.com/products/spaces/reference/s3-compatibility/) says nothing of conditions on writes or of Object Lock. Encryption by `sse` is not there.",
  },
  {
    name: "Scaleway Object Storage",
    host: /(?:^|\.)(?:(?<region>[a-z]+-[a-z0-9-]+)\.)?scw\.cloud$/,
    endpoint: "`s3.*.scw.cloud`",
    pathStyle: true,
    checksums: "unknown",
    conditionalPut: "yes",
    objectLock: "yes",
    known: "documented",
    note: "[Conditional writes](https://www.scaleway.com/en/docs/object-storage/api-cli/using-conditional-writes/), [Object Lock](https://scaleway.com/en/docs/object-storage/api-cli/object-lock).",
  },
  {
    name: "Google Cloud Storage (HMAC keys)",
    host: /(?:^|\.)storage\.googleapis\.com$/,
    endpoint: "`storage.googleapis.com`",
    pathStyle: true,
    region: "auto",
    checksums: "unknown",
    conditionalPut: "no",
    objectLock: "unknown",
    known: "reported",
    note: "If-None-Match is for reads and [ignored on writes](https://github.com/Gusto/baerly-storage/pull/52); its own condition is x-goog-if-generation-match, and its [headers](https://cloud.google.com/storage/docs/xml-api/reference-headers) of Object Lock have names of its own.",
  },
  {
    name: "Ceph radosgw 16.2.15",
    endpoint: "anybody's",
    pathStyle: true,
    region: "us-east-1",
    checksums: "yes",
    conditionalPut: "depends",
    objectLock: "yes",
    known: "measured",
    note: "Of 20 at once one wins in a plain bucket; in a versioned one, or one with Object Lock, all 20 do. Copies and finished uploads ignore the condition everywhere. Newer releases: [not all is mended](https://github.com/ceph/ceph/pull/71584).",
  },
  {
    name: "OpenStack Swift 2.30.1 (s3api)",
    endpoint: "anybody's",
    pathStyle: true,
    region: "us-east-1",
    checksums: "depends",
    conditionalPut: "no",
    objectLock: "no",
    known: "measured",
    note: "501 to conditions. Takes the headers of Object Lock, and forgets them: the object could be deleted. 501 to checksums of streams.",
  },
  {
    name: "s3rver 5.0.0 (for tests)",
    endpoint: "anybody's",
    pathStyle: true,
    region: "us-east-1",
    checksums: "yes",
    conditionalPut: "no",
    objectLock: "no",
    known: "measured",
    note: "Ignores conditions: 20 of 20 win. Ignores Object Lock.",
  },
];

/**
 * The store at an endpoint, with the region that the endpoint names; undefined where its host says nothing.
 *
 * @param endpoint an address with a scheme; none is AWS.
 */
export function knownStore(endpoint: string | undefined): KnownStore | undefined {
  if (endpoint === undefined) return KNOWN_STORES[0];
  const host = new URL(endpoint).hostname.toLowerCase().replace(/\.$/, "");
  for (const store of KNOWN_STORES) {
    const match = store.host?.exec(host);
    if (match) return { ...store, region: match.groups?.["region"] ?? store.region };
  }
  return undefined;
}
