import assert from "node:assert/strict";
import type { Storage } from "../storage.ts";
import {
  assertContent,
  assertNames,
  check,
  inPieces,
  rejection,
  type StorageCheck,
  text,
} from "./storage-check.ts";

const METHODS = ["write", "writeNew"] as const;

export const writeChecks: readonly StorageCheck[] = [
  check("write: takes the place of what has the name, and can be done twice", async (storage) => {
    await storage.write("a", text("first, and longer"));
    await storage.write("a", text("second"));
    await storage.write("a", text("second"));
    await assertContent(storage, "a", "second");
    await assertNames(storage, "", ["a"]);
  }),

  check("write: takes pieces as they come, empty ones among them", async (storage) => {
    await storage.write("pieces", inPieces("one ", "", "two ", new Uint8Array(0), "three"));
    await assertContent(storage, "pieces", "one two three");
  }),

  ...METHODS.map((method) =>
    check(`${method}: a source that fails leaves nothing`, async (storage) => {
      const reason = new Error("the source failed");
      const failing = async function* () {
        yield text("half");
        throw reason;
      };
      assert.equal(await rejection(storage[method]("a/b", failing())), reason);
      await assertNames(storage, "", []);
      await storage.write("a/b", text("old"));
      assert.equal(await rejection(storage[method]("a/b", failing())), reason);
      await assertContent(storage, "a/b", "old");
    }),
  ),

  ...METHODS.map((method) =>
    check(`${method}: ends with the signal's reason, nothing written`, (storage) =>
      assertAborts(storage, method),
    ),
  ),

  check("write: an abort tells the source to end", async (storage) => {
    const controller = new AbortController();
    let hasEnded = false;
    const source = async function* () {
      try {
        for (let piece = 0; ; piece++) {
          if (piece === 1) setTimeout(() => controller.abort(), 1);
          yield Buffer.alloc(1000);
          // A storage that never waits for anything would else keep the timer from ever coming.
          await new Promise((resolve) => setImmediate(resolve));
        }
      } finally {
        hasEnded = true;
      }
    };
    await rejection(storage.write("a", source(), { signal: controller.signal }));
    for (let turn = 0; turn < 5 && !hasEnded; turn++) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(hasEnded, "the source of the pieces has ended");
  }),

  check("writeNew: writes where there is none, and else says false and changes nothing", async (storage) => {
    assert.equal(await storage.writeNew("a/b", text("first")), true);
    const before = await storage.stat("a/b");
    assert.equal(await storage.writeNew("a/b", text("second")), false);
    await assertContent(storage, "a/b", "first");
    assert.deepEqual(await storage.stat("a/b"), before);
    await assertNames(storage, "", ["a/b"]);
  }),

  check("writeNew: of several at once, only one gets true, and its content stays", async (storage) => {
    for (let round = 0; round < 8; round++) {
      const name = `round/${round}`;
      const results = await Promise.all(
        Array.from({ length: 12 }, (_, index) => storage.writeNew(name, inPieces("of ", String(index)))),
      );
      const winners = results.flatMap((won, index) => (won ? [index] : []));
      assert.equal(winners.length, 1, `${winners.length} of 12 were told that they made ${name}`);
      await assertContent(storage, name, `of ${winners[0]}`);
    }
  }),

  check("writeNew: takes a name that was removed", async (storage) => {
    await storage.writeNew("a", text("1"));
    await storage.remove("a");
    assert.equal(await storage.writeNew("a", text("2")), true);
    await assertContent(storage, "a", "2");
  }),
];

async function assertAborts(storage: Storage, method: (typeof METHODS)[number]): Promise<void> {
  const reason = new Error("enough");
  const signal = AbortSignal.abort(reason);
  assert.equal(await rejection(storage[method]("a", text("x"), { signal })), reason);
  const controller = new AbortController();
  const stalling = async function* () {
    yield text("half");
    setTimeout(() => controller.abort(reason), 20);
    await new Promise(() => undefined);
  };
  assert.equal(await rejection(storage[method]("a", stalling(), { signal: controller.signal })), reason);
  const between = new AbortController();
  const pieces = async function* () {
    yield text("half");
    between.abort(reason);
    yield text("whole");
  };
  assert.equal(await rejection(storage[method]("a", pieces(), { signal: between.signal })), reason);
  assert.equal(await storage.stat("a"), undefined);
  await assertNames(storage, "", []);
}
