import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readPiece } from "../../../src/engine/blobs/blob-codec.ts";
import { type OpenBlob, openBlob } from "../../../src/engine/codec/decode-blob.ts";
import type { ReadRange } from "../../../src/engine/read-small.ts";
import { CorruptError, ValidationError } from "../../../src/errors.ts";
import { asWanted, encode, KINDS } from "./blob-kinds.ts";
import { MIB, noise, words } from "./forge-blob.ts";

const nightly = process.env["NIGHTLY"] === "1";

/** As a storage answers: what lies behind the end is not there. */
function asStored(blob: Buffer, asked: [offset: number, length: number][] = []): ReadRange {
  return async (offset, length) => {
    asked.push([offset, length]);
    return blob.subarray(offset, offset + length);
  };
}

const content = Buffer.concat([words(MIB, "a"), noise(MIB, "b"), words(MIB + 777, "c")]);

describe.each(KINDS)("parts of a blob, $label", (kind) => {
  const blob = encode(content, kind);
  const open = (read: ReadRange): Promise<OpenBlob> => openBlob(read, asWanted(content, kind));

  test("are what they are of the content, wherever they begin and end", async () => {
    const opened = await open(asStored(blob));
    expect(opened).toMatchObject({ contentBytes: content.length, epoch: kind.key?.epoch ?? 0 });
    const edges = [0, 1, MIB - 1, MIB, MIB + 1, 2 * MIB, 3 * MIB, content.length - 1, content.length];
    const place = fc.oneof(fc.constantFrom(...edges), fc.nat({ max: content.length }));
    await fc.assert(
      fc.asyncProperty(place, place, async (one, other) => {
        const [start, end] = [Math.min(one, other), Math.max(one, other)];
        const part = await opened.read(start, end - start);
        expect(part.equals(content.subarray(start, end))).toBe(true);
      }),
      { numRuns: nightly ? 2000 : 60 },
    );
  });

  test("cost one request for the head, and one for the segments that they touch", async () => {
    const asked: [number, number][] = [];
    const opened = await open(asStored(blob, asked));
    await opened.read(10, 20);
    await opened.read(MIB + 10, MIB);
    await opened.read(5, 0);
    const [first = 0, second = 0, third = 0] = [84, 88, 92].map((at) => blob.readUInt32LE(at) + 16);
    const start = 84 + 4 * 4 + 16;
    expect(asked).toEqual([
      [0, 164],
      [start, first],
      [start + first, second + third],
    ]);
  });

  test("near its beginning come with the head, in one request; others, and trifles, in two", async () => {
    const name = asWanted(content, kind).name;
    for (const [offset, bytes, requests] of [
      [0, content.length, 1],
      [1000, MIB, 1],
      [MIB - 1, 2, 2],
      [2 * MIB, MIB, 2],
    ] as const) {
      const asked: [number, number][] = [];
      const stored = asStored(blob, asked);
      const read: ReadRange = async (at, length) => Buffer.from(await stored(at, length)); // it is given away
      const piece = await readPiece(read, { blob: name, offset, bytes }, asWanted(content, kind));
      expect(piece.equals(content.subarray(offset, offset + bytes))).toBe(true);
      expect(asked).toHaveLength(requests);
    }
  });

  test("keep no more in memory than twice their bytes", async () => {
    const opened = await open(asStored(blob));
    const part = await opened.read(MIB, 100_000);
    expect(part.buffer.byteLength).toBeLessThanOrEqual(200_000);
  });

  test("are refused where the segments that they touch are damaged, and no others", async () => {
    const damagedBlob = Buffer.from(blob);
    damagedBlob[blob.length - 30]! ^= 1;
    const opened = await open(asStored(damagedBlob));
    expect((await opened.read(0, 3 * MIB)).equals(content.subarray(0, 3 * MIB))).toBe(true);
    await expect(opened.read(3 * MIB - 1, 2)).rejects.toThrow(CorruptError);
    await expect(opened.read(3 * MIB - 1, 2)).rejects.toThrow("its segment 4 was changed");
  });

  test("are refused where the blob has become another one, or is cut short", async () => {
    const other = encode(Buffer.concat([words(MIB, "a"), noise(2 * MIB + 777, "d")]), kind);
    let stored = blob;
    const opened = await open((offset, length) => asStored(stored)(offset, length));
    stored = other;
    await expect(opened.read(0, 10)).rejects.toThrow(CorruptError);
    for (const length of [0, 90, 116, 117, 1000]) {
      stored = blob.subarray(0, length);
      await expect(opened.read(0, 10)).rejects.toThrow(CorruptError);
    }
    stored = blob.subarray(0, -1);
    await expect(opened.read(3 * MIB, 10)).rejects.toThrow("its segment 4 is cut short");
  });

  test("are refused of a blob in another's place, and where the content has none", async () => {
    const other = words(2 * MIB, "other");
    const wanted = asWanted(other, kind);
    await expect(openBlob(asStored(blob), wanted)).rejects.toThrow("in the place of");
    const opened = await open(asStored(blob));
    await expect(opened.read(content.length - 1, 2)).rejects.toThrow(CorruptError);
    await expect(opened.read(content.length + 1, 0)).rejects.toThrow(CorruptError);
    for (const [offset, length] of [
      [-1, 2],
      [0, -1],
      [0.5, 1],
      [Number.NaN, 1],
    ] as const) {
      await expect(opened.read(offset, length)).rejects.toThrow(TypeError);
    }
  });

  test("let errors of the store through as they are", async () => {
    const error = new Error("the store is away");
    await expect(open(() => Promise.reject(error))).rejects.toBe(error);
  });
});

test("empty content has one part, which is empty", async () => {
  for (const kind of KINDS) {
    const empty = Buffer.alloc(0);
    const opened = await openBlob(asStored(encode(empty, kind)), asWanted(empty, kind));
    expect(await opened.read(0, 0)).toHaveLength(0);
  }
});

test("a key that is missing is asked for before any part is read", async () => {
  const kind = KINDS[5]!;
  const wanted = { ...asWanted(content, kind), keys: undefined };
  await expect(openBlob(asStored(encode(content, kind)), wanted)).rejects.toThrow(ValidationError);
});
