import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { renderStoresDocs, STORES_DOCS } from "../../scripts/stores-docs.ts";
import { KNOWN_STORES, knownStore } from "../../src/storage/s3/known-stores.ts";

test("docs/stores.md is what the table says (npm run docs:stores)", () => {
  expect(readFileSync(STORES_DOCS, "utf8")).toBe(renderStoresDocs());
});

test.each([
  [undefined, "AWS S3"],
  ["https://s3.eu-central-1.amazonaws.com", "AWS S3"],
  ["https://bucket.vpce-1a2b.s3.us-east-1.vpce.amazonaws.com", "AWS S3"],
  ["https://s3.cn-north-1.amazonaws.com.cn", "AWS S3"],
  ["https://0123abcd.r2.cloudflarestorage.com", "Cloudflare R2"],
  ["https://0123abcd.eu.r2.cloudflarestorage.com/", "Cloudflare R2"],
  ["https://s3.us-west-004.backblazeb2.com", "Backblaze B2"],
  ["https://play.min.io:9000", "MinIO"],
  ["https://t3.storage.dev", "Tigris"],
  ["https://FLY.storage.tigris.dev.", "Tigris"],
  ["https://fra1.digitaloceanspaces.com", "DigitalOcean Spaces"],
  ["https://s3.fr-par.scw.cloud", "Scaleway Object Storage"],
  ["https://storage.googleapis.com", "Google Cloud Storage (HMAC keys)"],
])("%s is %s", (endpoint, name) => {
  expect(knownStore(endpoint)?.name).toBe(name);
});

test.each([
  ["https://s3.us-west-004.backblazeb2.com", "us-west-004"],
  ["https://s3.fr-par.scw.cloud", "fr-par"],
  ["https://s3.eu-central-1.amazonaws.com", "eu-central-1"],
  ["https://s3.us-gov-west-1.amazonaws.com", "us-gov-west-1"],
  ["https://bucket.vpce-1a2b.s3.us-east-1.vpce.amazonaws.com", "us-east-1"],
  ["https://s3.amazonaws.com", undefined],
  ["https://0123abcd.r2.cloudflarestorage.com", "auto"],
])("to %s requests are signed for %s", (endpoint, region) => {
  expect(knownStore(endpoint)?.region).toBe(region);
});

test.each([
  "http://127.0.0.1:9000",
  "https://amazonaws.com.example.org",
  "https://notbackblazeb2.com",
  "https://s3.example.org/amazonaws.com",
])("%s is nobody that is known", (endpoint) => {
  expect(knownStore(endpoint)).toBeUndefined();
});

test("a name stands once, and a cell breaks no table", () => {
  const names = KNOWN_STORES.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  for (const { name, endpoint, note } of KNOWN_STORES) expect(name + endpoint + note).not.toMatch(/[|\n]/);
});
