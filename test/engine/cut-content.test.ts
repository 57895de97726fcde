import { createHmac } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type CutOptions, cutContent } from "../../src/engine/cut-content.ts";
import { MIB, noise, sha256, words } from "./codec/forge-blob.ts";

const nightly = process.env["NIGHTLY"] === "1";
const numRuns = nightly ? 5000 : 200;

/** Small, so that short content has many pieces. */
const SMALL = { min: 64, normal: 256, max: 2048 };

async function piecesOf(content: Iterable<Uint8Array>, options?: CutOptions): Promise<Buffer[]> {
  const pieces: Buffer[] = [];
  for await (const piece of cutContent(content, options)) pieces.push(piece);
  return pieces;
}

/** Content as a source may give it: in chunks that end at these places, in one buffer that it uses again. */
function* inChunks(content: Buffer, ends: readonly number[]): Generator<Uint8Array> {
  const buffer = Buffer.alloc(content.length);
  let start = 0;
  for (const end of [...ends.toSorted((a, b) => a - b), content.length]) {
    const chunk = buffer.subarray(0, end - start);
    content.copy(chunk, 0, start, end);
    yield chunk;
    chunk.fill(0xee);
    start = end;
  }
}

/** The rule of docs/formats.md, once more and without haste. */
function cutsByTheBook(content: Buffer, { min, normal, max }: typeof SMALL, seed: string): number[] {
  const gear = Array.from({ length: 256 }, (_, byte) =>
    BigInt(
      createHmac("sha256", seed)
        .update(Buffer.from([byte]))
        .digest()
        .readUInt32LE(0),
    ),
  );
  const bits = Math.log2(normal);
  const lengths: number[] = [];
  let [length, hash] = [0, 0n];
  for (const byte of content) {
    length++;
    if (length > min) hash = (2n * hash + gear[byte]!) % 2n ** 32n;
    const zeros = length > normal ? bits - 2 : bits + 2;
    const isCut = length > min && hash >> BigInt(32 - zeros) === 0n;
    if (!isCut && length < max) continue;
    lengths.push(length);
    [length, hash] = [0, 0n];
  }
  return length > 0 ? [...lengths, length] : lengths;
}

/** Random bytes, text, and stretches of one byte. */
const contents = fc
  .array(fc.tuple(fc.constantFrom("noise", "words", "zeros"), fc.nat({ max: 5000 }), fc.nat({ max: 9 })), {
    maxLength: 5,
  })
  .map((parts) =>
    Buffer.concat(
      parts.map(([kind, length, seed]) => {
        if (kind === "zeros") return Buffer.alloc(length, seed);
        return kind === "noise" ? noise(length, `${seed}`) : words(length, `${seed}`);
      }),
    ),
  );

