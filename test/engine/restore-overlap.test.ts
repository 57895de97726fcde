import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { backup } from "../../src/engine/backup/back-up-sources.ts";
import { PLAIN, segments } from "../../src/engine/blobs/blob-codec.ts";
import { BlobStore } from "../../src/engine/blobs/blob-store.ts";
import { createMarker } from "../../src/engine/marker.ts";
import { writeFiles } from "../../src/engine/restore/write-files.ts";
import { NewFile } from "../../src/fs/durable.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import type { ReadOptions } from "../../src/storage/storage.ts";
import { silent } from "../crash/silent.ts";
import { remote } from "../repository/verify-run.ts";
import { newDirectory } from "../support/database.ts";
import { PlainSource } from "../support/plain-source.ts";

const MIB = 1 << 20;
const LARGE = 6;
const SMALL = 200;

test.each([
  ["as they are", PLAIN, 4],
  ["compressed", segments({ algorithm: "zstd", level: 1 }), 3],
] as const)(
  "a restore of blobs, %s, reads each once, several at a time and no more, and syncs each large file once",
  async (_, codec, most) => {
    const directory = await newDirectory();
    const [uri, location, target] = ["source", "repository", "target"].map((name) =>
      join(directory, name),
    ) as [string, string, string];
    mkdirSync(uri);
    mkdirSync(target);
    for (let number = 0; number < LARGE; number++) {
      writeFileSync(join(uri, `large-${number}`), Buffer.alloc(8 * MIB + number, randomBytes(64 * 1024)));
    }
    for (let number = 0; number < SMALL; number++)
      writeFileSync(join(uri, `small-${number}`), randomBytes(4000));
    writeFileSync(join(uri, "empty"), "");
    const local = new LocalStorage(location);
    await createMarker(local);
    const blobs = new BlobStore(remote(local), codec);
    const context = { blobs, logger: silent, previous: async () => undefined };
    const { parts } = await backup(context, { sources: [new PlainSource(uri)], capture: {} });

    const reads: string[] = [];
    let [under, highest] = [0, 0];
    const read = blobs.storage.read.bind(blobs.storage);
    const counted = async function* (name: string, options?: ReadOptions) {
      reads.push(name);
      highest = Math.max(highest, ++under);
      try {
        for await (const piece of read(name, options)) {
          await new Promise((resolve) => setImmediate(resolve)); // as of a store, where others are asked meanwhile
          yield piece;
        }
      } finally {
        under--;
      }
    };
    Object.assign(blobs.storage, { read: counted });
    const synced = vi.spyOn(NewFile.prototype, "sync");
    const files = parts[0]?.entries ?? [];
    await writeFiles({ blobs, directory: target, tables: [{ id: "all", directory: "all", files }] });
    expect(synced).toHaveBeenCalledTimes(LARGE);
    synced.mockRestore();
    expect(reads).toHaveLength(LARGE + 1); // the small ones lie in one
    expect(new Set(reads).size).toBe(LARGE + 1);
    expect(highest).toBeGreaterThan(1);
    expect(highest).toBeLessThanOrEqual(most);
    expect(files).toHaveLength(LARGE + SMALL + 1);
    for (const { path } of files) {
      expect(readFileSync(join(target, "all", path)).equals(readFileSync(join(uri, path))), path).toBe(true);
    }
  },
);
