import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { IoError } from "../../../src/errors.ts";
import { type Retry, RetryPolicy } from "../../../src/storage/layers/retry-policy.ts";
import { RetryingStorage } from "../../../src/storage/layers/retrying-storage.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { MemoryStorage } from "../../conformance/memory-storage.ts";
import type { Call, Fault } from "../../support/faulty-storage.ts";
import { FlakyStorage, gather } from "./flaky-storage.ts";

const CONTENT = randomBytes(300_000);

async function arrange(plan: (call: Call, before: number) => Fault | undefined, options = {}) {
  const inner = new MemoryStorage();
  await inner.write("there", CONTENT);
  const flaky = new FlakyStorage(inner, plan);
  const retries: Retry[] = [];
  const policy = new RetryPolicy({ attempts: 3, ...options }, (retry) => retries.push(retry));
  return { inner, flaky, retries, storage: new RetryingStorage(flaky, policy) };
}

async function readAll(storage: Storage, name: string): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of storage.read(name)) pieces.push(piece);
  return Buffer.concat(pieces);
}

const FAULTS = ["fail", "lose"] as const;

describe("a call that failed for a reason that passes is made again", () => {
  test.each(FAULTS)("of every method, where it was to %s", async (fault) => {
    const { inner, storage, retries } = await arrange((_, before) => (before === 0 ? fault : undefined));
    await storage.write("a", Buffer.from("1"));
    expect(await storage.writeNew("b", Buffer.from("2"))).toBe(true);
    expect((await readAll(storage, "there")).equals(CONTENT)).toBe(true);
    expect(await storage.stat("a")).toMatchObject({ size: 1 });
    expect([...(await storage.has(["a", "b", "c", "there", "e"])).keys()].sort()).toEqual([
      "a",
      "b",
      "there",
    ]);
    await storage.remove("a");
    expect(await inner.stat("a")).toBeUndefined();
    expect((await readAll(inner, "b")).toString()).toBe("2");
    expect(retries.length).toBeGreaterThan(5);
  });

  test("a listing too, as long as it has shown nothing", async () => {
    const first = await arrange((_, before) => (before === 0 ? "fail" : undefined));
    await first.inner.remove("there");
    await expect(gather(first.storage.list(""))).resolves.toEqual([]);
    const shown = await arrange(() => "lose");
    await shown.inner.write("second", Buffer.from("2"));
    await expect(gather(shown.storage.list(""))).rejects.toMatchObject({ errno: "EIO" });
    expect(shown.retries).toEqual([]);
  });

  test("as often as the budget says, and then its error comes out", async () => {
    const { storage, flaky, retries } = await arrange(() => "fail");
    await expect(storage.stat("there")).rejects.toMatchObject({ errno: "EIO" });
    expect(flaky.calls).toHaveLength(3);
    expect(retries.map(({ failures }) => failures)).toEqual([1, 2]);
  });

  test("and not once more when the time is over", async () => {
    const { storage, flaky } = await arrange(() => "fail", { attempts: 100, timeMs: 0 });
    await expect(storage.stat("there")).rejects.toMatchObject({ errno: "EIO" });
    expect(flaky.calls).toHaveLength(1);
  });

  test("by one of several layers alone", async () => {
    const { storage, flaky } = await arrange(() => "fail");
    const twice = new RetryingStorage(storage, new RetryPolicy({ attempts: 5 }));
    await expect(twice.stat("there")).rejects.toMatchObject({ errno: "EIO" });
    expect(flaky.calls).toHaveLength(3);
  });
});

test("what is refused, and what is not there, is asked for once", async () => {
  const { storage, flaky } = await arrange(() => undefined);
  await expect(readAll(storage, "missing")).rejects.toMatchObject({ code: "NOT_FOUND" });
  await expect(storage.write("../out", Buffer.from("x"))).rejects.toMatchObject({ code: "VALIDATION" });
  expect(flaky.calls).toHaveLength(2);
});

test("the store's own wish is kept to, by which it is asked again", async () => {
  const { inner, storage, retries } = await arrange(() => undefined);
  let isBusy = true;
  inner.stat = async () => {
    if (!isBusy) return undefined;
    isBusy = false;
    throw new IoError("busy", { errno: "EIO", retryAfterMs: 1500 });
  };
  const begun = performance.now();
  await storage.stat("x");
  expect(performance.now() - begun).toBeGreaterThan(1400);
  expect(retries).toEqual([expect.objectContaining({ failures: 1, pauseMs: 1500 })]);
});

