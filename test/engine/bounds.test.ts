import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { BlobStore } from "../../src/engine/blobs/blob-store.ts";
import { encodeSnapshot } from "../../src/engine/format/encode-snapshot.ts";
import { blobName } from "../../src/engine/format/names.ts";
import type { PartContent, StoredSnapshot } from "../../src/engine/snapshot.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { newDirectory } from "../support/database.ts";
import { FaultyStorage } from "../support/faulty-storage.ts";

test("a blob that goes on for ever is read to the size that it is said to have, and is damage", async () => {
  const bytes = Buffer.from("content");
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  let given = 0;
  class Endless extends FaultyStorage {
    override async *read(): AsyncGenerator<Uint8Array> {
      for (; ; given++) yield bytes;
    }
  }
  const endless = new BlobStore(new Endless(new LocalStorage(await newDirectory())));
  await expect(endless.digest(sha256, bytes.length)).rejects.toMatchObject({
    code: "CORRUPT",
    path: expect.stringContaining(blobName(sha256)),
  });
  expect(given).toBeLessThan(3);
  const honest = new LocalStorage(await newDirectory());
  await honest.write(blobName(sha256), bytes);
  expect(await new BlobStore(honest).digest(sha256, bytes.length)).toEqual({ size: bytes.length, sha256 });
});

/** A snapshot of files whose names alone differ. */
function manyFiles(files: number): { snapshot: StoredSnapshot; parts: PartContent[] } {
  const source = { type: "plain", id: "plain-1", uri: "/somewhere", host: "here" };
  const sha256 = createHash("sha256").update("x").digest("hex");
  const entries = Array.from({ length: files }, (_, file) => ({ path: `file-${file}`, size: 1, sha256 }));
  const part = {
    source,
    files,
    bytes: files,
    about: {},
    details: {},
    blobs: new Map<string, number>(),
    entries,
  };
  const snapshot: StoredSnapshot = {
    id: "20260101T000000Z-00000000",
    ...{ name: undefined, description: undefined, tags: [], createdAt: new Date(0), durationMs: 1 },
    ...{ files, bytes: files, newFiles: 0, newBytes: 0, storedBytes: 0, parts: [part] },
    software: { lancedbBackup: "0", node: "24" },
  };
  return { snapshot, parts: [part] };
}

test("a snapshot whose document would be longer than one is read again is refused, with its files", () => {
  const { snapshot, parts } = manyFiles(1000);
  const { bytes } = encodeSnapshot(snapshot, parts);
  expect(encodeSnapshot(snapshot, parts, bytes.length).bytes.equals(bytes)).toBe(true);
  for (const most of [bytes.length - 1, 10])
    expect(() => encodeSnapshot(snapshot, parts, most)).toThrow(/1,000 files.*sources of their own/);
});
