import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { digested, encryptedSegments, segments } from "../../../src/engine/blobs/blob-codec.ts";
import { CODEC_TASKS } from "../../../src/engine/codec/codec-tasks.ts";
import { codecThreads } from "../../../src/engine/codec/codec-threads.ts";
import { encodeBlob } from "../../../src/engine/codec/encode-blob.ts";
import { CorruptError } from "../../../src/errors.ts";
import { giveMemory, takeMemory } from "../../../src/util/spare-memory.ts";
import { noise, sha256, words } from "./forge-blob.ts";

const MIB = 1 << 20;
const [blobs, names, gear] = [1, 2, 3].map((byte) => Buffer.alloc(32, byte)) as [Buffer, Buffer, Buffer];
const KEYS = {
  current: { epoch: 1, blobs, names, gear },
  byEpoch: new Map([[1, blobs]]),
  namesOf: () => names,
};
const CODECS = {
  compressed: segments({ algorithm: "zstd", level: 1 }),
  encrypted: encryptedSegments({ algorithm: "zstd", level: 1 }, KEYS),
};

/** As a storage answers, in memory of its own. */
const ranges = (object: Buffer) => async (offset: number, length: number) =>
  Buffer.from(object.subarray(offset, offset + length));

test.each(Object.entries(CODECS))(
  "blobs that threads have encoded are decoded, whole and in pieces, %s",
  async (_, codec) => {
    // More than is done without threads, and of each kind: what gets smaller, what does not, and both in one.
    const contents = [
      words(9 * MIB, "text"),
      noise(16 * MIB, "noise"),
      Buffer.concat([words(MIB, "a"), noise(5 * MIB, "b")]),
      words(600_000, "small"),
    ];
    await Promise.all(
      contents.map(async (content) => {
        const given = Buffer.from(content);
        const { content: moved, sha256: digest } = await digested(given);
        expect(digest).toBe(sha256(content));
        const name = codec.nameOf(digest);
        const object = await codec.encode(moved, name);
        expect(moved.length).toBe(0); // its memory is another's
        const piece = { blob: name, offset: 1000, bytes: content.length - 5000 };
        const part = await codec.readPiece(ranges(object), piece, "place");
        expect(part.equals(content.subarray(1000, content.length - 4000))).toBe(true);
        const back = await codec.decode(Buffer.from(object), name, "place");
        expect(back.equals(content)).toBe(true);
        giveMemory(back); // the next one may have it
        object[object.length - 1000] = 1 + (object[object.length - 1000] ?? 0);
        await expect(codec.readPiece(ranges(object), piece, "place")).rejects.toThrow(CorruptError);
        await expect(codec.decode(object, name, "place")).rejects.toThrow("The blob place is damaged");
      }),
    );
  },
);

test("a blob that is decoded leaves nothing to the collector", () => {
  const [key, name] = [Buffer.alloc(32, 1), "ab".repeat(32)];
  const content = Buffer.concat([words(4 * MIB, "text"), noise(4 * MIB, "noise")]);
  const compression = { algorithm: "zstd", level: 1 } as const;
  const object = Buffer.from(encodeBlob(content, { name, compression, key: { epoch: 1, key } }));
  const wanted = { name, place: "place", keys: new Map([[1, key]]) };
  const decode = () => {
    const { bytes, sha256: digest } = CODEC_TASKS.decode({ bytes: Buffer.from(object), wanted });
    expect(digest).toBe(sha256(content));
    giveMemory(bytes);
  };
  decode();
  const before = process.memoryUsage().arrayBuffers;
  for (let times = 0; times < 3; times++) decode();
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 * MIB);
});

test("what a thread cannot do comes out as the error that it is, and the next task is done", async () => {
  const big = () => randomBytes(9 * MIB);
  const options = { name: "none", compression: { algorithm: "zstd" } } as const;
  await expect(codecThreads.run("encode", { bytes: big(), options })).rejects.toThrow(TypeError);
  const { sha256: digest, bytes } = await codecThreads.run("digest", { bytes: big() });
  expect(digest).toBe(sha256(Buffer.from(bytes)));
});

test("memory that was given back is nobody's, and is taken again", () => {
  const first = takeMemory(16 * MIB);
  first.fill(7);
  const { buffer } = first;
  giveMemory(first);
  expect(first.length).toBe(0);
  expect(buffer.byteLength).toBe(0);
  const second = takeMemory(10 * MIB);
  expect([second.length, second[0]]).toEqual([10 * MIB, 7]);
  giveMemory(Buffer.from("of Node's pool")); // is left alone
  expect(Buffer.from("still there").toString()).toBe("still there");
});
