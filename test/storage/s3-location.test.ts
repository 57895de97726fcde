import { inspect } from "node:util";
import { expect, test } from "vitest";
import { formatS3Location, parseS3Location, type S3Location } from "../../src/storage/s3/s3-location.ts";
import { S3Storage } from "../../src/storage/s3/s3-storage.ts";

test.each([
  ["s3://bucket", { bucket: "bucket", prefix: "" }],
  ["s3://bucket/", { bucket: "bucket", prefix: "" }],
  ["s3://bucket/a/b/", { bucket: "bucket", prefix: "a/b/" }],
  [
    "s3://my.bucket/a?region=eu-central-1&storageClass=STANDARD_IA&sse=aws:kms:alias/key",
    {
      bucket: "my.bucket",
      prefix: "a/",
      region: "eu-central-1",
      storageClass: "STANDARD_IA",
      serverSideEncryption: "aws:kms:alias/key",
    },
  ],
  [
    "s3://b-1/?endpoint=https%3A%2F%2Fs3.example.org%3A9000&pathStyle=false",
    { bucket: "b-1", prefix: "", endpoint: "https://s3.example.org:9000", pathStyle: false },
  ],
  [
    "s3://bucket/?profile=backup&lockMode=GOVERNANCE&lockDays=30&sse=AES256",
    {
      bucket: "bucket",
      prefix: "",
      profile: "backup",
      lockMode: "GOVERNANCE",
      lockDays: 30,
      serverSideEncryption: "AES256",
    },
  ],
])("%s is read, and comes out as it went in", (address, location) => {
  expect(parseS3Location(address)).toEqual(location);
  expect(parseS3Location(formatS3Location(parseS3Location(address)))).toEqual(location);
});

test.each([
  ["s3://", /"" is not a valid name for a bucket/],
  ["s3:///a", /"" is not a valid name for a bucket/],
  ["s3://b", /"b" is not a valid name for a bucket/],
  ["s3://bucket/a b", /prefix/],
  ["s3://bucket/../x?y=1", /parameter y/],
  ["s3://bucket/.hidden", /prefix/],
  ["s3://bucket:80/x", /port/],
  ["s3://bucket?region=a&region=b", /region twice/],
  ["s3://bucket?region=", /region is empty/],
  ["s3://bucket?pathStyle=yes", /true or false/],
  ["s3://bucket?lockMode=GOVERNANCE", /go together/],
  ["s3://bucket?lockDays=3", /go together/],
  ["s3://bucket?lockMode=governance&lockDays=3", /GOVERNANCE or COMPLIANCE/],
  ["s3://bucket?lockMode=COMPLIANCE&lockDays=0", /whole number from 1 to/],
  ["s3://bucket?lockMode=COMPLIANCE&lockDays=1.5", /whole number/],
  ["s3://bucket?lockMode=COMPLIANCE&lockDays=40000", /whole number from 1 to/],
  ["s3://bucket?sse=rot13", /sse must be/],
  ["s3://bucket?constructor=x", /no parameter constructor/],
  ["s3://bucket?endpoint=ftp%3A%2F%2Fx", /endpoint must be/],
  ["s3://bucket?endpoint=http%3A%2F%2Fx", /no TLS/],
])("%s is refused", (address, why) => {
  expect(() => parseS3Location(address)).toThrow(why);
});

test.each([
  "s3://AKIAKEY:sesame@bucket/x",
  "s3://AKIAKEY:open/sesame@bucket/x",
  "s3://AKIAKEY:sesame/o@pen@bucket/x?region=a",
  "s3://bucket/x?secret=sesame",
  "s3://bucket?endpoint=https%3A%2F%2Fme%3Asesame%40host",
])("%s: what it gives away is not told", (address) => {
  const refused = (() => {
    try {
      return String(parseS3Location(address));
    } catch (error) {
      return inspect(error);
    }
  })();
  expect(refused).toContain("ValidationError");
  expect(refused).not.toContain("sesame");
});

test.each([
  [{ bucket: "b-x" }, /needs a bucket, and a prefix/],
  [{ bucket: "b-x", prefix: "a" }, /end in a slash/],
  [{ bucket: "b-x", prefix: "../" }, /prefix/],
  [{ bucket: "b-x", prefix: "", regoin: "x" }, /no option "regoin"/],
  [{ bucket: "b-x", prefix: "", pathStyle: "yes" }, /must be a boolean/],
  [{ bucket: "b-x", prefix: "", lockMode: "GOVERNANCE", lockDays: "3" }, /must be a number/],
  [{ bucket: "b-x", prefix: "", lockMode: "GOVERNANCE" }, /go together/],
  [{ bucket: "b-x", prefix: "", region: "" }, /region is empty/],
  [{ bucket: "b-x", prefix: "", endpoint: "http://x" }, /no TLS/],
])("as options, %j is refused", async (location, why) => {
  await expect(S3Storage.open(location as S3Location)).rejects.toThrow(why);
});
