import { randomUUID } from "node:crypto";
import type * as Sdk from "@aws-sdk/client-s3";
import { UnsupportedError } from "../../errors.ts";
import { knownStore } from "./known-stores.ts";
import { answerOf, s3Error } from "./s3-answer.ts";
import type { S3Location } from "./s3-location.ts";

/**
 * Tries, below the very prefix, whether a second conditional write of one object is refused: the same server holds to
 * the condition in one bucket, and not in another.
 *
 * @throws UnsupportedError where the store makes what is there already, or says that it cannot tell. @throws IoError.
 */
export async function probeExclusive(
  sdk: typeof Sdk,
  client: Sdk.S3Client,
  place: S3Location,
): Promise<void> {
  const { bucket: Bucket, prefix } = place;
  const Key = `${prefix}.probe-${randomUUID()}`;
  const input = { Bucket, Key, Body: Buffer.from("1"), IfNoneMatch: "*" };
  const put = () => client.send(new sdk.PutObjectCommand(input));
  let excludes = false;
  try {
    for (let tries = 0; tries < 2 && !excludes; tries++) {
      await put().catch((error: unknown) => {
        if (answerOf(error).meaning !== "exists") throw error;
        excludes = true;
      });
    }
  } catch (error) {
    if (answerOf(error).meaning === "unsupported") throw notExclusive(place, SAYS_NOT, error);
    throw s3Error(error, "write", `s3://${Bucket}/${Key}`);
  } finally {
    const remove = new sdk.DeleteObjectCommand({ Bucket, Key });
    await client.send(remove).catch(() => undefined); // who may not remove can still write; one byte stays
  }
  if (!excludes) throw notExclusive(place, MADE_TWICE);
}

/** Why a store is refused. */
export const SAYS_NOT = "it says that it cannot (501)";
export const MADE_TWICE = "it made an object that was there already";

export function notExclusive(place: S3Location, why: string, cause?: unknown): UnsupportedError {
  const { bucket, prefix, endpoint } = place;
  const known = knownStore(endpoint);
  const isExpected = known?.conditionalPut === "no";
  const where = isExpected
    ? `${known.name} is known for that (docs/stores.md).`
    : "Some stores do in a bucket without versioning and Object Lock (docs/stores.md).";
  return new UnsupportedError(
    `s3://${bucket}/${prefix} cannot be written to: the store does not honour If-None-Match, ${why}. Two backups or prunes at once could each believe that it is alone, and lose snapshots. ${where} If there is never more than one process that writes, init with unsafeNoExclusive (--unsafe-no-exclusive).`,
    { cause },
  );
}