describe("content that is cut", () => {
  test("has the same pieces however it comes, also from a source that uses its buffer again", async () => {
    await fc.assert(
      fc.asyncProperty(
        contents,
        fc.array(fc.double({ min: 0, max: 1, noNaN: true })),
        async (content, places) => {
          const ends = places.map((place) => Math.floor(place * content.length));
          const pieces = await piecesOf(inChunks(content, ends), SMALL);
          expect(Buffer.concat(pieces).equals(content)).toBe(true);
          expect(pieces.map(sha256)).toEqual((await piecesOf([content], SMALL)).map(sha256));
        },
      ),
      { numRuns },
    );
  });

  test("is cut as docs/formats.md says", async () => {
    await fc.assert(
      fc.asyncProperty(contents, async (content) => {
        const pieces = await piecesOf([content], SMALL);
        const lengths = pieces.map(({ length }) => length);
        expect(lengths).toEqual(cutsByTheBook(content, SMALL, "lancedb-backup gear"));
      }),
      { numRuns },
    );
  });

  test("has pieces between the shortest and the longest, but for the last", async () => {
    await fc.assert(
      fc.asyncProperty(contents, async (content) => {
        const lengths = (await piecesOf([content], SMALL)).map(({ length }) => length);
        for (const length of lengths) expect(length).toBeLessThanOrEqual(SMALL.max);
        for (const length of lengths.slice(0, -1)) expect(length).toBeGreaterThan(SMALL.min);
        expect(lengths).not.toContain(0);
      }),
      { numRuns },
    );
  });

  test("with an insertion has other pieces beside it, and no others", async () => {
    const content = noise(200_000, "content");
    const before = await piecesOf([content], SMALL);
    const known = new Set(before.map(sha256));
    expect(before.length).toBeGreaterThan(300);
    const length = fc.integer({ min: 1, max: 100 });
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: content.length - 20_000 }), length, async (place, inserted) => {
        const changed = [content.subarray(0, place), noise(inserted, "new"), content.subarray(place)];
        const pieces = await piecesOf(changed, SMALL);
        expect(pieces.filter((piece) => !known.has(sha256(piece))).length).toBeLessThan(30);
        expect(sha256(pieces.at(-1)!)).toBe(sha256(before.at(-1)!));
      }),
      { numRuns: nightly ? 1000 : 30 },
    );
  });

  test("has pieces of about 1 MiB, from 512 KiB to 8 MiB, unless told otherwise", async () => {
    const content = noise(40 * MIB, "content");
    const lengths = (await piecesOf([content])).map(({ length }) => length);
    expect(Math.min(...lengths.slice(0, -1))).toBeGreaterThan(MIB / 2);
    expect(Math.max(...lengths)).toBeLessThan(4 * MIB);
    expect(content.length / lengths.length).toBeGreaterThan(0.8 * MIB);
    expect(content.length / lengths.length).toBeLessThan(1.5 * MIB);
    const same = Buffer.alloc(20 * MIB);
    expect((await piecesOf([same])).map(({ length }) => length)).toEqual([8, 8, 4].map((size) => size * MIB));
    const changed = await piecesOf([Buffer.from("inserted at the start"), content]);
    expect(changed.slice(3).map(sha256)).toEqual(
      (await piecesOf([content])).slice(3 - changed.length).map(sha256),
    );
  });

  test("is cut where the first version has cut it: what is stored is found again", async () => {
    const lengths = (await piecesOf([noise(6 * MIB, "vector")])).map(({ length }) => length);
    expect(lengths).toEqual([563_824, 1_052_126, 1_535_905, 1_201_680, 1_086_119, 851_802]);
  });

  test("is cut elsewhere by another seed", async () => {
    const content = noise(20_000, "content");
    const seed = noise(32, "a secret");
    const known = new Set((await piecesOf([content], SMALL)).map(sha256));
    const secret = await piecesOf([content], { ...SMALL, seed });
    expect(secret.length).toBeGreaterThan(20);
    expect(secret.filter((piece) => known.has(sha256(piece))).length).toBeLessThan(2);
  });

  test("without a byte has no pieces", async () => {
    expect(await piecesOf([])).toEqual([]);
    expect(await piecesOf([new Uint8Array(), new Uint8Array()])).toEqual([]);
  });

  test("is given away: no piece shares memory with another", async () => {
    const content = noise(3000, "content");
    const pieces: Buffer[] = [];
    for await (const piece of cutContent([content], SMALL)) {
      pieces.push(Buffer.from(piece));
      piece.fill(0);
    }
    expect(Buffer.concat(pieces).equals(content)).toBe(true);
  });
});

describe("the source of content that is cut", () => {
  test("is told where nobody wants more of it", async () => {
    let isEnded = false;
    const source = async function* () {
      try {
        for (;;) yield noise(5000, "content");
      } finally {
        isEnded = true;
      }
    };
    for await (const piece of cutContent(source(), SMALL)) {
      expect(piece.length).toBeGreaterThan(0);
      break;
    }
    expect(isEnded).toBe(true);
  });

  test("that fails gives its error, and no piece of what was not whole", async () => {
    const error = new Error("the source is gone");
    const pieces: Buffer[] = [];
    const source = async function* () {
      yield Buffer.alloc(10);
      throw error;
    };
    const cut = async () => {
      for await (const piece of cutContent(source(), SMALL)) pieces.push(piece);
    };
    await expect(cut()).rejects.toBe(error);
    expect(pieces).toEqual([]);
  });
});

test.each([
  { min: 63 },
  { min: 256 },
  { normal: 300 },
  { max: 256 },
  { max: Number.POSITIVE_INFINITY },
  { min: 64.5 },
  { normal: 2 ** 29, max: 2 ** 30 },
])("sizes that are none are a programmer's mistake: %j", async (wrong) => {
  await expect(piecesOf([Buffer.alloc(1)], { ...SMALL, ...wrong })).rejects.toThrow(TypeError);
});
