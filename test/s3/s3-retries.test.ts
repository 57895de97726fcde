import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { openStorage } from "../../src/storage/open-storage.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { type FaultProxy, faultProxy, type ProxyFault } from "../support/fault-proxy.ts";
import { useS3Server, whyNoS3 } from "../support/s3-server.ts";

const missing = whyNoS3();
if (missing !== undefined) test.skip(`calls to a bucket that are made again (${missing})`, () => undefined);

describe.skipIf(missing !== undefined)("calls to a bucket that are made again", () => {
  const server = useS3Server();
  const CONTENT = randomBytes(300_000);

  async function arrange(options = {}) {
    const bucket = await server.bucket();
    const direct = await openStorage(server.address(bucket, "p"));
    await direct.write("there", CONTENT);
    let fault: ProxyFault | undefined;
    const proxy = await faultProxy(server.endpoint, () => fault);
    const storage = await openStorage(server.address(bucket, "p", proxy.endpoint), options);
    await storage.write("a", Buffer.from("a")); // the probe is behind us
    const failing = async (work: () => Promise<unknown>): Promise<number> => {
      fault = "503";
      const before = proxy.requests.length;
      await expect(work()).rejects.toMatchObject({ errno: "EAGAIN", retryAfterMs: 1000 });
      fault = undefined;
      return proxy.requests.length - before;
    };
    return { storage, proxy, failing };
  }

  const readAll = async (storage: Storage, name: string) => {
    const pieces: Uint8Array[] = [];
    for await (const piece of storage.read(name)) pieces.push(piece);
    return Buffer.concat(pieces);
  };
  const WORK: readonly [string, (storage: Storage) => Promise<unknown>][] = [
    ["a read", (storage) => readAll(storage, "there")],
    ["a write", (storage) => storage.write("b", CONTENT)],
    ["a listing", async (storage) => storage.list("")[Symbol.asyncIterator]().next()],
    ["a look", (storage) => storage.stat("there")],
    ["a removal", (storage) => storage.remove("there")],
    ["a large write", (storage) => storage.write("large", large())],
  ];

  async function* large() {
    for (let part = 0; part < 20; part++) yield Buffer.alloc(1 << 20);
  }

  test.each(WORK)(
    "%s is asked for as often as the budget says, by one of the layers and the client",
    async (_, work) => {
      const { storage, failing } = await arrange({ retry: { attempts: 2 } });
      expect(await failing(() => work(storage))).toBe(2);
    },
  );

  test("none is, where none is to be", async () => {
    const { storage, failing } = await arrange({ retry: false });
    for (const [, work] of WORK) expect(await failing(() => work(storage))).toBe(1);
  });

  test("writeNew asks, and looks what is there when nobody answers", async () => {
    const { storage, failing } = await arrange({ retry: { attempts: 2 } });
    // Two tries to write, and two to read.
    expect(await failing(() => storage.writeNew("new", CONTENT))).toBe(4);
  });

  test("an answer that is cut is fetched on from where it ended, without a pause", async () => {
    const bucket = await server.bucket();
    await (await openStorage(server.address(bucket))).write("there", CONTENT);
    const proxy: FaultProxy = await faultProxy(server.endpoint, ({ number }) =>
      number <= 2 ? "cut" : undefined,
    );
    const storage = await openStorage(server.address(bucket, "", proxy.endpoint), { retry: false });
    expect((await readAll(storage, "there")).equals(CONTENT)).toBe(true);
    expect(proxy.requests).toHaveLength(3);
  });

  test("the store's Retry-After is waited for", async () => {
    const bucket = await server.bucket();
    const proxy = await faultProxy(server.endpoint, ({ number }) => (number === 1 ? "503" : undefined));
    const storage = await openStorage(server.address(bucket, "", proxy.endpoint));
    const begun = performance.now();
    expect(await storage.stat("nothing")).toBeUndefined();
    expect(performance.now() - begun).toBeGreaterThan(990);
  });
});
