import { expect, test } from "vitest";
import type { IoError } from "../../src/errors.ts";
import { answerOf, isTransientS3, notAnAnswer, s3Error } from "../../src/storage/s3/s3-answer.ts";

const answered = (httpStatusCode: number, name = "Unknown") =>
  Object.assign(new Error("UnknownError"), { name, $metadata: { httpStatusCode } });
const broken = (code: string, name = "Error") => Object.assign(new Error("broken"), { name, code });

// Statuses, names and codes as the SDK gives them for real servers.
test.each([
  ["GET of what is not there", answered(404, "NoSuchKey"), "missing"],
  ["HEAD of what is not there", answered(404, "NotFound"), "missing"],
  ["a bucket that is not there", answered(404, "NoSuchBucket"), "refused"],
  ["an upload that is not there", answered(404, "NoSuchUpload"), "refused"],
  ["a condition that is not met", answered(412, "PreconditionFailed"), "exists"],
  ["two conditional writes at once", answered(409, "ConditionalRequestConflict"), "transient"],
  ["a range behind the end", answered(416, "InvalidRange"), "beyond"],
  ["no permission", answered(403, "AccessDenied"), "refused"],
  ["HEAD without permission", answered(403), "refused"],
  ["a clock that is wrong", answered(403, "RequestTimeTooSkewed"), "transient"],
  ["another region", answered(301, "PermanentRedirect"), "refused"],
  ["a bad request", answered(400, "InvalidArgument"), "refused"],
  ["a request that came too slowly", answered(400, "RequestTimeout"), "transient"],
  ["too many requests", answered(429), "transient"],
  ["slow down", answered(503, "SlowDown"), "transient"],
  ["an error of the store", answered(500, "InternalError"), "transient"],
  ["a bad gateway with a page of HTML", answered(502), "transient"],
  ["a bad gateway that took too long", answered(504), "transient"],
  ["a success whose body cannot be read", answered(200, "SyntaxError"), "transient"],
  ["nothing has changed, which was not asked", answered(304), "refused"],
  ["no credentials that it takes", answered(401), "refused"],
  ["expired credentials", answered(400, "ExpiredToken"), "refused"],
  ["what arrived was not what was sent", answered(400, "XAmzContentSHA256Mismatch"), "transient"],
  ["what the store has not, by its code", answered(400, "NotImplemented"), "unsupported"],
  ["what the store has not", answered(501, "NotImplemented"), "unsupported"],
  ["a connection that was reset", broken("ECONNRESET", "TimeoutError"), "transient"],
  ["nobody listening", broken("ECONNREFUSED"), "transient"],
  ["no credentials", Object.assign(new Error("none"), { name: "CredentialsProviderError" }), "refused"],
])("%s", (_, error, meaning) => {
  expect(answerOf(error).meaning).toBe(meaning);
});

test.each([
  ["3", 3000],
  ["0", 0],
  [new Date(Date.now() + 60_000).toUTCString(), 60_000],
  [new Date(0).toUTCString(), 0],
  ["soon", undefined],
  [undefined, undefined],
])("Retry-After %s is in the error as milliseconds", (header, ms) => {
  const busy = Object.assign(answered(503, "SlowDown"), {
    $response: { headers: { "retry-after": header } },
  });
  const { retryAfterMs } = s3Error(busy, "write", "s3://b/x") as IoError;
  if (ms === undefined) expect(retryAfterMs).toBeUndefined();
  else expect(Math.abs((retryAfterMs ?? Number.NaN) - ms)).toBeLessThan(2_000);
});

test.each([
  ["read", /s3:GetObject/],
  ["write", /s3:PutObject/],
  ["list", /s3:ListBucket/],
  ["remove", /s3:DeleteObject/],
  ["look at", /s3:GetObject, and s3:ListBucket/],
] as const)("refused access to %s names the permission", (action, permission) => {
  expect(s3Error(answered(403, "AccessDenied"), action, "s3://b/x").message).toMatch(permission);
});

test.each([
  [answered(503, "SlowDown"), true],
  [broken("ECONNRESET", "TimeoutError"), true],
  [notAnAnswer("ETag"), true],
  [answered(403, "AccessDenied"), false],
  [answered(404, "NoSuchKey"), false],
])("%s may be otherwise the next time: %s", (error, may) => {
  expect(isTransientS3(s3Error(error, "write", "s3://b/x"))).toBe(may);
});

test("an error names action, place, reason and the store's own words", () => {
  const error = s3Error(answered(403, "ExpiredToken"), "write", "s3://b/p/x");
  expect(error).toMatchObject({
    code: "IO",
    errno: "EACCES",
    path: "s3://b/p/x",
    message: "Could not write s3://b/p/x: the credentials have expired; get new ones (403 ExpiredToken).",
  });
  expect(s3Error(answered(404, "NoSuchKey"), "read", "s3://b/x")).toMatchObject({
    name: "NotFoundError",
    code: "NOT_FOUND",
    errno: "ENOENT",
    path: "s3://b/x",
  });
  expect(s3Error(answered(501, "NotImplemented"), "write", "s3://b/x")).toMatchObject({
    code: "UNSUPPORTED",
  });
});
