import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Connection, Table } from "@lancedb/lancedb";
import type { Table as ArrowTable, DataType } from "apache-arrow";
import { describe, expect, test } from "vitest";
import { arrow } from "../../src/arrow/arrow.ts";
import { BackupError } from "../../src/errors.ts";
import type { FileFormat } from "../../src/periodic/file/backup-file.ts";
import { createBackupFile } from "../../src/periodic/file/create-file.ts";
import { applyDelta } from "../../src/periodic/replay/replay-file.ts";
import { delta as head } from "./file/files.ts";
import { changed, forge } from "./forge.ts";
import { contentOf, Place, tableOf } from "./harness.ts";
import { randomNumbers } from "./random-work.ts";

const nightly = process.env["NIGHTLY"] === "1";
const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 31));

const COLUMNS: [string, DataType, (id: number | null) => unknown][] = [
  ["id", new arrow.Int32(), (id) => id],
  ["text", new arrow.Utf8(), (id) => (id === null ? null : `it is ${id}`)],
  ["flag", new arrow.Bool(), (id) => (id ?? 0) % 2 === 0],
  [
    "vector",
    new arrow.FixedSizeList(2, new arrow.Field("item", new arrow.Float32(), true)),
    (id) => [id ?? 0, 1],
  ],
  ["list", new arrow.List(new arrow.Field("item", new arrow.Int64(), true)), (id) => [BigInt(id ?? 0), null]],
];

function rows(ids: readonly (number | null)[], columns = COLUMNS): ArrowTable {
  return tableOf(
    Object.fromEntries(columns.map(([name, type, make]) => [name, [type, ids.map((id) => make(id))]])),
  );
}

/** A database with the tables `a` and `b`, and a delta that changes both. */
class Target extends Place {
  tables: Table[] = [];

  async make(): Promise<void> {
    const db: Connection = await this.db();
    for (const table of this.tables) table.close();
    this.tables = [];
    for (const name of ["a", "b"])
      this.tables.push(await db.createTable(name, rows([1, 2, 3]), { mode: "overwrite" }));
  }

  async versions(): Promise<number[]> {
    return Promise.all(this.tables.map((table) => table.checkoutLatest().then(() => table.version())));
  }

  async file(
    format: FileFormat,
    upserts: readonly (number | null)[],
    deletes: readonly (number | null)[],
  ): Promise<string> {
    const path = join(this.root, `forged-${Math.random()}`);
    const writer = await createBackupFile(path, format, head);
    for (const [table, inserted, deleted] of [
      ["a", [2, 4], [3]],
      ["b", upserts, deletes],
    ] as const) {
      const schema = rows([1]).schema;
      await writer.beginTable({ table, form: "changes", schema, key: ["id"], indices: [] });
      for (const batch of rows(inserted).batches) await writer.write("upserts", batch);
      if (deleted.length > 0)
        for (const batch of rows(deleted, COLUMNS.slice(0, 1)).batches) await writer.write("deletes", batch);
      await writer.endTable();
    }
    await writer.finish();
    return path;
  }
}

async function assertRefused(target: Target, path: string, message: RegExp): Promise<void> {
  const before = await target.versions();
  await expect(applyDelta(target.uri, path)).rejects.toMatchObject({
    code: "CORRUPT",
    message: expect.stringMatching(message),
  });
  await expect(applyDelta(target.uri, path)).rejects.toThrow(path);
  expect(await target.versions()).toEqual(before);
}

describe.each(["json", "arrow"] as const)("a %s delta with a right checksum", (format) => {
  test("and a row that is wrong, in the last of its tables, changes none of them", async () => {
    await using target = new Target();
    await target.make();
    const path = await target.file(format, [5, 6], [1]);
    const bytes = readFileSync(path);
    if (format === "json") bytes.write('"id":x', bytes.lastIndexOf('"id":6'));
    else bytes[bytes.lastIndexOf("it is 6")] = 0xff;
    forge(path, bytes);
    await assertRefused(target, path, /table "b", upserts/);
  });

  test.each([
    ["upserts", [5, 5], []],
    ["upserts", [5, null], []],
    ["deletes", [5], [1, 1]],
    ["deletes", [5], [null]],
    ["deletes", [5], [5]],
  ])(
    "and keys among its %s that tell no rows apart (%j, %j) changes nothing",
    async (kind, upserts, deletes) => {
      await using target = new Target();
      await target.make();
      const path = await target.file(format, upserts, deletes);
      await assertRefused(target, path, new RegExp(`table "b", ${kind}, row \\d: the key id = `));
    },
  );

  test("and a null where its schema allows none changes nothing", async () => {
    await using target = new Target();
    const db = await target.db();
    const strict = (table: ArrowTable) => {
      const fields = table.schema.fields.map(
        ({ name, type }) => new arrow.Field(name, type, name !== "text"),
      );
      const schema = new arrow.Schema(fields);
      const data = table.batches[0]!.data.clone(new arrow.Struct(fields));
      return new arrow.Table(schema, [new arrow.RecordBatch(schema, data as never)]);
    };
    const table = await db.createTable("a", strict(rows([1, 2, 3])));
    const upserts = strict(
      rows(
        [4, 5],
        COLUMNS.map(([name, type, make]) => [name, type, name === "text" ? () => null : make]),
      ),
    );
    const path = join(target.root, "forged");
    const writer = await createBackupFile(path, format, head);
    await writer.beginTable({
      table: "a",
      form: "changes",
      schema: upserts.schema,
      key: ["id"],
      indices: [],
    });
    for (const batch of upserts.batches) await writer.write("upserts", batch);
    await writer.endTable();
    await writer.finish();
    target.tables = [table];
    await assertRefused(target, path, /"text" has nulls/);
  });

  test(`and anything changed in it is refused and changes nothing, or is applied (seed ${seed})`, async () => {
    await using target = new Target();
    await target.make();
    const path = await target.file(format, [5, 6], [1]);
    const good = readFileSync(path);
    const before = await contentOf(target.uri);
    let versions = await target.versions();
    const random = randomNumbers(seed);
    let refused = 0;
    for (let run = 0; run < (nightly ? 5000 : 150); run++) {
      const { bytes, at } = changed(good, random);
      forge(path, bytes);
      const what = `seed ${seed}, run ${run}, byte ${at}`;
      try {
        await applyDelta(target.uri, path);
        await target.make();
        for (const name of await (await target.db()).tableNames())
          if (name !== "a" && name !== "b") await (await target.db()).dropTable(name);
        versions = await target.versions();
      } catch (error) {
        refused++;
        expect(error, what).toBeInstanceOf(BackupError);
        expect((error as BackupError).code, what).toMatch(/^(CORRUPT|VALIDATION)$/);
        expect((error as BackupError).message, what).toContain(path);
        expect(await target.versions(), what).toEqual(versions);
      }
    }
    expect(refused).toBeGreaterThan(10);
    expect(await contentOf(target.uri)).toEqual(before);
  });
});
