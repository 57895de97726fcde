import { join } from "node:path";
import { Repository } from "lancedb-backup";
import { describe, expect, test } from "vitest";
import { layered } from "../../../src/storage/layers/layered.ts";
import { RateLimitedStorage } from "../../../src/storage/layers/rate-limited-storage.ts";
import { LocalStorage } from "../../../src/storage/local-storage.ts";
import { MemoryStorage } from "../../conformance/memory-storage.ts";
import { newDirectory, recordingLogger } from "../../support/database.ts";
import { FlakyStorage, gather } from "./flaky-storage.ts";

const { logger } = recordingLogger();

async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return (performance.now() - begun) / 1000;
}

describe("rates", () => {
  test("bytes up and down, each by itself, and calls", async () => {
    const storage = new RateLimitedStorage(new MemoryStorage(), {
      limitUpload: 1_000_000,
      limitDownload: 2_000_000,
      limitRequests: 1000,
    });
    const write = () => storage.write("a", Buffer.alloc(500_000));
    await write(); // what was not used before
    expect(await secondsOf(write)).toBeGreaterThan(0.2);
    const read = async () => {
      for (let turn = 0; turn < 3; turn++) for await (const _ of storage.read("a"));
    };
    expect(await secondsOf(read)).toBeGreaterThan(0.45);
    const few = new RateLimitedStorage(new MemoryStorage(), { limitRequests: 20 });
    expect(
      await secondsOf(() => Promise.all(Array.from({ length: 11 }, () => few.stat("a")))),
    ).toBeGreaterThan(0.45);
  });

  test("the first waits for nothing, however much it is", async () => {
    const storage = new RateLimitedStorage(new MemoryStorage(), { limitUpload: 1 });
    expect(await secondsOf(() => storage.write("a", Buffer.alloc(500)))).toBeLessThan(200);
  });

  test("an abort ends a wait at once", async () => {
    const storage = new RateLimitedStorage(new MemoryStorage(), { limitUpload: 1, limitRequests: 0.001 });
    await storage.stat("a");
    const controller = new AbortController();
    const reason = new Error("enough");
    setTimeout(() => controller.abort(reason), 20);
    const { signal } = controller;
    const waits = [
      storage.write("a", Buffer.alloc(10), { signal }),
      storage.stat("a", { signal }),
      gather(storage.list("", { signal })),
      gather(storage.read("a", { signal })),
    ];
    for (const wait of waits) await expect(wait).rejects.toBe(reason);
  });

  test("a local directory is refused, and so is a rate that is none", async () => {
    const directory = await newDirectory();
    await expect(Repository.init(join(directory, "r"), { logger, limitUpload: 1000 })).rejects.toMatchObject({
      code: "VALIDATION",
      message: expect.stringContaining("local directory"),
    });
    await expect(Repository.init(new MemoryStorage(), { logger, limitUpload: 0 })).rejects.toMatchObject({
      code: "VALIDATION",
    });
  });
});

test("what is opened for reading only is read, and nothing is written or removed", async () => {
  const inner = new MemoryStorage();
  await inner.write("a", Buffer.from("x"));
  const storage = layered(inner, { readOnly: true });
  const refused = { code: "IO", errno: "EROFS", message: expect.stringContaining("reading only") };
  await expect(storage.write("b", Buffer.from("x"))).rejects.toMatchObject(refused);
  await expect(storage.writeNew("b", Buffer.from("x"))).rejects.toMatchObject(refused);
  await expect(storage.remove("a")).rejects.toMatchObject(refused);
  expect((await gather(storage.list(""))).map(({ name }) => name)).toEqual(["a"]);
});

test.each([
  ["in a directory", async () => join(await newDirectory(), "vault")],
  ["elsewhere", async () => new MemoryStorage()],
])("a repository %s that is opened for reading only refuses what would write into it", async (_, place) => {
  const location = await place();
  await expect(Repository.init(location, { logger, readOnly: true })).rejects.toMatchObject({
    errno: "EROFS",
  });
  await Repository.init(location, { logger });
  const repository = await Repository.open(location, { logger, readOnly: true });
  const other = await Repository.init(join(await newDirectory(), "other"), { logger });
  for (const write of [
    () => repository.backup({ source: "nowhere" }),
    () => repository.prune(),
    () => repository.delete("latest"),
    () => repository.unlock({}),
    () => repository.verify(undefined, { quarantine: true, readData: true } as object),
    () => other.copy(repository),
  ])
    await expect(write()).rejects.toMatchObject({ code: expect.stringMatching(/^(IO|UNSUPPORTED)$/) });
  expect(await repository.list()).toEqual([]);
  expect((await repository.verify()).every(({ ok }) => ok)).toBe(true);
});

test("a repository's calls are made again, as its options say", async () => {
  const inner = new MemoryStorage();
  await Repository.init(inner, { logger });
  let failures = 1;
  const flaky = new FlakyStorage(inner, () => (failures-- > 0 ? "fail" : undefined));
  const told = recordingLogger();
  await expect(Repository.open(flaky, { logger: told.logger })).resolves.toBeDefined();
  expect(told.logged.map(({ message }) => message).join()).toContain("is repeated");
  failures = 1;
  await expect(Repository.open(flaky, { logger, retry: false })).rejects.toMatchObject({ errno: "EIO" });
  await expect(Repository.open(inner, { logger, retry: { attempts: 0 } })).rejects.toMatchObject({
    code: "VALIDATION",
  });
});

describe("a storage that bears few calls at once", () => {
  class Few extends MemoryStorage {
    readonly limits = { connections: 3 };
    now = 0;
    most = 0;
    override async stat(name: string) {
      this.most = Math.max(this.most, ++this.now);
      await new Promise((resolve) => setTimeout(resolve, 5));
      this.now--;
      return super.stat(name);
    }
  }

  test("gets no more", async () => {
    const few = new Few();
    const storage = layered(layered(few, {}), {});
    await Promise.all(Array.from({ length: 20 }, (_, number) => storage.stat(`${number}`)));
    expect(few.most).toBe(3);
  });

  test("and others wait, until a read ends, or their signal", async () => {
    const few = new Few();
    await few.write("a", Buffer.alloc(3 << 20));
    const storage = layered(few, {});
    const reads = ["a", "a", "a"].map((name) => storage.read(name)[Symbol.asyncIterator]());
    for (const read of reads) await read.next();
    const controller = new AbortController();
    const reason = new Error("enough");
    const waits = storage.stat("a", { signal: controller.signal });
    const looks = storage.stat("a");
    controller.abort(reason);
    await expect(waits).rejects.toBe(reason);
    await reads[0]?.return?.(undefined);
    expect(await looks).toMatchObject({ size: 3 << 20 });
  });

  test("a number that is none is refused", () => {
    const none = Object.assign(new MemoryStorage(), { limits: { connections: 0 } });
    expect(() => layered(none, {})).toThrow(/whole number from 1/);
  });
});

test("one that makes calls again already gets no second layer", async () => {
  const once = layered(new MemoryStorage(), {});
  expect(layered(once, {})).toBe(once);
  expect(layered(layered(once, { readOnly: true }), {})).toMatchObject({ location: once.location });
  const local = new LocalStorage(await newDirectory());
  expect(layered(local, {})).toBe(local);
});
