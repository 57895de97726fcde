// In a project of its own: the application's LanceDB is an old one, and the package finds a new one beside itself.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import * as lancedb from "@lancedb/lancedb";
import {
  BackupManager,
  createIndexesWithBackup,
  insertRecordsWithBackup,
  loadBackup,
  Repository,
} from "lancedb-backup";
import { arrange, newPlace, rows, stateAt, stateOf } from "./place.ts";

const logger = { debug: () => 0, info: () => 0, warn: () => 0, error: () => 0 };

/** Read, not only counted. */
async function countOf(uri: string, table: string): Promise<number> {
  const db = await lancedb.connect(uri);
  return (await (await db.openTable(table)).query().toArray()).length;
}

test("tables that guarded work and an insert make are the application's", async () => {
  using place = newPlace();
  const { uri, directory } = place;
  await arrange(uri);
  await using manager = new BackupManager({ uri, backupDir: join(directory, "b"), lancedb, logger });
  await manager.withBackup(async (db) => {
    assert.ok(db instanceof lancedb.Connection);
    await db.createTable("made", rows(0, 3));
  });
  const strings = [{ id: 1, text: "a", vector: [1, 2], at: new Date() }];
  await insertRecordsWithBackup(strings, { table: "inserted", manager });
  const specs = [{ column: "id", config: lancedb.Index.btree() }];
  await createIndexesWithBackup("inserted", specs, { manager });
  assert.deepEqual([await countOf(uri, "made"), await countOf(uri, "inserted")], [3, 1]);
});

test("the package's own copy would make tables that the application cannot read", async () => {
  using place = newPlace();
  const { uri, directory } = place;
  await insertRecordsWithBackup(rows(0, 3), { table: "t", uri, backupDir: join(directory, "b") });
  await assert.rejects(countOf(uri, "t"));
});

test("what is replayed and opened is the application's", async () => {
  using place = newPlace();
  const { uri, directory } = place;
  await arrange(uri);
  const files = process.env["PERIODIC_FULL"] ?? "";
  const made = join(directory, "made");
  const db = await loadBackup(files, made, { lancedb, logger });
  assert.ok(db instanceof lancedb.Connection);
  assert.equal(await countOf(made, "main"), 60);
  await using repository = await Repository.init(join(directory, "r"), { lancedb, logger });
  const snapshot = await repository.backup({ source: uri });
  await using opened = await repository.openSnapshot(snapshot.id);
  assert.deepEqual(await stateOf(opened), await stateAt(uri));
});

test("a failure is rolled back by the application's copy", async () => {
  using place = newPlace();
  const { uri, directory } = place;
  await arrange(uri);
  const before = await stateAt(uri);
  await using manager = new BackupManager({ uri, backupDir: join(directory, "b"), lancedb, logger });
  const failed = manager.withBackup(async (db) => {
    await (await db.openTable("main")).add(rows(100, 102));
    throw new Error("no");
  });
  await assert.rejects(failed, /no/);
  assert.deepEqual(await stateAt(uri), before);
});
