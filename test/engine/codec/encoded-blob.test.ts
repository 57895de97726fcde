import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { epochOf } from "../../../src/engine/codec/decode-blob.ts";
import { assertCompression } from "../../../src/engine/codec/encode-blob.ts";
import { CorruptError, UnsupportedError, ValidationError } from "../../../src/errors.ts";
import { documentedFunctions } from "../../support/documented-code.ts";
import { asWanted, decode, encode, KEY, KINDS, type Kind, refusal, WITHOUT_KEY } from "./blob-kinds.ts";
import { forgeBlob, MIB, nameUnderKey, noise, partsOf, sha256, words } from "./forge-blob.ts";

const nightly = process.env["NIGHTLY"] === "1";

let documented: (bytes: Buffer, key?: Buffer) => Buffer;

beforeAll(async () => {
  ({ decodeBlob: documented } = (await documentedFunctions("Repository", ["decodeBlob"])) as never);
});

function expectRoundTrip(content: Buffer, kind: Kind): void {
  const blob = encode(content, kind);
  expect(decode(blob, content, kind).equals(content)).toBe(true);
  expect(documented(blob, kind.key && Buffer.from(kind.key.key)).equals(content)).toBe(true);
}

describe.each(KINDS)("a blob, $label", (kind) => {
  test("is read as it was, at every size around a segment's end, by us and by the documented reader", () => {
    const sizes = [0, 1, 15, 16, 17, MIB - 1, MIB, MIB + 1, 2 * MIB - 1, 2 * MIB, 2 * MIB + 1];
    for (const size of sizes) {
      expectRoundTrip(words(size, "content"), kind);
      expectRoundTrip(noise(size, "content"), kind);
    }
  });

  test("is read as it was when it is as large as one may be, and larger is refused", () => {
    expectRoundTrip(words(16 * MIB, "content"), kind);
    expect(() => encode(Buffer.alloc(16 * MIB + 1), kind)).toThrow(TypeError);
  });

  test("is read as it was, whatever is in it", () => {
    const part = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.nat({ max: MIB + 100 }).map((length) => noise(length, "part")),
      fc.nat({ max: MIB + 100 }).map((length) => words(length, "part")),
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 4 }), (parts) => expectRoundTrip(Buffer.concat(parts), kind)),
      { numRuns: nightly ? 1000 : 15 },
    );
  });

  test("is refused with any bit changed, cut anywhere, or with a byte behind it", () => {
    const content = words(300, "content");
    const blob = encode(content, kind);
    for (let bit = 0; bit < blob.length * 8; bit++) {
      const changed = Buffer.from(blob);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      const error = refusal(() => decode(changed, content, kind));
      // Another format, another epoch, and another kind of encryption say so by themselves.
      const isNamed = [8, 10, 12, 13, 14, 15].includes(bit >> 3);
      if (!isNamed) expect(error, `bit ${bit}`).toBeInstanceOf(CorruptError);
    }
    for (let length = 0; length < blob.length; length++) {
      expect(refusal(() => decode(blob.subarray(0, length), content, kind))).toBeInstanceOf(CorruptError);
    }
    const longer = Buffer.concat([blob, Buffer.alloc(1)]);
    expect(refusal(() => decode(longer, content, kind)).message).toContain("bytes instead of");
  });

  test("is refused with segments swapped, repeated, left out, or of another blob", () => {
    const content = noise(3 * MIB, "content");
    const [head, first, second, third] = partsOf(encode(content, kind)) as [Buffer, Buffer, Buffer, Buffer];
    const other = noise(3 * MIB, "another");
    const [otherHead, otherFirst] = partsOf(encode(other, kind)) as [Buffer, Buffer];
    const wrong = {
      swapped: [head, second, first, third],
      repeated: [head, first, first, third],
      "the last one first": [head, third, second, first],
      "one too few": [head, first, second],
      "one too many": [head, first, second, third, third],
      "of another": [head, otherFirst, second, third],
      "under another head": [otherHead, first, second, third],
    };
    for (const [how, parts] of Object.entries(wrong)) {
      expect(
        refusal(() => decode(Buffer.concat(parts), content, kind)),
        how,
      ).toBeInstanceOf(CorruptError);
    }
  });

  test("is refused under another blob's name", () => {
    const blob = encode(words(300, "content"), kind);
    const error = refusal(() => decode(blob, words(300, "another"), kind));
    expect(error).toBeInstanceOf(CorruptError);
    expect(error.message).toContain("in the place of");
  });

  test("is refused where its content has not the SHA-256 that is asked for", () => {
    const content = words(300, "content");
    const blob = encode(content, kind);
    expect(decode(blob, content, kind, sha256(content)).equals(content)).toBe(true);
    const error = refusal(() => decode(blob, content, kind, sha256(noise(1, "x"))));
    expect(error).toBeInstanceOf(CorruptError);
  });

  test("is named with its place in every error", () => {
    const content = words(300, "content");
    const error = refusal(() => decode(encode(content, kind).subarray(0, 200), content, kind));
    expect(error).toMatchObject({
      path: "s3://here/blob",
      message: expect.stringContaining("s3://here/blob"),
    });
  });
});

