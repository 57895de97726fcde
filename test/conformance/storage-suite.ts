import { randomBytes } from "node:crypto";
import { beforeEach, describe, expect, test } from "vitest";
import { IoError, ValidationError } from "../../src/errors.ts";
import type { Storage, StoredObject } from "../../src/storage/storage.ts";
import { inPieces, namesBelow, readAll, rejection } from "../support/pieces.ts";

const text = (value: string) => Buffer.from(value);
const HOSTILE = [
  "",
  "/",
  "/a",
  "a/",
  "a//b",
  ".",
  "..",
  "../a",
  "a/../b",
  "a/..",
  ".a",
  "a/.b",
  "a\\b",
  "a b",
  "C:a",
];
const MORE_HOSTILE = ["a\0b", "a\nb", "é", "a*", "~", "a?b", "-/..", "%2e%2e/a"];

/**
 * Holds a backend to every promise of `src/storage/storage.ts`.
 *
 * @param makeStorage a new, empty one for each test; what it needs it cleans up by `onTestFinished`.
 */
export function describeStorage(name: string, makeStorage: () => Promise<Storage>): void {
  let storage: Storage;

  describe(name, () => {
    beforeEach(async () => {
      storage = await makeStorage();
    });
    describe("read", reading);
    describe("write", writing);
    describe("writeNew", writingNew);
    describe("list", listing);
    describe("remove and stat", removing);
    describe("names", naming);
  });

  function reading(): void {
    test("gives back every byte, of an object with none too", async () => {
      const content = randomBytes(5 * 1024 * 1024 + 17);
      await storage.write("a/big", content);
      await storage.write("a/empty", text(""));
      expect((await readAll(storage, "a/big")).equals(content)).toBe(true);
      expect(await readAll(storage, "a/empty")).toHaveLength(0);
    });

    test.each([
      [{ offset: 3 }, "3456789"],
      [{ length: 4 }, "0123"],
      [{ offset: 2, length: 3 }, "234"],
      [{ offset: 8, length: 100 }, "89"],
      [{ offset: 10 }, ""],
      [{ offset: 1000, length: 5 }, ""],
      [{ offset: 5, length: 0 }, ""],
    ])("gives the range %o, and less where the object ends", async (range, wanted) => {
      await storage.write("digits", text("0123456789"));
      expect((await readAll(storage, "digits", range)).toString()).toBe(wanted);
    });

    test("says ENOENT of an object that is not there, when the first piece is asked for", async () => {
      await storage.write("a/b", text("1"));
      for (const absent of ["nothing", "no/such", "a", "a/b/c"]) {
        const pieces = storage.read(absent)[Symbol.asyncIterator]();
        const error = await rejection(pieces.next());
        expect(error).toBeInstanceOf(IoError);
        expect(error).toMatchObject({ errno: "ENOENT", path: expect.stringContaining(absent) });
      }
    });

    test("ends with the signal's reason, before and between pieces", async () => {
      const reason = new Error("enough");
      await storage.write("big", randomBytes(8 * 1024 * 1024));
      expect(await rejection(readAll(storage, "big", { signal: AbortSignal.abort(reason) }))).toBe(reason);
      const controller = new AbortController();
      const pieces = storage.read("big", { signal: controller.signal })[Symbol.asyncIterator]();
      await pieces.next();
      controller.abort(reason);
      expect(await rejection(pieces.next())).toBe(reason);
    });

    test("sees one content or the other while an object is written anew, never a mixture", async () => {
      const contents = [Buffer.alloc(3_000_000, "a"), Buffer.alloc(2_000_000, "b")] as const;
      await storage.write("o", contents[0]);
      let done = false;
      const writer = (async () => {
        for (let turn = 0; turn < 12; turn++) await storage.write("o", contents[turn % 2] ?? contents[0]);
        done = true;
      })();
      let reads = 0;
      while (!done) {
        const found = await readAll(storage, "o");
        expect(contents.some((content) => content.equals(found))).toBe(true);
        reads++;
      }
      await writer;
      expect(reads).toBeGreaterThan(0);
    });
  }

  function writing(): void {
    test("takes the place of what has the name, and can be done twice", async () => {
      await storage.write("a", text("first, and longer"));
      await storage.write("a", text("second"));
      await storage.write("a", text("second"));
      expect((await readAll(storage, "a")).toString()).toBe("second");
      expect(await namesBelow(storage)).toEqual(["a"]);
    });

    test("takes pieces as they come, empty ones among them", async () => {
      await storage.write("pieces", inPieces("one ", "", "two ", new Uint8Array(0), "three"));
      expect((await readAll(storage, "pieces")).toString()).toBe("one two three");
    });

    test.each(["write", "writeNew"] as const)("%s: a source that fails leaves nothing", async (method) => {
      const reason = new Error("the source failed");
      const failing = async function* () {
        yield text("half");
        throw reason;
      };
      expect(await rejection(storage[method]("a/b", failing()))).toBe(reason);
      expect(await namesBelow(storage)).toEqual([]);
      await storage.write("a/b", text("old"));
      expect(await rejection(storage[method]("a/b", failing()))).toBe(reason);
      expect((await readAll(storage, "a/b")).toString()).toBe("old");
    });

    test.each(["write", "writeNew"] as const)(
      "%s: ends with the signal's reason, nothing written",
      async (method) => {
        const reason = new Error("enough");
        expect(await rejection(storage[method]("a", text("x"), { signal: AbortSignal.abort(reason) }))).toBe(
          reason,
        );
        const controller = new AbortController();
        const stalling = async function* () {
          yield text("half");
          setTimeout(() => controller.abort(reason), 20);
          await new Promise(() => undefined);
        };
        expect(await rejection(storage[method]("a", stalling(), { signal: controller.signal }))).toBe(reason);
        const between = new AbortController();
        const pieces = async function* () {
          yield text("half");
          between.abort(reason);
          yield text("whole");
        };
        expect(await rejection(storage[method]("a", pieces(), { signal: between.signal }))).toBe(reason);
        expect(await storage.stat("a")).toBeUndefined();
        expect(await namesBelow(storage)).toEqual([]);
      },
    );

    test("an abort tells the source to end", async () => {
      const controller = new AbortController();
      let ended = false;
      const source = async function* () {
        try {
          for (let piece = 0; ; piece++) {
            if (piece === 1) setTimeout(() => controller.abort(), 1);
            yield Buffer.alloc(1000);
          }
        } finally {
          ended = true;
        }
      };
      await rejection(storage.write("a", source(), { signal: controller.signal }));
      expect(ended).toBe(true);
    });
  }

  function writingNew(): void {
    test("writes where there is none, and else says false and changes nothing", async () => {
      expect(await storage.writeNew("a/b", text("first"))).toBe(true);
      const before = await storage.stat("a/b");
      expect(await storage.writeNew("a/b", text("second"))).toBe(false);
      expect((await readAll(storage, "a/b")).toString()).toBe("first");
      expect(await storage.stat("a/b")).toEqual(before);
      expect(await namesBelow(storage)).toEqual(["a/b"]);
    });

    test("of several at once, one alone gets true, and its content stays", async () => {
      for (let round = 0; round < 8; round++) {
        const name = `round/${round}`;
        const results = await Promise.all(
          Array.from({ length: 12 }, (_, index) => storage.writeNew(name, inPieces(`of `, String(index)))),
        );
        const winners = results.flatMap((won, index) => (won ? [index] : []));
        expect(winners).toHaveLength(1);
        expect((await readAll(storage, name)).toString()).toBe(`of ${winners[0]}`);
      }
    });

    test("takes a name that was removed", async () => {
      await storage.writeNew("a", text("1"));
      await storage.remove("a");
      expect(await storage.writeNew("a", text("2"))).toBe(true);
      expect((await readAll(storage, "a")).toString()).toBe("2");
    });
  }

  function listing(): void {
    test("gives the objects whose names begin with the prefix, whole parts or not", async () => {
      for (const name of ["a", "ab/c", "ab/cd/e", "ab/d", "abc/x", "b/a"])
        await storage.write(name, text(name));
      expect(await namesBelow(storage, "")).toEqual(["a", "ab/c", "ab/cd/e", "ab/d", "abc/x", "b/a"]);
      expect(await namesBelow(storage, "ab/")).toEqual(["ab/c", "ab/cd/e", "ab/d"]);
      expect(await namesBelow(storage, "ab")).toEqual(["ab/c", "ab/cd/e", "ab/d", "abc/x"]);
      expect(await namesBelow(storage, "ab/c")).toEqual(["ab/c", "ab/cd/e"]);
      expect(await namesBelow(storage, "ab/cd/e")).toEqual(["ab/cd/e"]);
      expect(await namesBelow(storage, "none/")).toEqual([]);
      expect(await namesBelow(storage, "a/b/c")).toEqual([]);
    });

    test("of an empty storage gives nothing", async () => {
      expect(await namesBelow(storage)).toEqual([]);
      expect(await namesBelow(storage, "blobs/")).toEqual([]);
    });

    test("tells sizes and times as stat does", async () => {
      await storage.write("a/x", text("12345"));
      const pieces = storage.list("a/")[Symbol.asyncIterator]();
      const listed = (await pieces.next()).value as StoredObject | undefined;
      expect(listed).toEqual(await storage.stat("a/x"));
      expect(listed?.size).toBe(5);
      expect(Math.abs(Date.now() - (listed?.modified.getTime() ?? 0))).toBeLessThan(60_000);
    });

    test("lists once whatever stays, while others come and go", async () => {
      const staying = Array.from({ length: 60 }, (_, index) => `s/${index % 7}/stays-${index}`).sort();
      await Promise.all(staying.map((name) => storage.write(name, text("x"))));
      let done = false;
      const changing = (async () => {
        for (let index = 0; !done; index++) {
          await storage.write(`s/${index % 7}/comes-${index}`, text("x"));
          if (index > 3) await storage.remove(`s/${(index - 3) % 7}/comes-${index - 3}`);
        }
      })();
      for (let turn = 0; turn < 15; turn++) {
        const listed = await namesBelow(storage, "s/");
        expect(listed.filter((name) => name.includes("stays"))).toEqual(staying);
        expect(new Set(listed).size).toBe(listed.length);
      }
      done = true;
      await changing;
    });

    test("shows nothing that is unfinished", async () => {
      const listed: string[][] = [];
      const source = async function* () {
        yield text("half");
        listed.push(await namesBelow(storage));
        yield text("whole");
      };
      await storage.write("a/b", source());
      expect(listed).toEqual([[]]);
      expect(await namesBelow(storage)).toEqual(["a/b"]);
    });
  }

  function removing(): void {
    test("an object goes, others stay; twice is success", async () => {
      await storage.write("a/b", text("1"));
      await storage.write("a/c", text("2"));
      await storage.remove("a/b");
      await storage.remove("a/b");
      await storage.remove("never/was");
      expect(await storage.stat("a/b")).toBeUndefined();
      expect(await namesBelow(storage)).toEqual(["a/c"]);
    });

    test("what others lie below is no object", async () => {
      await storage.write("a/b", text("1"));
      await storage.remove("a");
      await storage.remove("a/b/c");
      expect(await storage.stat("a")).toBeUndefined();
      expect(await storage.stat("a/b/c")).toBeUndefined();
      expect(await namesBelow(storage)).toEqual(["a/b"]);
    });

    test("several removals of one object at once are all success", async () => {
      await storage.write("a/b", text("1"));
      await Promise.all(Array.from({ length: 10 }, () => storage.remove("a/b")));
      expect(await namesBelow(storage)).toEqual([]);
    });
  }

  function naming(): void {
    test.each([...HOSTILE, ...MORE_HOSTILE])(
      "%j is refused by every call, and nothing is touched",
      async (bad) => {
        const calls = [
          () => readAll(storage, bad),
          () => storage.write(bad, text("x")),
          () => storage.writeNew(bad, text("x")),
          () => storage.remove(bad),
          () => storage.stat(bad),
          ...(bad === "" || bad === "a/" ? [] : [() => namesBelow(storage, bad)]),
        ];
        for (const call of calls) expect(await rejection(call())).toBeInstanceOf(ValidationError);
        expect(await namesBelow(storage)).toEqual([]);
      },
    );

    test("a name of more than 1000 letters is refused", async () => {
      expect(await rejection(storage.stat("x".repeat(1001)))).toBeInstanceOf(ValidationError);
    });

    test("what is no string is a TypeError", async () => {
      for (const bad of [undefined, null, 1, ["a"], {}] as unknown as string[]) {
        expect(await rejection(storage.stat(bad))).toBeInstanceOf(TypeError);
        expect(await rejection(storage.write(bad, text("x")))).toBeInstanceOf(TypeError);
        const listed = storage.list(bad)[Symbol.asyncIterator]();
        expect(await rejection(listed.next())).toBeInstanceOf(TypeError);
      }
    });

    test("letters, digits, _ - . and slashes are taken as they are", async () => {
      const names = ["_x/-y.json", "A/b", "a.b.c/D-_9", "snapshots/20261105T123456Z-1a2b3c4d.json"].sort();
      for (const name of names) await storage.write(name, text(name));
      expect(await namesBelow(storage)).toEqual(names);
      for (const name of names) expect((await readAll(storage, name)).toString()).toBe(name);
    });
  }
}
