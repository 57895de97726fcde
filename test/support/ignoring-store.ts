import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { onTestFinished, vi } from "vitest";
import { newDirectory } from "./database.ts";

interface S3rver {
  configureBuckets(): Promise<unknown>;
  callback(): RequestListener;
}

const nodeRequire = createRequire(import.meta.url);

/** The address in a bucket of s3rver: it takes If-None-Match and the headers of a lock, and forgets both. */
export async function ignoringStore(): Promise<string> {
  const Server = nodeRequire("@20minutes/s3rver") as new (options: object) => S3rver;
  const store = new Server({
    silent: true,
    directory: await newDirectory(),
    allowMismatchedSignatures: true, // it computes those of the current SDK wrong
    configureBuckets: [{ name: "bucket" }],
  });
  await store.configureBuckets();
  const server = createServer(store.callback()).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  vi.stubEnv("AWS_ACCESS_KEY_ID", "S3RVER");
  vi.stubEnv("AWS_SECRET_ACCESS_KEY", "S3RVER");
  onTestFinished(() => void vi.unstubAllEnvs());
  const { port } = server.address() as AddressInfo;
  return `s3://bucket/vault?allowHttp=true&endpoint=${encodeURIComponent(`http://127.0.0.1:${port}`)}`;
}
