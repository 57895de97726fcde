import assert from "node:assert/strict";
import { assertNames, check, listAll, namesBelow, type StorageCheck, text } from "./storage-check.ts";

/** By how much a storage's clock may differ from ours here. */
const MOST_SKEW_MS = 60_000;

export const listChecks: readonly StorageCheck[] = [
  check("list: gives the objects whose names begin with the prefix, whole parts or not", async (storage) => {
    for (const name of ["a", "ab/c", "ab/cd/e", "ab/d", "abc/x", "b/a"])
      await storage.write(name, text(name));
    await assertNames(storage, "", ["a", "ab/c", "ab/cd/e", "ab/d", "abc/x", "b/a"]);
    await assertNames(storage, "ab/", ["ab/c", "ab/cd/e", "ab/d"]);
    await assertNames(storage, "ab", ["ab/c", "ab/cd/e", "ab/d", "abc/x"]);
    await assertNames(storage, "ab/c", ["ab/c", "ab/cd/e"]);
    await assertNames(storage, "ab/cd/e", ["ab/cd/e"]);
    await assertNames(storage, "none/", []);
    await assertNames(storage, "a/b/c", []);
  }),

  check("list: of an empty storage gives nothing", async (storage) => {
    await assertNames(storage, "", []);
    await assertNames(storage, "blobs/", []);
  }),

  check("list: tells sizes and times as stat does", async (storage) => {
    await storage.write("a/x", text("12345"));
    const listed = await listAll(storage, "a/");
    const looked = await storage.stat("a/x");
    assert.deepEqual(listed, [looked]);
    assert.equal(looked?.size, 5);
    const skew = Math.abs(Date.now() - (looked?.modified.getTime() ?? 0));
    assert.ok(skew < MOST_SKEW_MS, `the time of a new object is ${skew} ms off`);
  }),

  check("list: lists once whatever stays, while others come and go", async (storage) => {
    const staying = Array.from({ length: 60 }, (_, index) => `s/${index % 7}/stays-${index}`).sort();
    await Promise.all(staying.map((name) => storage.write(name, text("x"))));
    let isDone = false;
    const changing = (async () => {
      for (let index = 0; !isDone; index++) {
        await storage.write(`s/${index % 7}/comes-${index}`, text("x"));
        if (index > 3) await storage.remove(`s/${(index - 3) % 7}/comes-${index - 3}`);
      }
    })();
    changing.catch(() => undefined); // awaited below
    try {
      for (let turn = 0; turn < 15; turn++) {
        const listed = await namesBelow(storage, "s/");
        assert.deepEqual(
          listed.filter((name) => name.includes("stays")),
          staying,
        );
        assert.equal(new Set(listed).size, listed.length, "nothing is listed twice");
      }
    } finally {
      isDone = true;
    }
    await changing;
  }),

  check("list: shows nothing that is unfinished", async (storage) => {
    const listed: string[][] = [];
    const source = async function* () {
      yield text("half");
      listed.push(await namesBelow(storage));
      yield text("whole");
    };
    await storage.write("a/b", source());
    assert.deepEqual(listed, [[]]);
    await assertNames(storage, "", ["a/b"]);
  }),

  check("remove: an object goes, others stay; twice is success", async (storage) => {
    await storage.write("a/b", text("1"));
    await storage.write("a/c", text("2"));
    await storage.remove("a/b");
    await storage.remove("a/b");
    await storage.remove("never/was");
    assert.equal(await storage.stat("a/b"), undefined);
    await assertNames(storage, "", ["a/c"]);
  }),

  check("remove: what others lie below is no object", async (storage) => {
    await storage.write("a/b", text("1"));
    await storage.remove("a");
    await storage.remove("a/b/c");
    assert.equal(await storage.stat("a"), undefined);
    assert.equal(await storage.stat("a/b/c"), undefined);
    await assertNames(storage, "", ["a/b"]);
  }),

  check("remove: several removals of one object at once are all success", async (storage) => {
    await storage.write("a/b", text("1"));
    await Promise.all(Array.from({ length: 10 }, () => storage.remove("a/b")));
    await assertNames(storage, "", []);
  }),
];
