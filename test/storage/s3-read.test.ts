import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test, vi } from "vitest";
import { readRange } from "../../src/engine/read-small.ts";
import { layered } from "../../src/storage/layers/layered.ts";
import { S3Storage } from "../../src/storage/s3/s3-storage.ts";
import { giveMemory } from "../../src/util/spare-memory.ts";

const OBJECT_BYTES = 8 << 20;

/** The address of a server that has one object under every name. */
async function serving(object: Buffer): Promise<string> {
  const server = createServer((_, answer) => {
    answer.writeHead(206, { ETag: '"one"', "Content-Length": object.length });
    answer.end(object);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("what a store answers with is not left to the collector, and comes whole over one connection", async () => {
  vi.stubEnv("AWS_ACCESS_KEY_ID", "test");
  vi.stubEnv("AWS_SECRET_ACCESS_KEY", "test");
  onTestFinished(() => void vi.unstubAllEnvs());
  const object = Buffer.alloc(OBJECT_BYTES, "what is read and used");
  const endpoint = await serving(object);
  const place = { bucket: "bucket", prefix: "", region: "us-east-1", endpoint, allowHttp: true };
  const storage = layered(await S3Storage.open(place), {});
  const read = readRange(storage, "object");
  const readAndCompare = async () => {
    const bytes = await read(0, OBJECT_BYTES);
    expect(bytes.equals(object)).toBe(true);
    giveMemory(bytes);
  };
  await readAndCompare(); // the first answer shows what the client hands on
  const before = process.memoryUsage().arrayBuffers;
  for (let times = 0; times < 4; times++) await readAndCompare();
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(OBJECT_BYTES);
});
