import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { CorruptError, UnsupportedError, ValidationError } from "../../src/errors.ts";
import { Repository } from "../../src/repository/repository.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { silent } from "../crash/silent.ts";
import { flipBit } from "../repository/broken.ts";
import { remote } from "../repository/verify-run.ts";
import { newDirectory } from "../support/database.ts";
import { filesBelow } from "../support/files.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";
import { snapshotOf } from "../support/snapshot.ts";

const ZSTD = { compression: { algorithm: "zstd", level: 3 } } as const;

async function newPlace(options: object = ZSTD, through = (storage: LocalStorage) => storage as never) {
  const directory = await newDirectory();
  const [uri, location] = [join(directory, "db"), join(directory, "repository")];
  const db = await connect(uri);
  await makeSampleTable(db, "main", { indices: true });
  await makeSampleTable(db, "other", { rows: 3000 });
  const storage = through(new LocalStorage(location));
  const repository = await Repository.init(storage, { logger: silent, ...options });
  return { directory, uri, location, db, repository, storage };
}

describe.each([
  ["in a local directory", (storage: LocalStorage) => storage as never],
  ["elsewhere", (storage: LocalStorage) => remote(storage) as never],
])("a compressed repository %s", (_where, through) => {
  test("is backed up into, verified, restored, opened, compared and pruned, also by who opens it later", async () => {
    const { directory, uri, db, location, repository, storage } = await newPlace(ZSTD, through);
    const before = await snapshotOf(db);
    const first = await repository.backup({ source: uri });
    expect(first.storedBytes).toBeLessThan(first.bytes);
    expect(first.storedBytes).toBeGreaterThan(0);
    await (await db.openTable("main")).add(sampleRows(500, 20));
    const again = await Repository.open(storage, { logger: silent });
    const second = await again.backup({ source: uri });
    expect(second.newBytes).toBeLessThan(second.bytes);
    expect((await again.backup({ source: uri })).storedBytes).toBe(0);
    const checks = await again.verify(undefined, { restoreTest: true });
    expect(checks.filter(({ ok }) => !ok)).toEqual([]);
    const target = join(directory, "restored");
    await again.restore(first.id, { target });
    const restored = await connect(target);
    expect(await snapshotOf(restored)).toEqual(before);
    restored.close();
    {
      await using opened = await again.openSnapshot(first.id);
      expect(await snapshotOf(opened)).toEqual(before);
    }
    const { tables } = await again.diff(first.id, second.id, { rows: { main: "id" } });
    expect(tables.find(({ id }) => id === "main")?.rows).toMatchObject({ comparable: true, added: 20 });
    await again.prune({ keepLast: 1, graceHours: 0 });
    expect((await again.verify()).filter(({ ok }) => !ok)).toEqual([]);
    expect(filesBelow(join(location, "snapshots"))).toHaveLength(1);
    db.close();
  });

  test("a flipped bit in any blob is told, and refused by a restore", async () => {
    const { directory, uri, db, location, repository } = await newPlace(ZSTD, through);
    const { id } = await repository.backup({ source: uri });
    for (const name of filesBelow(join(location, "blobs"))) {
      const path = join(location, "blobs", name);
      const content = readFileSync(path);
      flipBit(path, content.length >> 1);
      const results = await repository.verify(id, { checks: ["integrity"] });
      expect(results.map(({ ok }) => ok)).toEqual([false]);
      expect(results[0]?.details).toContain(name.slice(-64));
      await expect(repository.restore(id, { target: join(directory, "no") })).rejects.toThrow(CorruptError);
      writeFileSync(path, content);
    }
    db.close();
  });
});

test("scrub heals a live file from a compressed blob", async () => {
  const { uri, db, repository } = await newPlace();
  const before = await snapshotOf(db);
  db.close();
  await repository.backup({ source: uri });
  const file = filesBelow(uri).find((path) => /other\.lance\/data\//.test(path)) ?? "";
  flipBit(join(uri, file), 100);
  const { damage } = await repository.scrub(uri, { heal: true });
  expect(damage.map(({ mended }) => mended)).toEqual([true]);
  const healed = await connect(uri);
  expect(await snapshotOf(healed)).toEqual(before);
  healed.close();
});

test("a link is refused, since blobs are no plain files", async () => {
  const { directory, uri, db, repository } = await newPlace();
  const { id } = await repository.backup({ source: uri });
  const options = { target: join(directory, "linked"), link: true };
  await expect(repository.restore(id, options)).rejects.toThrow(UnsupportedError);
  db.close();
});

test.each([
  [{ algorithm: "zstd", level: 23 }, ValidationError],
  [{ algorithm: "lzma" }, ValidationError],
  [{ algorithm: "gzip", levle: 3 }, ValidationError],
  ["zstd", TypeError],
])("compression %j is refused, and nothing is made", async (compression, kind) => {
  const directory = await newDirectory();
  const location = join(directory, "repository");
  const options = { logger: silent, compression: compression as never };
  await expect(Repository.init(location, options)).rejects.toThrow(kind);
  expect(filesBelow(directory)).toEqual([]);
});
