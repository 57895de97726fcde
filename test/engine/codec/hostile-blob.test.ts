import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { constants, createGzip, createZstdCompress, type Gzip, type ZstdCompress } from "node:zlib";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { type OpenBlob, openBlob } from "../../../src/engine/codec/decode-blob.ts";
import { CorruptError, UnsupportedError, ValidationError } from "../../../src/errors.ts";
import { documentedFunctions } from "../../support/documented-code.ts";
import { asWanted, decode, encode, KEY, KINDS, type Kind } from "./blob-kinds.ts";
import { forgeBlob, MIB, noise, partsOf, sha256, words } from "./forge-blob.ts";

// Blobs of somebody who may change every byte, has other blobs of the same repository, and has no key.

const nightly = process.env["NIGHTLY"] === "1";
const NEXT = { epoch: KEY.epoch + 1, key: noise(32, "the next epoch's key of blobs") };

let documented: (bytes: Buffer, key?: Buffer) => Buffer;

beforeAll(async () => {
  ({ decodeBlob: documented } = (await documentedFunctions("Repository", ["decodeBlob"])) as never);
});

/** A part of a blob is its head or a segment. Which one is meant is taken modulo how many there are. */
interface Move {
  readonly do: "swap" | "repeat" | "drop" | "tag" | "foreign";
  readonly one: number;
  readonly other: number;
}

/** What is done to a blob: in order, each to the outcome of the one before. */
type Change =
  | Move
  | { readonly do: "flip"; readonly bit: number }
  | { readonly do: "cut"; readonly bytes: number }
  | { readonly do: "append"; readonly bytes: number }
  | { readonly do: "epoch"; readonly epoch: number };

const number = fc.nat({ max: 0x7fff_ffff });
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ do: fc.constant("flip" as const), bit: number }),
  fc.record({ do: fc.constant("cut" as const), bytes: number }),
  fc.record({ do: fc.constant("append" as const), bytes: fc.integer({ min: 1, max: 40 }) }),
  fc.record({ do: fc.constant("epoch" as const), epoch: fc.nat({ max: 9 }) }),
  fc.record({
    do: fc.constantFrom("swap" as const, "repeat" as const, "drop" as const, "tag" as const),
    one: fc.nat({ max: 3 }),
    other: fc.nat({ max: 3 }),
  }),
  fc.record({ do: fc.constant("foreign" as const), one: fc.nat({ max: 3 }), other: fc.nat({ max: 2 }) }),
);

/** @param others blobs of which heads and segments are taken */
function changed(blob: Buffer, changes: readonly Change[], others: readonly Buffer[][]): Buffer {
  let parts = partsOf(blob);
  for (const step of changes) {
    const all = Buffer.concat(parts);
    if (all.length < 84) return all;
    if (step.do === "flip") all[(step.bit >> 3) % all.length]! ^= 1 << (step.bit & 7);
    else if (step.do === "epoch") all.writeUInt32LE(step.epoch, 12);
    else if (step.do === "cut") return all.subarray(0, step.bytes % all.length);
    else if (step.do === "append") return Buffer.concat([all, noise(step.bytes, "more")]);
    else parts = moved([...parts], step, others);
    if (step.do === "flip" || step.do === "epoch") {
      let at = 0;
      parts = parts.map(({ length }) => {
        at += length;
        return all.subarray(at - length, at);
      });
    }
  }
  return Buffer.concat(parts);
}

function moved(parts: Buffer[], step: Move, others: readonly Buffer[][]): Buffer[] {
  const [one, other] = [step.one % parts.length, step.other % parts.length];
  const [first, second] = [parts[one]!, parts[other]!];
  if (step.do === "swap") [parts[one], parts[other]] = [second, first];
  if (step.do === "repeat") parts.splice(other, 0, first);
  if (step.do === "drop") parts.splice(one, 1);
  if (step.do === "tag") parts[one] = Buffer.concat([first.subarray(0, -16), second.subarray(-16)]);
  if (step.do === "foreign") parts[one] = others[step.other % others.length]?.[one] ?? first;
  return parts;
}

function isRefusal(error: unknown): boolean {
  return [CorruptError, UnsupportedError, ValidationError].some((kind) => error instanceof kind);
}