test("an abort ends a wait at once, with its reason", async () => {
  const { inner, storage } = await arrange(() => undefined);
  inner.stat = async () => {
    throw new IoError("busy", { errno: "EIO", retryAfterMs: 60_000 });
  };
  const controller = new AbortController();
  const reason = new Error("enough");
  setTimeout(() => controller.abort(reason), 50);
  const begun = performance.now();
  await expect(storage.stat("x", { signal: controller.signal })).rejects.toBe(reason);
  expect(performance.now() - begun).toBeLessThan(60_000);
});

describe("a read", () => {
  test("that breaks off again and again gives every byte once", async () => {
    const { storage } = await arrange((_, before) => (before < 2 ? "lose" : undefined));
    expect((await readAll(storage, "there")).equals(CONTENT)).toBe(true);
  });

  test("of what was written anew meanwhile is an error, and no mixture", async () => {
    const { inner, storage } = await arrange((_, before) => (before === 0 ? "lose" : undefined));
    const reading = (async () => {
      let given = 0;
      for await (const _ of storage.read("there"))
        if (given++ === 0) await inner.write("there", randomBytes(CONTENT.length));
    })();
    await expect(reading).rejects.toThrow(/overwritten/);
    const shorter = await arrange((_, before) => (before === 0 ? "lose" : undefined));
    const cut = (async () => {
      let given = 0;
      for await (const _ of shorter.storage.read("there"))
        if (given++ === 0) await shorter.inner.write("there", Buffer.of(1));
    })();
    await expect(cut).rejects.toThrow(/overwritten/);
  });
});

describe("writeNew", () => {
  test("whose answer was lost says true where what is there is what was sent", async () => {
    const { inner, storage } = await arrange((_, before) => (before === 0 ? "lose" : undefined));
    expect(await storage.writeNew("new", CONTENT)).toBe(true);
    expect((await readAll(inner, "new")).equals(CONTENT)).toBe(true);
  });

  test("says false where another one has made it, after a lost answer too", async () => {
    const { storage } = await arrange((_, before) => (before === 0 ? "fail" : undefined));
    expect(await storage.writeNew("there", Buffer.from("mine"))).toBe(false);
  });

  test("that found it there at once says false, whatever it holds", async () => {
    const { storage, flaky } = await arrange(() => undefined);
    expect(await storage.writeNew("there", CONTENT)).toBe(false);
    expect(flaky.calls).toHaveLength(1);
  });

  test("that was done each time and never answered says true", async () => {
    const { storage } = await arrange(({ method }) => (method === "writeNew" ? "lose" : undefined));
    expect(await storage.writeNew("new", CONTENT)).toBe(true);
  });
});

describe("a stream", () => {
  const stream = async function* (pieces: number) {
    for (let piece = 0; piece < pieces; piece++) yield Buffer.alloc(1 << 20, piece);
  };

  test("of up to 16 MiB is sent again", async () => {
    const { inner, storage } = await arrange((_, before) => (before === 0 ? "fail" : undefined));
    await storage.write("stream", stream(16));
    expect(await inner.stat("stream")).toMatchObject({ size: 16 << 20 });
  });

  test("of more that is in memory anyway is sent again", async () => {
    const { inner, storage } = await arrange((_, before) => (before === 0 ? "fail" : undefined));
    await storage.write("bytes", Buffer.alloc((16 << 20) + 500));
    expect(await inner.stat("bytes")).toMatchObject({ size: (16 << 20) + 500 });
  });

  test("of more is sent once, and whole", async () => {
    const { inner, storage } = await arrange(() => undefined);
    await storage.write("stream", stream(20));
    const content = await readAll(inner, "stream");
    expect(content.length).toBe(20 << 20);
    expect(content[content.length - 1]).toBe(19);
    const failing = await arrange(() => "fail");
    await expect(failing.storage.write("stream", stream(20))).rejects.toMatchObject({ errno: "EIO" });
    expect(failing.flaky.calls).toHaveLength(1);
  });
});
