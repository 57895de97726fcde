import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { inspect } from "node:util";
import { isNotFound, NotFoundError } from "../../errors.ts";
import type { ReadOptions } from "../storage.ts";
import { assertContent, check, readAll, rejection, type StorageCheck, text } from "./storage-check.ts";

const RANGES: readonly (readonly [ReadOptions, string])[] = [
  [{ offset: 3 }, "3456789"],
  [{ length: 4 }, "0123"],
  [{ offset: 2, length: 3 }, "234"],
  [{ offset: 8, length: 100 }, "89"],
  [{ offset: 10 }, ""],
  [{ offset: 1000, length: 5 }, ""],
  [{ offset: 5, length: 0 }, ""],
];

export const readChecks: readonly StorageCheck[] = [
  check("read: gives back every byte, of an object with none too", async (storage) => {
    const content = randomBytes(5 * 1024 * 1024 + 17);
    await storage.write("a/big", content);
    await storage.write("a/empty", text(""));
    await assertContent(storage, "a/big", content);
    await assertContent(storage, "a/empty", "");
  }),

  ...RANGES.map(([range, wanted]) =>
    check(`read: gives the range ${inspect(range)}, and less where the object ends`, async (storage) => {
      await storage.write("digits", text("0123456789"));
      await assertContent(storage, "digits", wanted, range);
    }),
  ),

  check(
    "read: throws NotFoundError of what is not there, when the first piece is asked for",
    async (storage) => {
      await storage.write("a/b", text("1"));
      for (const absent of ["nothing", "no/such", "a", "a/b/c"]) {
        const pieces = storage.read(absent)[Symbol.asyncIterator]();
        const error = await rejection(pieces.next());
        assert.ok(error instanceof NotFoundError, `a NotFoundError, not ${inspect(error)}`);
        assert.ok(isNotFound(error) && error.errno === "ENOENT", `with its code, not ${error.code}`);
        assert.ok(error.path?.includes(absent), `path names ${absent}, not ${error.path}`);
      }
    },
  ),

  check("read: ends with the signal's reason, before and between pieces", async (storage) => {
    const reason = new Error("enough");
    await storage.write("big", randomBytes(8 * 1024 * 1024));
    assert.equal(await rejection(readAll(storage, "big", { signal: AbortSignal.abort(reason) })), reason);
    const controller = new AbortController();
    const pieces = storage.read("big", { signal: controller.signal })[Symbol.asyncIterator]();
    await pieces.next();
    controller.abort(reason);
    assert.equal(await rejection(pieces.next()), reason);
  }),

  check("read: sees one content or the other while an object is written anew", async (storage) => {
    const contents = [Buffer.alloc(3_000_000, "a"), Buffer.alloc(2_000_000, "b")] as const;
    await storage.write("o", contents[0]);
    let isDone = false;
    const writer = (async () => {
      for (let turn = 0; turn < 12; turn++) await storage.write("o", contents[turn % 2] ?? contents[0]);
    })().finally(() => {
      isDone = true;
    });
    writer.catch(() => undefined); // awaited below
    let reads = 0;
    while (!isDone) {
      const found = await readAll(storage, "o");
      const isWhole = contents.some((content) => content.equals(found));
      assert.ok(isWhole, `a mixture of two contents: ${found.length} bytes`);
      reads++;
    }
    await writer;
    assert.ok(reads > 0);
  }),
];
