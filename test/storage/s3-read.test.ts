import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test, vi } from "vitest";
import { readRange } from "../../src/engine/read-small.ts";
import { layered } from "../../src/storage/layers/layered.ts";
import { S3Storage } from "../../src/storage/s3/s3-storage.ts";
import type { Storage } from "../../src/storage/storage.ts";

const OBJECT_BYTES = 8 << 20;

/** The address of a server of objects. */
async function serving(objects: Readonly<Record<string, Buffer>>): Promise<string> {
  const server = createServer(({ url = "" }, answer) => {
    const object = objects[new URL(url, "http://localhost").pathname.split("/").at(-1) ?? ""] as Buffer;
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

async function storageOn(objects: Readonly<Record<string, Buffer>>): Promise<Storage> {
  vi.stubEnv("AWS_ACCESS_KEY_ID", "test");
  vi.stubEnv("AWS_SECRET_ACCESS_KEY", "test");
  onTestFinished(() => void vi.unstubAllEnvs());
  const endpoint = await serving(objects);
  return S3Storage.open({ bucket: "bucket", prefix: "", region: "us-east-1", endpoint, allowHttp: true });
}

test("pieces of an answer are not left to the collector: they are given back when they were used", async () => {
  const object = Buffer.alloc(OBJECT_BYTES, "what is read and used");
  const storage = await storageOn({ object });
  const pieces: Uint8Array[] = [];
  const read = storage.read.bind(storage);
  storage.read = async function* (...args) {
    for await (const piece of read(...args)) {
      pieces.push(piece);
      yield piece;
    }
  };
  const bytes = await readRange(layered(storage, {}), "object")(0, OBJECT_BYTES);
  expect(bytes.equals(object)).toBe(true);
  const freed = pieces.filter(({ length }) => length === 0);
  expect(freed.length).toBeGreaterThan(pieces.length / 2); // those that are memory of their own
});

test("an answer whose last piece is still looked at holds up no other, and takes none of its bytes", async () => {
  const large = Buffer.alloc(OBJECT_BYTES, "large");
  const small = Buffer.alloc(1000, "small");
  const storage = layered(await storageOn({ large, small }), {});
  const whole = (name: string) => readRange(storage, name)(0, OBJECT_BYTES);
  for (let times = 0; times < 3; times++) {
    expect((await whole("large")).equals(large)).toBe(true);
    for await (const piece of storage.read("small")) {
      const [one, other] = await Promise.all([whole("large"), whole("small")]);
      expect([one.equals(large), other.equals(small)]).toEqual([true, true]);
      expect(small.equals(piece)).toBe(true);
    }
  }
});
