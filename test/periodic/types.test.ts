import { connect, type Table } from "@lancedb/lancedb";
import type { Table as ArrowTable, DataType } from "apache-arrow";
import { expect, test } from "vitest";
import { arrow } from "../../src/arrow/arrow.ts";
import { rowDigests } from "../../src/arrow/row-digests.ts";
import { scan } from "../../src/lance/row-delta/scan-rows.ts";
import { restoreLatest } from "../../src/periodic/replay/restore-latest.ts";
import { Place } from "./harness.ts";

const A = arrow;
const long = (value: number) => BigInt(value);

/** Columns of every kind: type, and how a value is made of a number. */
const COLUMNS: [string, DataType, (n: number) => unknown, boolean?][] = [
  ["id", new A.Int64(), long, false],
  ["text", new A.Utf8(), (n) => (n % 3 === 0 ? null : `it's\n"${n}" ü 😀`)],
  ["large", new A.LargeUtf8(), (n) => `l${n}`],
  ["flag", new A.Bool(), (n) => (n % 4 === 0 ? null : n % 2 === 0)],
  ["half", new A.Float16(), (n) => n / 2],
  ["float", new A.Float32(), (n) => (n % 5 === 0 ? Number.NaN : n / 3)],
  ["double", new A.Float64(), (n) => (n % 2 === 0 ? Number.NEGATIVE_INFINITY : -0)],
  ["unsigned", new A.Uint64(), (n) => 2n ** 64n - 1n - long(n)],
  ["bytes", new A.Binary(), (n) => Uint8Array.of(n, 255 - n)],
  ["fixed", new A.FixedSizeBinary(2), (n) => Uint8Array.of(n, 0)],
  ["day", new A.DateDay(), (n) => new Date(n * 86_400_000)],
  ["word", new A.Dictionary(new A.Utf8(), new A.Int32()), (n) => `w${n % 3}`],
  [
    "list",
    new A.List(new A.Field("item", new A.Int32(), true)),
    (n) => (n % 3 === 0 ? null : [n, null, n + 1]),
  ],
  [
    "vector",
    new A.FixedSizeList(3, new A.Field("item", new A.Float32(), true)),
    (n) => (n % 4 === 0 ? null : [n, 0, -n]),
  ],
  [
    "struct",
    new A.Struct([new A.Field("a", new A.Int32(), true), new A.Field("b", new A.Utf8(), true)]),
    (n) => ({ a: n, b: n % 2 === 0 ? null : `b${n}` }),
  ],
];

function rows(ids: readonly number[], shift = 0): ArrowTable {
  const fields = COLUMNS.map(
    ([name, type, , nullable = true]) => new A.Field(name, type, nullable, new Map([["note", `of ${name}`]])),
  );
  const data = COLUMNS.map(([name, type, make]) => {
    const values = ids.map((id) => make(name === "id" ? id : id + shift));
    return A.vectorFromArray([...values, make(1)] as never[], type).slice(0, ids.length);
  });
  const schema = new A.Schema(fields, new Map([["owner", "me"]]));
  const children = data.map((vector) => vector.data[0]!);
  const struct = new A.Data(new A.Struct(fields), 0, ids.length, 0, [] as never, children);
  return new A.Table(schema, [new A.RecordBatch(schema, struct as never)]);
}

/** The digests of all rows, sorted: exact to the bit, for every type. */
async function digests(table: Table): Promise<string[]> {
  const all: string[] = [];
  const columns = COLUMNS.map(([name]) => name);
  for await (const batch of scan(table)) {
    const digest = rowDigests(batch, columns);
    for (let row = 0; row < batch.numRows; row++) all.push(Buffer.from(digest(row)).toString("hex"));
  }
  return all.sort();
}

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => from + at);

for (const fileFormat of ["json", "arrow"] as const) {
  for (const stable of ["false", "true"]) {
    test(`values of every type survive full and deltas to the bit (${fileFormat}, stable row ids ${stable})`, async () => {
      await using place = new Place();
      const storageOptions = { new_table_enable_stable_row_ids: stable };
      const table = await (await place.db()).createTable("t", rows(numbers(0, 40)), { storageOptions });
      const manager = place.manager({ fileFormat, incremental: true });
      await manager.backupFull();
      await table.delete("id % 7 = 3");
      await table
        .mergeInsert("id")
        .whenMatchedUpdateAll()
        .whenNotMatchedInsertAll()
        .execute(rows(numbers(10, 20), 50));
      await table.add(rows(numbers(40, 60)));
      await manager.backupDelta();
      await table.optimize();
      await table.delete("id > 55");
      const file = (await manager.backupDelta()) as string;
      expect(file).toMatch(/delta/);
      expect(place.warnings).toEqual([]);
      const target = place.fresh();
      await restoreLatest(place.backupDir, target);
      const db = await connect(target);
      const restored = await db.openTable("t");
      expect(await digests(restored)).toEqual(await digests(table));
      const [was, is] = [await table.schema(), await restored.schema()];
      expect([...is.metadata]).toEqual([...was.metadata]);
      expect(
        is.fields.map((field) => [field.name, String(field.type), field.nullable, [...field.metadata]]),
      ).toEqual(
        was.fields.map((field) => [field.name, String(field.type), field.nullable, [...field.metadata]]),
      );
      db.close();
    });
  }
}