describe.each(KINDS)("a blob that was tampered with, $label", (kind) => {
  const content = Buffer.concat([words(MIB, "a"), words(MIB, "b"), noise(20_000, "c")]);
  const blob = encode(content, kind);
  const inNextEpoch: Kind = { ...kind, key: kind.key && NEXT };
  const others = [
    encode(Buffer.concat([words(MIB, "d"), words(MIB, "b"), noise(20_000, "e")]), kind),
    encode(content, kind), // under another salt
    encode(content, inNextEpoch),
  ].map(partsOf);
  const wanted = {
    ...asWanted(content, kind),
    keys: kind.key && new Map([KEY, NEXT].map(({ epoch, key }) => [epoch, key] as const)),
  };

  test("is refused, or gives the same bytes, whole and in parts", async () => {
    const place = fc.nat({ max: content.length });
    let refused = 0;
    const property = fc.asyncProperty(
      fc.array(change, { minLength: 1, maxLength: 4 }),
      place,
      place,
      async (changes, start, end) => {
        const bytes = changed(blob, changes, others);
        try {
          expect(decode(bytes, content, kind, undefined, wanted).equals(content)).toBe(true);
        } catch (error) {
          if (!isRefusal(error)) throw error;
          refused++;
        }
        const [from, to] = [Math.min(start, end), Math.max(start, end)];
        try {
          const read = async (at: number, length: number) => bytes.subarray(at, at + length);
          const opened: OpenBlob = await openBlob(read, wanted);
          expect((await opened.read(from, to - from)).equals(content.subarray(from, to))).toBe(true);
        } catch (error) {
          if (!isRefusal(error)) throw error;
        }
      },
    );
    await fc.assert(property, { numRuns: nightly ? 3000 : 60 });
    expect(refused).toBeGreaterThan(0);
  });

  test("is refused by the documented reader, or gives what a writer wrote", () => {
    const written = new Set(
      [content, Buffer.concat([words(MIB, "d"), words(MIB, "b"), noise(20_000, "e")])].map(sha256),
    );
    const property = fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
      let read: Buffer;
      try {
        read = documented(changed(blob, changes, others), kind.key && Buffer.from(kind.key.key));
      } catch {
        return; // Node's own errors, too
      }
      expect(written).toContain(sha256(read)); // which of them, its caller sees by the name
    });
    fc.assert(property, { numRuns: nightly ? 3000 : 40 });
  });
});

const run = promisify(execFile);
const GIB = 1024 * MIB;

/** As many zeros, in a few kilobytes. */
async function packed(bytes: number, pack: Gzip | ZstdCompress): Promise<Buffer> {
  const parts: Buffer[] = [];
  pack.on("data", (part: Buffer) => parts.push(part));
  const zeros = Buffer.alloc(16 * MIB);
  for (let left = bytes; left > 0; left -= zeros.length) {
    if (!pack.write(zeros)) await new Promise((resolve) => pack.once("drain", resolve));
  }
  await new Promise<void>((resolve) => pack.end(resolve));
  return Buffer.concat(parts);
}

/** A frame of zstd whose header says that it holds so many bytes; in it is one block with one. */
function lyingFrame(size: bigint): Buffer {
  const frame = Buffer.from("28b52ffde0000000000000000009000078", "hex");
  frame.writeBigUInt64LE(size, 5);
  return frame;
}

test("bombs and lying lengths are refused within bounded memory", async () => {
  const zstd = await packed(GIB, createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 1 } }));
  const gzip = await packed(GIB / 4, createGzip({ level: 1 }));
  const name = sha256(Buffer.alloc(0));
  const segments = (data: Buffer) => new Array<Buffer>(16).fill(data);
  const size = 16 * MIB;
  const liar = (at: number, value: number) => (head: Buffer) => head.writeUInt32LE(value, at);
  const blobs = {
    "a gigabyte in each segment, zstd": forgeBlob({ segments: segments(zstd), size, name, compression: 1 }),
    "a quarter in each, gzip": forgeBlob({ segments: segments(gzip), size, name, compression: 2 }),
    "a frame of 2^60 bytes": forgeBlob({
      segments: segments(lyingFrame(2n ** 60n)),
      size,
      name,
      compression: 1,
    }),
    "content of 4 GiB": forgeBlob({
      segments: [zstd],
      size: 1,
      name,
      compression: 1,
      touch: liar(80, 2 ** 32 - 1),
    }),
    "a segment of 4 GiB": forgeBlob({
      segments: [zstd],
      size: MIB,
      name,
      compression: 1,
      touch: liar(84, 2 ** 32 - 1),
    }),
  };
  expect(zstd.length).toBeLessThan(MIB);
  expect(gzip.length).toBeLessThan(2 * MIB);
  const directory = await mkdtemp(join(tmpdir(), "lancedb-backup-bombs-"));
  try {
    for (const [what, blob] of Object.entries(blobs)) {
      const file = join(directory, "blob");
      await writeFile(file, blob);
      const child = join(import.meta.dirname, "decode-in-child.ts");
      const { stdout } = await run(process.execPath, [child, file, name]);
      const { code, grownKilobytes } = JSON.parse(stdout) as { code: string; grownKilobytes: number };
      expect(code, what).toBe("CORRUPT");
      expect(grownKilobytes, what).toBeLessThan(48 * 1024);
    }
  } finally {
    await rm(directory, { recursive: true });
  }
});
