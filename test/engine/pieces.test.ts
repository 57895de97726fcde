import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { type BackupContext, backup } from "../../src/engine/backup/back-up-sources.ts";
import { planBackup } from "../../src/engine/backup/plan-backup.ts";
import { BlobStore } from "../../src/engine/blobs/blob-store.ts";
import { Catalog } from "../../src/engine/catalog/catalog.ts";
import { codecThreads } from "../../src/engine/codec/codec-threads.ts";
import { createMarker } from "../../src/engine/marker.ts";
import { prune } from "../../src/engine/prune/prune-snapshots.ts";
import { writeFiles } from "../../src/engine/restore/write-files.ts";
import type { StoredContent } from "../../src/engine/snapshot.ts";
import { CorruptError } from "../../src/errors.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { silent } from "../crash/silent.ts";
import { remote } from "../repository/verify-run.ts";
import { newDirectory } from "../support/database.ts";
import { filesBelow } from "../support/files.ts";
import { PlainSource } from "../support/plain-source.ts";

const MIB = 1 << 20;

async function newPlace() {
  const directory = await newDirectory();
  const [uri, location] = [join(directory, "source"), join(directory, "repository")];
  mkdirSync(uri);
  const local = new LocalStorage(location);
  await createMarker(local);
  const blobs = new BlobStore(remote(local));
  const catalog = new Catalog({ storage: local, logger: silent });
  const context: BackupContext = {
    blobs,
    logger: silent,
    previous: (source) => catalog.newestOf(source),
  };
  const take = () => backup(context, { sources: [new PlainSource(uri)], capture: {} });
  const put = (name: string, content: Buffer) => writeFileSync(join(uri, name), content);
  return { directory, uri, location, local, blobs, catalog, take, put };
}

/** What a restore of it gives, by path. */
async function restored(blobs: BlobStore, { parts }: StoredContent): Promise<Map<string, Buffer>> {
  const directory = await newDirectory();
  const files = parts[0]?.entries ?? [];
  await writeFiles({ blobs, directory, tables: [{ id: "all", directory: "all", files }] });
  return new Map(files.map(({ path }) => [path, readFileSync(join(directory, "all", path))]));
}

test("a content is known wherever it lies in a blob that can be used, also where another entry of it lies in one that cannot", () => {
  const sha256 = "ab".repeat(32);
  const entryIn = (path: string, blob: string) => ({
    ...{ path, size: 5, sha256, stamp: "s", pieces: [{ blob, offset: 0, bytes: 5 }] },
  });
  const source = { type: "plain", id: "x", uri: "/", host: "here" };
  const previous = {
    ...{ source, files: 2, bytes: 10, about: {}, details: {} },
    ...{
      blobs: new Map([["gone", 5]]).set("there", 5),
      entries: [entryIn("a", "gone"), entryIn("b", "there")],
    },
  };
  const plan = planBackup([], previous, { distrusted: new Set(["gone"]) });
  expect(plan.piecesOf(sha256, 5)).toEqual([{ blob: "there", offset: 0, bytes: 5 }]);
  expect(plan.piecesOf(sha256, 6)).toBeUndefined();
  const none = planBackup([], previous, { distrusted: new Set(["gone", "there"]) });
  expect(none.piecesOf(sha256, 5)).toBeUndefined();
});

const objects = (location: string) => filesBelow(join(location, "blobs"));

