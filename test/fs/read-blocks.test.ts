import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readBlocks } from "../../src/fs/read-blocks.ts";
import { readSmallFileInto } from "../../src/fs/read-small-file.ts";
import { newDirectory } from "../support/database.ts";

test("a file comes in blocks of one size, each in memory of its own", async () => {
  const path = join(await newDirectory(), "file");
  for (const [size, lengths] of [
    [0, [0]],
    [1, [1]],
    [999, [999]],
    [1000, [1000]],
    [1001, [1000, 1]],
    [3000, [1000, 1000, 1000]],
  ] as const) {
    const content = randomBytes(size);
    writeFileSync(path, content);
    const blocks: Buffer[] = [];
    for await (const block of readBlocks(path, { blockBytes: 1000 })) blocks.push(block);
    expect(blocks.map(({ length }) => length)).toEqual(lengths);
    expect(Buffer.concat(blocks).equals(content)).toBe(true);
    for (const { buffer, length } of blocks) expect(buffer.byteLength).toBe(length);
  }
});

test("a file that is cut while it is read ends early, and a signal ends it", async () => {
  const path = join(await newDirectory(), "file");
  writeFileSync(path, randomBytes(3000));
  const blocks: Buffer[] = [];
  for await (const block of readBlocks(path, { blockBytes: 1000 })) {
    if (blocks.length === 0) writeFileSync(path, randomBytes(1500));
    blocks.push(block);
  }
  expect(blocks.map(({ length }) => length)).toEqual([1000, 500]);
  const reading = readBlocks(path, { blockBytes: 1000, signal: AbortSignal.abort() });
  await expect(reading.next()).rejects.toThrow("aborted");
  await expect(readBlocks(join(path, "no"), { blockBytes: 1 }).next()).rejects.toMatchObject({
    code: "ENOTDIR",
  });
});

test("a file that is read into memory is there whole; of a longer one a byte more, and a signal ends it", async () => {
  const path = join(await newDirectory(), "file");
  const content = randomBytes(3000);
  writeFileSync(path, content);
  const memory = Buffer.alloc(4000);
  const whole = await readSmallFileInto(memory, path, 3000);
  expect([whole.equals(content), whole.buffer]).toEqual([true, memory.buffer]);
  expect(await readSmallFileInto(memory, path, 2999)).toHaveLength(3000);
  expect(await readSmallFileInto(memory, path, 3001)).toHaveLength(3000);
  await expect(readSmallFileInto(memory, path, 3000, AbortSignal.abort())).rejects.toThrow("aborted");
});