describe("the key of a blob", () => {
  const content = words(300, "content");
  const [plain, encrypted] = [KINDS[1]!, KINDS[4]!];

  test("is asked for by its epoch where it is missing", () => {
    const blob = encode(content, encrypted);
    const wanted = asWanted(content, encrypted);
    for (const keys of [undefined, new Map(), new Map([[8, KEY.key]])]) {
      const error = refusal(() => decode(blob, content, encrypted, undefined, { ...wanted, keys }));
      expect(error).toBeInstanceOf(ValidationError);
      expect(error.message).toContain("epoch 7");
    }
  });

  test("is refused where it is of another repository, or the blob says another epoch", () => {
    const blob = encode(content, encrypted);
    const wanted = { ...asWanted(content, encrypted), keys: new Map([[7, noise(32, "another repository")]]) };
    const error = refusal(() => decode(blob, content, encrypted, undefined, wanted));
    expect(error).toBeInstanceOf(CorruptError);
    expect(error.message).toContain("the key of epoch 7");

    const moved = Buffer.from(blob);
    moved.writeUInt32LE(8, 12);
    const both = { ...asWanted(content, encrypted), keys: new Map([7, 8].map((epoch) => [epoch, KEY.key])) };
    expect(refusal(() => decode(moved, content, encrypted, undefined, both))).toBeInstanceOf(CorruptError);
  });

  test("is not done without: what anybody could have written is refused", () => {
    const blob = encode(content, plain);
    const wanted = { ...asWanted(content, plain), keys: new Map([[7, KEY.key]]) };
    const error = refusal(() => decode(blob, content, plain, undefined, wanted));
    expect(error).toBeInstanceOf(CorruptError);
    expect(error.message).toContain("not encrypted");
  });

  test("encrypts each blob by another salt, and leaves nothing of the content in it", () => {
    const kind = { ...encrypted, compression: { algorithm: "none" } } as const;
    const [one, two] = [encode(content, kind), encode(content, kind)];
    expect(one.subarray(16, 48)).not.toEqual(two.subarray(16, 48));
    expect(one.subarray(-100, -16)).not.toEqual(two.subarray(-100, -16));
    expect(one.includes("a line of text")).toBe(false);
    expect(one.includes(Buffer.from(sha256(content), "hex"))).toBe(false);
  });

  test("of a length or an epoch that none has is a programmer's mistake", () => {
    for (const key of [
      { epoch: 1, key: Buffer.alloc(16) },
      { epoch: 0, key: KEY.key },
      { epoch: 2 ** 32, key: KEY.key },
    ]) {
      expect(() => encode(content, { ...encrypted, key })).toThrow(TypeError);
    }
  });

  test("need not be known to tell a blob's epoch", () => {
    expect(epochOf(encode(content, encrypted).subarray(0, 164), "here")).toBe(7);
    expect(epochOf(encode(content, plain), "here")).toBe(0);
  });
});

describe("compression", () => {
  const kind = KINDS[1]!;

  test("is left where it saves less than a sixteenth, and not tried again in the blob", () => {
    const mixed = Buffer.concat([noise(MIB, "first"), words(MIB, "second")]);
    expect(encode(mixed, kind).length).toBeGreaterThan(2 * MIB);
    const other = Buffer.concat([words(MIB, "first"), noise(MIB, "second"), words(MIB, "third")]);
    const blob = encode(other, kind);
    expect(blob.length).toBeLessThan(1.5 * MIB);
    expect(blob.readUInt32LE(88)).toBe(MIB);
    expectRoundTrip(other, kind);
  });

  test("has levels, and refuses others", () => {
    const content = words(MIB, "content");
    const at = (algorithm: "zstd" | "gzip", level: number) =>
      encode(content, { ...WITHOUT_KEY, compression: { algorithm, level } }).length;
    expect(at("zstd", 9)).toBeLessThan(at("zstd", 1));
    expect(at("gzip", 9)).toBeLessThan(at("gzip", 1));
    for (const level of [0, 1.5, -1, 20, Number.NaN])
      expect(() => at("zstd", level)).toThrow(ValidationError);
    expect(() => at("gzip", 10)).toThrow("gzip has the levels 1 to 9");
    expect(() => assertCompression({ algorithm: "gzip", level: 10 })).toThrow(ValidationError);
    expect(() => assertCompression({ algorithm: "gzip", level: 9 })).not.toThrow();
    expect(() => assertCompression({ algorithm: "none", level: 1 })).toThrow("has no levels");
    for (const algorithm of ["lz4", "toString", undefined]) {
      expect(() => assertCompression({ algorithm: algorithm as never })).toThrow(
        "choose from none, zstd, gzip",
      );
    }
  });

  test("by zstd makes frames that have a checksum and say their size, as the zstd command wants them", () => {
    const blob = encode(words(300, "content"), kind);
    const frame = blob.subarray(84 + 4 + 16);
    expect(frame.readUInt32LE(0)).toBe(0xfd2fb528);
    const descriptor = frame.readUInt8(4);
    expect(descriptor & 0b100).toBe(0b100);
    expect(descriptor >> 6).toBe(1); // a size of 2 bytes, from 256 on
    expect(frame.readUInt16LE(5) + 256).toBe(300);
  });

  test("is the same each time without a key", () => {
    const content = words(MIB + 5, "content");
    expect(encode(content, kind).equals(encode(content, kind))).toBe(true);
  });
});