describe("in a repository elsewhere", () => {
  test("small files share objects, large ones are cut, and all come back", async () => {
    const { location, blobs, take, put, uri } = await newPlace();
    for (let number = 0; number < 300; number++) put(`small-${number}`, randomBytes(10 + number * 7));
    put("empty", Buffer.alloc(0));
    put("large", randomBytes(40 * MIB + 5));
    put("exact", randomBytes(16 * MIB));
    const taken = await take();
    // Two of 16 MiB and the rest of the large file, the exact one, and one for all the small ones.
    expect(objects(location).length).toBe(5);
    expect(taken.snapshot).toMatchObject({ files: 303, newFiles: 303, newBytes: taken.snapshot.bytes });
    const sizes = objects(location).map((name) => statSync(join(location, "blobs", name)).size);
    expect(taken.snapshot.storedBytes).toBe(sizes.reduce((sum, size) => sum + size, 0));
    const back = await restored(blobs, taken);
    for (const [path, content] of back) expect(content.equals(readFileSync(join(uri, path)))).toBe(true);
    expect(back.size).toBe(303);
  });

  test("a file of one piece is hashed once, in a thread, and of a longer one no piece twice by it", async () => {
    const { blobs, take, put } = await newPlace();
    const asked = vi.spyOn(codecThreads, "run");
    const listed = vi.spyOn(blobs.storage, "list");
    for (let number = 0; number < 5; number++) put(`piece-${number}`, randomBytes(5 * MIB));
    const one = await take();
    expect(asked.mock.calls.map(([name]) => name)).toEqual(Array(5).fill("digest"));
    // However many are written at once, the repository is looked at once for all.
    expect(listed.mock.calls.filter(([prefix]) => prefix === "blobs/")).toHaveLength(1);
    asked.mockClear();
    put("long", randomBytes(33 * MIB));
    const two = await take();
    expect(asked.mock.calls.map(([name, { bytes }]) => [name, bytes.length])).toHaveLength(2);
    vi.restoreAllMocks();
    for (const { parts } of [one, two]) {
      for (const { path, sha256 } of parts[0]?.entries ?? []) expect(sha256, path).toMatch(/^[0-9a-f]{64}$/);
    }
    expect((await restored(blobs, two)).size).toBe(6); // each held to its digest
  });

  test("20,000 small files take a request for ten of them at most, and an object for a hundred", async () => {
    const { location, blobs, take, put } = await newPlace();
    for (let number = 0; number < 20_000; number++) put(`file-${number}`, randomBytes(200));
    let requests = 0;
    for (const name of ["write", "writeNew", "stat", "remove", "read", "list"] as const) {
      const call = blobs.storage[name].bind(blobs.storage) as (...args: never[]) => never;
      const counted = (...args: never[]) => {
        requests++;
        return call(...args);
      };
      Object.assign(blobs.storage, { [name]: counted });
    }
    const taken = await take();
    expect(taken.snapshot.files).toBe(20_000);
    expect(objects(location).length).toBeLessThanOrEqual(200);
    expect(requests).toBeLessThanOrEqual(2000);
    expect((await restored(blobs, taken)).size).toBe(20_000);
    expect(requests).toBeLessThanOrEqual(2000);
  });

  test("what is there is not written again: the same stamp, another path, and after an interruption", async () => {
    const { location, blobs, take, put, uri, local } = await newPlace();
    for (let number = 0; number < 50; number++) put(`file-${number}`, randomBytes(1000));
    put("large", randomBytes(20 * MIB));
    const first = await take();
    const before = objects(location);
    expect((await take()).snapshot).toMatchObject({ newFiles: 0, storedBytes: 0 });
    const moved = readFileSync(join(uri, "file-7"));
    put("another-name", moved);
    expect((await take()).snapshot).toMatchObject({ newFiles: 0, storedBytes: 0 });
    // Interrupted before the document: the objects are found by their names.
    for (const { id } of [first.snapshot]) await local.remove(`snapshots/${id}.json`);
    for (const name of readdirSync(join(location, "snapshots"))) await local.remove(`snapshots/${name}`);
    rmSync(join(uri, "another-name"));
    expect((await take()).snapshot).toMatchObject({ newFiles: 0, storedBytes: 0 });
    expect(objects(location)).toEqual(before);
    expect(await restored(blobs, await take())).toHaveProperty("size", 51);
  });

  test("a bundle stays while one of its files is needed, and falls with the snapshots that need half of it", async () => {
    const { location, blobs, take, put, uri, local, catalog } = await newPlace();
    for (let number = 0; number < 10; number++) put(`file-${number}`, randomBytes(1000));
    const first = await take();
    for (let number = 0; number < 4; number++) rmSync(join(uri, `file-${number}`));
    const second = await take();
    expect(second.snapshot.storedBytes).toBe(0);
    for (let number = 4; number < 7; number++) rmSync(join(uri, `file-${number}`));
    const third = await take();
    expect(third.snapshot).toMatchObject({ files: 3, storedBytes: 3000 });
    const place = { storage: local, logger: silent };
    await catalog.delete(first.snapshot.id);
    await prune(place, { graceHours: 0 });
    expect(objects(location)).toHaveLength(2);
    await restored(blobs, second);
    await catalog.delete(second.snapshot.id);
    await prune(place, { graceHours: 0 });
    expect(objects(location)).toHaveLength(1);
    expect((await restored(blobs, third)).size).toBe(3);
  });

  test("a bundle that has gone is written again, and one that is damaged is refused by every file in it", async () => {
    const { location, blobs, take, put, local } = await newPlace();
    for (let number = 0; number < 10; number++) put(`file-${number}`, randomBytes(1000));
    await take();
    const [bundle = ""] = objects(location);
    await local.remove(`blobs/${bundle}`);
    const again = await take();
    expect(again.snapshot.storedBytes).toBe(10_000);
    const content = Buffer.from(readFileSync(join(location, "blobs", bundle)));
    content[5_500] = (content[5_500] ?? 0) ^ 1;
    await local.write(`blobs/${bundle}`, content);
    await expect(restored(blobs, again)).rejects.toThrow(CorruptError);
  });
});
