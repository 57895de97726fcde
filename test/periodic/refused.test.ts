import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { blob, type Connection } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { arrow } from "../../src/arrow/arrow.ts";
import { loadBackup } from "../../src/periodic/replay/replay-file.ts";
import { restoreLatest } from "../../src/periodic/replay/restore-latest.ts";
import { contentOf, Place, rowsOf, tableOf } from "./harness.ts";

const int = () => new arrow.Field("id", new arrow.Int32(), false);

test("a table with blobs is refused by name before a file is written, and can be left out", async () => {
  await using place = new Place();
  const db = await place.db();
  const schema = new arrow.Schema([int(), blob("body") as never]);
  await db.createTable("blobs", [{ id: 1, body: Buffer.alloc(5_000_000, "x") }], { schema });
  await db.createTable("a", rowsOf([1]));
  await expect(place.manager().backupNow()).rejects.toMatchObject({
    code: "UNSUPPORTED",
    message: /blobs.*"body"/,
  });
  expect(place.files()).toEqual([]);
  await place.manager({ tables: ["a"] }).backupNow();
  expect(place.files()).toHaveLength(1);
});

/** Makes a table `bad` with a column that no periodic file can hold. */
const UNREADABLE: [string, string, (db: Connection) => Promise<unknown>][] = [
  [
    "JSON",
    "j",
    (db) => {
      const json = new Map([["ARROW:extension:name", "arrow.json"]]);
      const fields = [int(), new arrow.Field("j", new arrow.Utf8(), true, json)];
      const rows = tableOf({ id: [new arrow.Int32(), [1]], j: [new arrow.Utf8(), ['{"a":1}']] });
      const schema = new arrow.Schema(fields);
      const batches = rows.batches.map((batch) => new arrow.RecordBatch(schema, batch.data as never));
      return db.createTable("bad", new arrow.Table(schema, batches));
    },
  ],
  [
    "a backtick in its name",
    "a`b",
    (db) => db.createTable("bad", tableOf({ id: [new arrow.Int32(), [1]], "a`b": [new arrow.Int32(), [1]] })),
  ],
  [
    "values that LanceDB computes",
    "twice",
    async (db) => {
      const table = await db.createTable("bad", rowsOf([1, 2]));
      await table.addColumns({ computed: [{ name: "twice", valueSql: "id * 2" }] });
      await table.refreshColumn("twice");
    },
  ],
  [
    "large lists",
    "list",
    async (db) => {
      const table = await db.createTable("bad", rowsOf([1, 2]));
      await table.addColumns([
        { name: "list", valueSql: "arrow_cast(make_array(id, id), 'LargeList(Int32)')" },
      ]);
    },
  ],
];

test.each(UNREADABLE)(
  "a column of %s is refused by name before a file is written, and its table can be left out",
  async (_name, column, make) => {
    await using place = new Place();
    const db = await place.db();
    await db.createTable("good", rowsOf([1]));
    await make(db);
    for (const incremental of [true, false]) {
      await expect(place.manager({ incremental }).backupNow()).rejects.toMatchObject({
        code: "UNSUPPORTED",
        message: expect.stringMatching(`table bad .*column ${JSON.stringify(column)}.*option tables`),
      });
    }
    expect(place.files()).toEqual([]);
    await place.manager({ tables: ["good"] }).backupNow();
    expect(place.files()).toHaveLength(1);
  },
);

test("a table with the LSM write path is refused by name before a file is written", async () => {
  await using place = new Place();
  const db = await place.db();
  const schema = new arrow.Schema([int(), new arrow.Field("text", new arrow.Utf8(), true)]);
  const table = await db.createTable("lsm", [{ id: 1, text: "x" }], { schema });
  await table.setUnenforcedPrimaryKey("id");
  await table.setLsmWriteSpec({ specType: "unsharded" });
  await expect(place.manager().backupNow()).rejects.toMatchObject({ code: "UNSUPPORTED", message: /LSM/ });
  expect(place.files()).toEqual([]);
});

test("options that cannot be are refused, and nothing is touched", async () => {
  await using place = new Place();
  for (const options of [
    { backupInterval: 0 },
    { backupInterval: Number.NaN },
    { minBackupInterval: -1 },
    { fileFormat: "xml" as never },
    { maxDeltasBeforeFull: 1.5 },
    { keep: 0 },
    { primaryKey: [] as never },
    { primaryKey: { a: [] } },
    { primaryKey: { "../a": "id" } },
    { tables: ["../a"] },
    { backupDir: place.uri },
    { backupDir: `${place.uri}/a.lance/x` },
    { uri: "s3://bucket/db" },
    { uri: "s3:/bucket/db" },
    { uri: "file://host/db" },
    { backupDir: "file:backups" },
  ]) {
    expect(() => place.manager(options), JSON.stringify(options)).toThrow();
  }
  expect(place.files()).toEqual([]);
});

test("a backup directory that is a link into the database is refused, also where it is not there yet", async () => {
  await using place = new Place();
  await (await place.db()).createTable("a", rowsOf([1]));
  const [link, inner, around] = ["link", "inner", "around"].map((name) => join(place.root, name));
  symlinkSync(place.uri, link!);
  symlinkSync(join(place.uri, "backups"), inner!);
  symlinkSync(place.root, around!);
  for (const options of [
    { backupDir: link! },
    { backupDir: inner! },
    { backupDir: join(link!, "backups") },
    { uri: link!, backupDir: join(place.uri, "backups") },
    { backupDir: join(around!, "db", "x") },
  ]) {
    expect(() => place.manager(options), JSON.stringify(options)).toThrow(/database/);
  }
  await place.manager({ uri: link!, backupDir: join(around!, "backups") }).backupNow();
  expect(place.files()).toHaveLength(1);
});

test("a file with a time that no clock tells is no backup, and in nobody's way", async () => {
  await using place = new Place();
  const table = await (await place.db()).createTable("a", rowsOf([1]));
  mkdirSync(place.backupDir);
  for (const time of ["99999999999_000000", "9007199254_740991"])
    writeFileSync(join(place.backupDir, `lancedb_backup_${time}.json`), "x");
  const manager = place.manager({ incremental: true });
  expect(await manager.backupNow()).toMatch(/lancedb_backup_1/);
  await table.add(rowsOf([2]));
  expect(await manager.backupNow()).toMatch(/lancedb_delta_1/);
  const summary = await restoreLatest(place.backupDir, place.fresh());
  expect(summary.tables).toEqual({ a: 2 });
});

test("a symbolic link leads to where it is restored; one that leads nowhere is refused", async () => {
  await using place = new Place();
  await (await place.db()).createTable("a", rowsOf([1]));
  const file = await place.manager().backupNow();
  const [empty, link, dangling] = [place.fresh(), place.fresh(), place.fresh()];
  mkdirSync(empty);
  symlinkSync(empty, link);
  symlinkSync(join(place.root, "nowhere"), dangling);
  const before = readdirSync(place.root);
  const refusal = { code: "VALIDATION", message: /symbolic link/ };
  await expect(restoreLatest(place.backupDir, dangling)).rejects.toMatchObject(refusal);
  await expect(loadBackup(file, dangling)).rejects.toMatchObject(refusal);
  await restoreLatest(place.backupDir, link);
  expect(readdirSync(place.root)).toEqual(before);
  expect(await contentOf(empty)).toEqual(await contentOf(place.uri));
});
