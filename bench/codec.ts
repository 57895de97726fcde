// `node bench/codec.ts [--quick]`: what it costs to cut, compress and encrypt: MB for each second of a processor, on one thread. No page is made of it.
import { createHash, randomBytes } from "node:crypto";
import { parseArgs } from "node:util";
import { decodeBlob } from "../src/engine/codec/decode-blob.ts";
import { type Compression, encodeBlob } from "../src/engine/codec/encode-blob.ts";
import { cutContent } from "../src/engine/cut-content.ts";
import { medianOf } from "./harness/measure.ts";

const MIB = 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;

const { values } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
const runs = values.quick ? 1 : 5;
const bytes = (values.quick ? 2 : 16) * MIB;
const key = { epoch: 1, key: randomBytes(32) };

const CONTENTS: Readonly<Record<string, Buffer>> = {
  "float vectors": Buffer.from(Float32Array.from({ length: bytes / 4 }, () => Math.random() * 2 - 1).buffer),
  "JSON rows": rows(bytes),
};

const COMPRESSIONS: readonly Compression[] = [
  { algorithm: "none" },
  { algorithm: "zstd", level: 1 },
  { algorithm: "zstd", level: 3 },
  { algorithm: "gzip", level: 1 },
];

for (const [what, content] of Object.entries(CONTENTS)) {
  await print(`${what}: cut`, content, async () => {
    for await (const piece of cutContent(chunksOf(content))) piece.at(0);
  });
  for (const compression of COMPRESSIONS) {
    await measureCodec(what, content, compression, undefined);
    await measureCodec(what, content, compression, key);
  }
}

async function measureCodec(
  what: string,
  content: Buffer,
  compression: Compression,
  used: typeof key | undefined,
): Promise<void> {
  const encode = () => {
    const name = createHash("sha256").update(content).digest("hex");
    return encodeBlob(content, { name, compression, key: used });
  };
  const blob = encode();
  const { algorithm, level = "" } = compression;
  const how = `${what}: ${algorithm} ${level}${used ? " encrypted" : ""}`;
  const stored = `(${((100 * blob.length) / content.length).toFixed(1)} % stored)`;
  await print(`${how}, named and encoded ${stored}`, content, encode);
  const keys = used && new Map([[used.epoch, used.key]]);
  const name = createHash("sha256").update(content).digest("hex");
  await print(`${how}, decoded`, content, () => decodeBlob(blob, { name, keys, place: "here" }));
}

async function print(what: string, content: Buffer, work: () => unknown): Promise<void> {
  await work(); // warms up
  const rates: number[] = [];
  for (let run = 0; run < runs; run++) {
    const before = process.cpuUsage();
    await work();
    const { user, system } = process.cpuUsage(before);
    rates.push(content.length / (user + system));
  }
  console.log(`${medianOf(rates).toFixed(0).padStart(6)} MB/s  ${what}`);
}

async function* chunksOf(content: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < content.length; at += CHUNK_BYTES) yield content.subarray(at, at + CHUNK_BYTES);
}

function rows(length: number): Buffer {
  const lines = Array.from({ length: Math.ceil(length / 60) }, (_, id) => {
    const name = randomBytes(6).toString("hex");
    return `${JSON.stringify({ id, name, value: Math.random(), tag: "abc"[id % 3] })}\n`;
  });
  return Buffer.from(lines.join("")).subarray(0, length);
}
