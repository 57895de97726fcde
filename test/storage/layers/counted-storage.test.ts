import { expect, test } from "vitest";
import type { StorageRequest } from "../../../src/storage/layers/counted-storage.ts";
import { layered } from "../../../src/storage/layers/layered.ts";
import { openStorage } from "../../../src/storage/open-storage.ts";
import { MemoryStorage } from "../../conformance/memory-storage.ts";
import { FlakyStorage, gather } from "./flaky-storage.ts";

function counting() {
  const requests: StorageRequest[] = [];
  const onRequest = (request: StorageRequest) => void requests.push(request);
  const told = () => requests.splice(0).map(({ operation, outcome }) => `${operation} ${outcome}`);
  return { onRequest, told };
}

test("each call is told of when it has ended, with how it did", async () => {
  const { onRequest, told } = counting();
  const storage = layered(new MemoryStorage(), { onRequest, retry: false });
  await storage.write("a/1", Buffer.from("one"));
  await storage.writeNew("a/2", Buffer.from("two"));
  await storage.writeNew("a/2", Buffer.from("two"));
  await gather(storage.read("a/1"));
  await gather(storage.list("a/"));
  await storage.stat("a/1");
  await storage.remove("a/1");
  expect(told()).toEqual([
    ...["write success", "write_new success", "write_new success", "read success"],
    ...["list success", "stat success", "remove success"],
  ]);
  await expect(gather(storage.read("a/1"))).rejects.toMatchObject({ code: "NOT_FOUND" });
  const reason = new Error("enough");
  const pieces = (async function* () {
    yield Buffer.from("one");
  })();
  const written = storage.write("a/3", pieces, { signal: AbortSignal.abort(reason) });
  await expect(written).rejects.toBe(reason);
  expect(told()).toEqual(["read not_found", "write aborted"]);
});

test("a call that is made again is told of each time", async () => {
  const { onRequest, told } = counting();
  const flaky = new FlakyStorage(new MemoryStorage(), (_, before) => (before < 1 ? "fail" : undefined));
  const storage = layered(flaky, { onRequest });
  await storage.write("a", Buffer.from("one"));
  expect(told()).toEqual(["write failure", "write success"]);
});

test("a reader who has enough is no failure", async () => {
  const { onRequest, told } = counting();
  const storage = layered(new MemoryStorage(), { onRequest });
  await storage.write("a", Buffer.from("one"));
  for await (const _ of storage.read("a")) break;
  expect(told()).toEqual(["write success", "read success"]);
});

test("what is no function is refused", async () => {
  await expect(openStorage("s3://bucket", { onRequest: 7 as never })).rejects.toThrow(TypeError);
});
