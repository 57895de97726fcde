import { expect, test } from "vitest";
import { answerOf, s3Error } from "../../src/storage/s3/s3-answer.ts";

const answered = (httpStatusCode: number, name = "Unknown", attempts = 1) =>
  Object.assign(new Error("UnknownError"), { name, $metadata: { httpStatusCode, attempts } });
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
  ["a clock that is wrong", answered(403, "RequestTimeTooSkewed"), "refused"],
  ["another region", answered(301, "PermanentRedirect"), "refused"],
  ["a bad request", answered(400, "InvalidArgument"), "refused"],
  ["a request that came too slowly", answered(400, "RequestTimeout"), "transient"],
  ["too many requests", answered(429), "transient"],
  ["slow down", answered(503, "SlowDown"), "transient"],
  ["an error of the store", answered(500, "InternalError"), "transient"],
  ["a bad gateway with a page of HTML", answered(502), "transient"],
  ["what the store has not", answered(501, "NotImplemented"), "unsupported"],
  ["a connection that was reset", broken("ECONNRESET", "TimeoutError"), "transient"],
  ["nobody listening", broken("ECONNREFUSED"), "transient"],
  ["no credentials", Object.assign(new Error("none"), { name: "CredentialsProviderError" }), "refused"],
])("%s", (_, error, meaning) => {
  expect(answerOf(error).meaning).toBe(meaning);
});

test("an answer after the client's own tries says that one of them may have been carried out", () => {
  expect(answerOf(answered(412, "PreconditionFailed", 2)).isRepeated).toBe(true);
  expect(answerOf(answered(412, "PreconditionFailed")).isRepeated).toBe(false);
});

test("an error names action, place, reason and the store's own words", () => {
  const error = s3Error(answered(403, "ExpiredToken"), "write", "s3://b/p/x");
  expect(error).toMatchObject({
    code: "IO",
    errno: "EACCES",
    path: "s3://b/p/x",
    message: "Could not write s3://b/p/x: the credentials have expired (403 ExpiredToken).",
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
