import { gzipSync, zstdCompressSync } from "node:zlib";
import { beforeAll, describe, expect, test } from "vitest";
import { documentedFunctions } from "../../support/documented-code.ts";
import {
  type ForgedBlob,
  forgeBlob,
  MIB,
  nameUnderKey,
  noise,
  partsOf,
  sha256,
  words,
} from "./forge-blob.ts";

// The reader in docs/formats.md, against blobs that are put together by the text alone: no code of ours in between.

let decodeBlob: (bytes: Buffer, key?: Buffer) => Buffer;

beforeAll(async () => {
  ({ decodeBlob } = (await documentedFunctions("Repository", ["decodeBlob"])) as never);
});

const key = noise(32, "a blob key");
const encryption = { key, epoch: 3, salt: noise(32, "a salt") };

function blobOf(content: Buffer, more: Partial<ForgedBlob>): Buffer {
  const count = Math.max(1, Math.ceil(content.length / MIB));
  const pack = [(data: Buffer) => data, zstdCompressSync, gzipSync][more.compression ?? 0] ?? Buffer.from;
  const segments = Array.from({ length: count }, (_, index) =>
    pack(content.subarray(index * MIB, (index + 1) * MIB)),
  );
  const name = more.encryption ? nameUnderKey(content, noise(32, "a name key")) : sha256(content);
  return forgeBlob({ segments, size: content.length, name, ...more });
}

describe("the reader in docs/formats.md", () => {
  test.each([0, 1, 2])("reads what its text describes, with compression %i", (compression) => {
    for (const length of [100, MIB, MIB + 100, 3 * MIB]) {
      const content = words(length, "content");
      expect(decodeBlob(blobOf(content, { compression })).equals(content)).toBe(true);
      expect(decodeBlob(blobOf(content, { compression, encryption }), key).equals(content)).toBe(true);
    }
  });

  test("reads empty content", () => {
    expect(decodeBlob(blobOf(Buffer.alloc(0), {}))).toHaveLength(0);
    expect(decodeBlob(blobOf(Buffer.alloc(0), { encryption }), key)).toHaveLength(0);
  });

  test("refuses a key for what is not encrypted, and what is without its key", () => {
    const content = words(100, "content");
    expect(() => decodeBlob(blobOf(content, {}), key)).toThrow("not encrypted");
    expect(() => decodeBlob(blobOf(content, { encryption }))).toThrow("encrypted, epoch 3");
    expect(() => decodeBlob(blobOf(content, { encryption }), noise(32, "another"))).toThrow();
  });

  test.each([{}, { encryption }])("refuses every changed bit and every cut (%j)", (more) => {
    const blob = blobOf(words(200, "content"), { compression: 1, ...more });
    const used = "encryption" in more ? key : undefined;
    for (let bit = 0; bit < blob.length * 8; bit++) {
      const changed = Buffer.from(blob);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(() => decodeBlob(changed, used), `bit ${bit}`).toThrow();
    }
    for (let length = 0; length < blob.length; length++) {
      expect(() => decodeBlob(blob.subarray(0, length), used), `${length} bytes`).toThrow();
    }
    expect(() => decodeBlob(Buffer.concat([blob, Buffer.alloc(1)]), used)).toThrow("its length");
  });

  test("refuses segments in another order", () => {
    const [head, first, second] = partsOf(blobOf(noise(2 * MIB, "content"), { encryption }));
    expect(() => decodeBlob(Buffer.concat([head!, second!, first!]), key)).toThrow();
  });

  test("refuses frames that give more or less than the segment holds", () => {
    const name = sha256(Buffer.alloc(0));
    for (const [compression, pack] of [
      [1, zstdCompressSync],
      [2, gzipSync],
    ] as const) {
      const bomb = forgeBlob({ segments: [pack(Buffer.alloc(64 * MIB))], size: MIB, name, compression });
      expect(() => decodeBlob(bomb)).toThrow(RangeError);
      const less = forgeBlob({ segments: [pack(Buffer.alloc(999))], size: 1000, name, compression });
      expect(() => decodeBlob(less)).toThrow("gives 999");
    }
  });
});
