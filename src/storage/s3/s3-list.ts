import type * as Sdk from "@aws-sdk/client-s3";
import { IoError } from "../../errors.ts";
import { isObjectName, type StoredObject } from "../object-name.ts";
import { notAnAnswer } from "./s3-answer.ts";
import { MOST_KEY_BYTES, type S3Bucket, toSecond } from "./s3-bucket.ts";

/**
 * The objects below a prefix. Names that no object of ours has are passed over. A listing that would never end, or that no store
 * gives, is an `IoError`.
 */
export async function* listObjects(bucket: S3Bucket, prefix: string): AsyncGenerator<StoredObject> {
  const { prefix: own } = bucket.place;
  const seen = new Set<string>();
  let token: string | undefined;
  do {
    const page = await pageOf(bucket, own + prefix, token);
    const { Contents = [], IsTruncated = false } = page;
    for (const { Key = "", Size = 0, LastModified } of Contents) {
      if (Buffer.byteLength(Key) > MOST_KEY_BYTES)
        throw refused(bucket, prefix, `a name in it is longer than ${MOST_KEY_BYTES} bytes`);
      const name = Key.slice(own.length);
      if (Key.startsWith(own + prefix) && isObjectName(name))
        yield { name, size: Size, modified: toSecond(LastModified) };
    }
    token = IsTruncated ? page.NextContinuationToken : undefined;
    if (IsTruncated && !token) throw refused(bucket, prefix, "it says that there is more, but not where");
    for (const mark of [token && `token ${token}`, Contents[0]?.Key]) {
      if (mark === undefined || mark === "") continue;
      if (IsTruncated && seen.has(mark)) throw refused(bucket, prefix, "it repeats itself without end");
      seen.add(mark);
    }
  } while (token !== undefined);
}

function pageOf(
  bucket: S3Bucket,
  Prefix: string,
  ContinuationToken: string | undefined,
): Promise<Sdk.ListObjectsV2CommandOutput> {
  const input = { Bucket: bucket.place.bucket, Prefix, ContinuationToken };
  return bucket.sendStep("", "list", async () => {
    const page = await bucket.client.send(new bucket.sdk.ListObjectsV2Command(input));
    if (page.IsTruncated === undefined) throw notAnAnswer("IsTruncated"); // else it would say that nothing is there
    return page;
  });
}

function refused(bucket: S3Bucket, prefix: string, why: string): IoError {
  const path = bucket.address(prefix);
  const message = `The store's listing of ${path} cannot be used: ${why}. Does the endpoint speak ListObjectsV2?`;
  return new IoError(message, { path, errno: "EAGAIN" });
}
