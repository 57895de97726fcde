import { existsSync, readdirSync, rmSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { type Connection, connect, Index, type Table } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { diagnose } from "../../src/doctor/diagnose.ts";
import {
  BackupStrategy,
  createIndexesWithBackup,
  deleteRowsWithBackup,
  insertRecordsWithBackup,
  loadBackup,
  PeriodicBackupManager,
  Repository,
} from "../../src/index.ts";
import { openWithoutBroken } from "../../src/lance/broken-indices.ts";
import { lancedb, newDatabase, type TestDatabase } from "../support/database.ts";
import { dieInside } from "../support/die-inside.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";

// A file of an index is gone. The rows are all there: nothing that concerns them may fail, and the index can be made
// anew under guard.

const STRATEGIES = Object.values(BackupStrategy);

/** A table `main` whose index of this name lacks a file, or all of them. */
async function withBroken(name: string, what: "file" | "all" = "file"): Promise<TestDatabase> {
  const place = await newDatabase();
  const table = await makeSampleTable(place.db, "main", { indices: true });
  breakIndex(place, await uuidOf(table, name), what);
  return place;
}

async function uuidOf(table: Table, name: string): Promise<string> {
  return (await table.listIndices()).find((index) => index.name === name)?.indexUuid ?? "";
}

function breakIndex({ uri }: TestDatabase, uuid: string, what: "file" | "all"): void {
  const directory = join(uri, "main.lance/_indices", uuid);
  const file = readdirSync(directory).find((name) => /tokens|page_data|index\.idx/.test(name)) ?? "";
  rmSync(what === "all" ? directory : join(directory, file), { recursive: true });
}

const rows = async (db: Connection) => (await db.openTable("main")).countRows();
const search = async (db: Connection) =>
  (await (await db.openTable("main")).search("alpha", "fts", "text").limit(3).toArray()).length;
const newIndex = () => Index.fts();

describe.each(STRATEGIES)("%s", (strategy) => {
  test("dropIndex and createIndex under guard make it anew", async () => {
    for (const what of ["file", "all"] as const) {
      const place = await withBroken("text_idx", what);
      await place.manager.withBackup(strategy, async (db) => {
        const table = await db.openTable("main");
        await table.dropIndex("text_idx");
        await table.createIndex("text", { config: newIndex() });
      });
      expect(await search(place.db)).toBe(3);
      const told = place.logged.filter(({ level }) => level === "warn");
      expect(told[0]?.meta).toMatchObject({
        table: "main",
        leftOut: [expect.stringMatching(/^index text_idx: _indices\/.* is missing/)],
      });
    }
  });

  test("createIndexesWithBackup replaces it", async () => {
    const place = await withBroken("text_idx", "all");
    const { manager } = place;
    const done = await createIndexesWithBackup(
      "main",
      [{ column: "text", config: newIndex(), replace: true }],
      {
        strategy,
        manager,
      },
    );
    expect(done.indexes).toEqual(["text_idx"]);
    expect(await search(place.db)).toBe(3);
  });

  test("rows are added and deleted, and failed work goes back", async () => {
    const place = await withBroken("text_idx");
    const { manager } = place;
    await insertRecordsWithBackup(sampleRows(100, 5), { table: "main", strategy, manager });
    await deleteRowsWithBackup([100], { table: "main", key: "id", strategy, manager });
    expect(await rows(place.db)).toBe(43);
    const failing = manager.withBackup(strategy, async (db) => {
      const table = await db.openTable("main");
      await table.delete("score > 0");
      await table.dropIndex("text_idx");
      await table.optimize({ cleanupOlderThan: new Date(Date.now() + 60_000), deleteUnverified: true });
      throw new Error("on purpose");
    });
    await expect(failing).rejects.toThrow("on purpose");
    expect(await rows(place.db)).toBe(43);
    const table = await place.db.openTable("main");
    await table.checkoutLatest();
    expect((await table.query().where("id = 101").toArray()).length).toBe(1); // by the index that is whole
  });

  test("a drop and a backup made by hand go back", async () => {
    const place = await withBroken("vector_idx", "all");
    const id = await place.manager.createBackup(strategy);
    await place.db.dropTable("main");
    await place.manager.restoreBackup(id);
    expect(await rows(place.db)).toBe(39);
    expect(await search(place.db)).toBe(3);
  });
});

test("what died in the work is rolled back", async () => {
  const place = await withBroken("text_idx");
  dieInside(place, 'await (await db.openTable("main")).delete("score > 0")');
  const report = await place.newManager().recover();
  expect(report.entries).toEqual([expect.objectContaining({ action: "rolled-back" })]);
  expect(await rows(place.db)).toBe(39);
});

test("an index whose file was cut short is left out, too", async () => {
  const place = await newDatabase();
  const table = await makeSampleTable(place.db, "main", { indices: true });
  const directory = join(place.uri, "main.lance/_indices", await uuidOf(table, "id_idx"));
  truncateSync(join(directory, "page_data.lance"), 10);
  await place.manager.withBackup("lance-version", async (db) => {
    await (await db.openTable("main")).add(sampleRows(100, 1));
  });
  expect(place.logged.find(({ level }) => level === "warn")?.meta?.["leftOut"]).toEqual([
    expect.stringContaining("page_data.lance has 10 bytes where the manifest says"),
  ]);
});

test("the error of a delete that LanceDB does by the broken index says what to do", async () => {
  const { manager, db } = await withBroken("id_idx");
  const done = deleteRowsWithBackup([7], { table: "main", key: "id", strategy: "lance-version", manager });
  await expect(done).rejects.toThrow(/dropIndex.*createIndex.*doctor/);
  expect(await rows(db)).toBe(39);
});

test("a snapshot names it, is complete, and restores to a table without it", async () => {
  const place = await withBroken("text_idx", "all");
  await using repository = await Repository.init(join(place.directory, "repo"));
  const snapshot = await repository.backup({ source: place.uri });
  expect(snapshot.tables[0]?.leftOut).toEqual([expect.stringMatching(/^index text_idx: /)]);
  const checks = await repository.verify(snapshot.id, { restoreTest: true });
  expect(checks.filter(({ ok }) => !ok)).toEqual([]);

  const target = join(place.directory, "restored");
  const report = await repository.restore(snapshot.id, { target });
  expect(report.leftOut).toEqual([{ table: "main", what: expect.stringMatching(/^index text_idx: /) }]);
  expect(report.tables).toEqual([expect.objectContaining({ restoredVersion: 7, version: 8, rows: 39 })]);
  const db = await connect(target);
  const table = await db.openTable("main");
  expect((await table.listIndices()).map(({ name }) => name).sort()).toEqual(["id_idx", "vector_idx"]);
  expect(await rows(db)).toBe(39);
  db.close();
  // An older version is restored, too, and it opens.
  const older = await repository.restore(snapshot.id, {
    target: join(place.directory, "older"),
    versions: { main: 6 },
  });
  expect(older.tables[0]).toMatchObject({ restoredVersion: 6, version: 7 });
  await using opened = await repository.openSnapshot(snapshot.id);
  expect((await (await opened.openTable("main")).listIndices()).length).toBe(2);
});

test("in place, too; and scrub tells", async () => {
  const place = await withBroken("text_idx");
  await using repository = await Repository.init(join(place.directory, "repo"));
  const snapshot = await repository.backup({ source: place.uri });
  const scrubbed = await repository.scrub(place.uri);
  expect(scrubbed.damage).toEqual([expect.objectContaining({ kind: "index", problem: "missing" })]);
  await (await place.db.openTable("main")).delete("score > 1");
  const report = await repository.restore(snapshot.id, { target: place.uri, mode: "in-place" });
  expect(report.leftOut).toEqual([{ table: "main", what: expect.stringMatching(/^index text_idx: /) }]);
  const table = await place.db.openTable("main");
  expect(await table.version()).toBe(report.tables[0]?.version);
  expect((await table.listIndices()).map(({ name }) => name).sort()).toEqual(["id_idx", "vector_idx"]);
  expect(await rows(place.db)).toBe(39);
  expect((await repository.scrub(place.uri)).damage).toEqual([]);
});

test.each(["text_idx", "id_idx"])("periodic files have every row beside a broken %s", async (name) => {
  const place = await withBroken(name, "all");
  const { uri, logger } = place;
  const backupDir = join(place.directory, "periodic");
  await using periodic = new PeriodicBackupManager({ uri, backupDir, incremental: true, logger });
  const full = await periodic.backupFull();
  const table = await place.db.openTable("main");
  await table.add(sampleRows(100, 3));
  expect(await periodic.backupDelta()).not.toBeNull();
  const target = join(place.directory, "loaded");
  const loaded = await loadBackup(full, target, { logger });
  expect(await rows(loaded)).toBe(39);
  loaded.close();
  expect(existsSync(join(uri, "main.lance"))).toBe(true);
});

test("reading past a broken index writes nothing into the table", async () => {
  const { uri } = await withBroken("id_idx", "all");
  const dataset = join(uri, "main.lance");
  const before = readdirSync(dataset, { recursive: true }).sort();
  using door = await openWithoutBroken(lancedb, uri, dataset);
  expect(await door.table.countRows("id >= 0")).toBe(39);
  expect(readdirSync(dataset, { recursive: true }).sort()).toEqual(before);
});

test("doctor names the index and the calls that make it anew", async () => {
  const { uri } = await withBroken("text_idx");
  const { ok, findings } = await diagnose({ uri });
  expect(ok).toBe(false);
  expect(findings.filter(({ level }) => level === "problem")).toEqual([
    expect.objectContaining({
      check: "index",
      about: "main",
      details: expect.stringMatching(/^Index "text_idx" is broken: _indices\/.* is missing/),
      advice: expect.stringContaining('table.dropIndex("text_idx"), then table.createIndex("text"'),
    }),
  ]);
});
