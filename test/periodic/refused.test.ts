import { blob, type Connection } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { arrow } from "../../src/lance/predicates/arrow.ts";
import { Place, rowsOf, tableOf } from "./harness.ts";

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