// Whose tags are right: of a writer that lies.
describe("a forged blob is refused", () => {
  const name = sha256(Buffer.alloc(0));
  const wanted = { name, place: "here", keys: undefined };
  const forged = (blob: Omit<Parameters<typeof forgeBlob>[0], "name">) =>
    refusal(() => decode(forgeBlob({ name, ...blob }), Buffer.alloc(0), KINDS[0]!, undefined, wanted));

  test.each([
    ["zstd", 1, zstdCompressSync],
    ["gzip", 2, gzipSync],
  ] as const)("that gives more, or less, than it says, or no content (%s)", (_name, compression, pack) => {
    const bomb = pack(Buffer.alloc(256 * MIB));
    const before = process.memoryUsage();
    expect(forged({ segments: [bomb], size: MIB, compression }).message).toContain("cannot be decompressed");
    const after = process.memoryUsage();
    expect(after.rss - before.rss).toBeLessThan(64 * MIB);

    expect(forged({ segments: [pack(Buffer.alloc(999))], size: 1000, compression }).message).toContain(
      "gives 999",
    );
    const frame = pack(Buffer.alloc(1000));
    for (let length = 0; length < frame.length; length++) {
      forged({ segments: [frame.subarray(0, length)], size: 1000, compression });
    }
    forged({ segments: [Buffer.from("no frame")], size: 1000, compression });
  });

  test("whose frame needs a window of more than 8 MiB", () => {
    // A frame that does not say its size, with a window by its fifth byte; its only block is one raw byte.
    const frame = (window: string) => Buffer.from(`28b52ffd00${window}09000078`, "hex");
    const answer = (window: string) =>
      forged({ segments: [frame(window)], size: 100, compression: 1 }).message;
    expect(answer("68")).toContain("gives 1 bytes"); // 8 MiB
    expect(answer("70")).toContain("cannot be decompressed"); // 16 MiB
  });

  test("whose numbers lie", () => {
    const segments = [Buffer.alloc(10)];
    expect(forged({ segments, size: 16 * MIB + 1 }).message).toContain("holds 16777217 bytes");
    expect(forged({ segments, size: 2 ** 32 - 1 }).message).toContain("holds 4294967295 bytes");
    expect(forged({ segments, size: 9 }).message).toContain("has 10 bytes for 9");
    expect(forged({ segments, size: 11 }).message).toContain("has 10 bytes for 11");
    expect(forged({ segments, size: 0, compression: 1 }).message).toContain("has 10 bytes for 0");
    expect(forged({ segments, size: MIB + 10 })).toBeInstanceOf(CorruptError);
    const huge = (head: Buffer) => head.writeUInt32LE(2 ** 32 - 1, 84);
    expect(forged({ segments, size: 10, touch: huge }).message).toContain("has 4294967295 bytes");
    for (const at of [9, 10, 11, 12]) {
      expect(
        forged({ segments, size: 10, touch: (head) => head.writeUInt8(3, at) }),
        `byte ${at}`,
      ).toBeInstanceOf(CorruptError);
    }
  });

  test("whose format is another, which is named", () => {
    const error = forged({ segments: [Buffer.alloc(1)], size: 1, touch: (head) => head.writeUInt8(3, 8) });
    expect(error).toBeInstanceOf(UnsupportedError);
    expect(error.message).toContain("format 3");
  });

  test("whatever its bytes are", () => {
    const head = forgeBlob({ name, segments: [Buffer.alloc(20)], size: 20 });
    const place = fc.nat({ max: head.length - 1 });
    fc.assert(
      fc.property(fc.array(fc.tuple(place, fc.nat({ max: 255 })), { minLength: 1 }), (changes) => {
        const changed = Buffer.from(head);
        for (const [at, value] of changes) changed[at] = value;
        fc.pre(!changed.equals(head));
        refusal(() => decode(changed, Buffer.alloc(0), KINDS[0]!, undefined, wanted));
      }),
      { numRuns: nightly ? 100_000 : 2000 },
    );
  });
});

test("the name under a key is that of the content, and of no other key", () => {
  const content = words(300, "content");
  const names = ["a", "b"].map((seed) => nameUnderKey(content, noise(32, seed)));
  expect(new Set([...names, sha256(content)]).size).toBe(3);
});
