import { readFileSync } from "node:fs";
import { connect } from "@lancedb/lancedb";
import type { DataType } from "apache-arrow";
import { expect, test } from "vitest";
import { arrow } from "../../src/arrow/arrow.ts";
import { applyDelta, loadBackup } from "../../src/periodic/replay/replay-file.ts";
import { restoreLatest } from "../../src/periodic/replay/restore-latest.ts";
import { contentOf, Place, rowsOf, tableOf } from "./harness.ts";

async function assertReplays(place: Place): Promise<void> {
  const target = place.fresh();
  await restoreLatest(place.backupDir, target, { logger: place.logger });
  expect(await contentOf(target)).toEqual(await contentOf(place.uri));
}

function formOf(file: string | null, table: string): string {
  return JSON.parse(readFileSync(file ?? "", "utf8")).tables[table].form;
}

test("a repeated key among the changes has the table written whole, with a warning that names table and key", async () => {
  await using place = new Place();
  const table = await (await place.db()).createTable("a", rowsOf([1, 2, 3]));
  const manager = place.manager({ incremental: true });
  await manager.backupFull();
  await table.add(rowsOf([2], "again"));
  const file = await manager.backupDelta();
  expect(formOf(file, "a")).toBe("replaced");
  expect(place.warnings).toHaveLength(1);
  expect(place.warnings[0]?.meta).toMatchObject({ table: "a", key: ["id"] });
  expect(String(place.warnings[0]?.meta?.["reason"])).toContain("id = 2");
  await assertReplays(place);
});

test("one of two rows with the same key is deleted: the other one survives the replay", async () => {
  await using place = new Place();
  const table = await (await place.db()).createTable("a", rowsOf([1, 2, 3]));
  await table.add(rowsOf([2], "again"));
  const manager = place.manager({ incremental: true });
  await manager.backupFull();
  await table.delete("name = 'n2'");
  expect(formOf(await manager.backupDelta(), "a")).toBe("replaced");
  await assertReplays(place);
});

test("two rows with the same key become one", async () => {
  await using place = new Place();
  const table = await (await place.db()).createTable("a", rowsOf([1, 2, 2, 3]));
  const manager = place.manager({ incremental: true });
  await manager.backupFull();
  await table.delete("id = 2");
  await table.add(rowsOf([2], "only"));
  expect(formOf(await manager.backupDelta(), "a")).toBe("replaced");
  await assertReplays(place);
});

test("two rows that are equal in everything become one", async () => {
  await using place = new Place();
  const table = await (await place.db()).createTable("a", rowsOf([1, 2, 2, 3]));
  const manager = place.manager({ incremental: true });
  await manager.backupFull();
  await table.delete("id = 2");
  await table.add(rowsOf([2]));
  expect(formOf(await manager.backupDelta(), "a")).toBe("replaced");
  await assertReplays(place);
});

test("null keys do no harm: untouched they stay, touched the table is written whole", async () => {
  await using place = new Place();
  const table = await (await place.db()).createTable("a", rowsOf([1, 2, null, null]));
  const manager = place.manager({ incremental: true });
  await manager.backupFull();
  await table.add(rowsOf([5]));
  expect(formOf(await manager.backupDelta(), "a")).toBe("changes");
  await table.delete("id IS NULL");
  expect(formOf(await manager.backupDelta(), "a")).toBe("replaced");
  expect(place.warnings).toHaveLength(1);
  await assertReplays(place);
});

test("keys of two and of three columns", async () => {
  await using place = new Place();
  const int = new arrow.Int32();
  const text = new arrow.Utf8();
  const rows = (from: number, count: number, value: number) => {
    const at = Array.from({ length: count }, (_, index) => from + index);
    return tableOf({
      a: [int, at.map((n) => n % 5)],
      b: [text, at.map((n) => `it's ${n % 7}`)],
      c: [int, at],
      value: [int, at.map(() => value)],
    });
  };
  const table = await (await place.db()).createTable("t", rows(0, 35, 1));
  const two = place.manager({ incremental: true, primaryKey: { t: ["a", "b"] } });
  await two.backupFull();
  await table.delete("c IN (3, 8, 9, 30)");
  await table.update({ where: "c IN (4, 10)", values: { value: "7" } });
  expect(formOf(await two.backupDelta(), "t")).toBe("changes");
  await assertReplays(place);
  const three = place.manager({ incremental: true, primaryKey: { t: ["a", "b", "c"] } });
  await table.add(rows(35, 2000, 2));
  await table.delete("c % 3 = 0");
  expect(formOf(await three.backupDelta(), "t")).toBe("changes");
  await table.delete("c > 100 AND c % 2 = 0");
  expect(formOf(await three.backupDelta(), "t")).toBe("changes");
  await assertReplays(place);
  expect(place.warnings).toEqual([]);
});

test.each([
  ["with upserts", 1],
  ["alone", 0],
])("thousands of deletes by keys of two columns are one commit, %s", async (_name, upserts) => {
  await using place = new Place();
  const int = new arrow.Int32();
  const rows = (ids: readonly number[]) => tableOf({ a: [int, ids], b: [int, ids.map((id) => id % 50)] });
  const ids = Array.from({ length: 3500 }, (_, id) => id);
  const table = await (await place.db()).createTable("t", rows(ids));
  const manager = place.manager({ incremental: true, primaryKey: { t: ["a", "b"] } });
  const copy = place.fresh();
  const loaded = await loadBackup(await manager.backupFull(), copy);
  await table.delete("a < 3000");
  if (upserts > 0) await table.add(rows([9999]));
  const delta = (await manager.backupDelta()) ?? "";
  const versionOf = async () => (await loaded.openTable("t")).version();
  const before = await versionOf();
  expect(await applyDelta(copy, delta)).toBe(3000 + upserts);
  expect(await versionOf()).toBe(before + 1);
  expect(await contentOf(copy)).toEqual(await contentOf(place.uri));
  loaded.close();
});

const types = arrow;
const longs = (values: readonly number[]) => BigInt64Array.from(values, BigInt);
const KEY_TYPES: [string, DataType, ArrayBufferView][] = [
  ["int8", new types.Int8(), Int8Array.of(-1, 0, 1, 2)],
  ["uint64", new types.Uint64(), BigUint64Array.of(0n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n)],
  ["int64", new types.Int64(), BigInt64Array.of(-1n, -(2n ** 63n), 2n ** 53n + 1n, 2n ** 63n - 1n)],
  ["float16", new types.Float16(), Uint16Array.of(0x3c00, 0x4000, 0x7c00, 0xfc00)],
  ["float32", new types.Float32(), Float32Array.of(0, 0.1, Number.POSITIVE_INFINITY, -1e-40)],
  ["float64", new types.Float64(), Float64Array.of(0, 0.1, Number.NEGATIVE_INFINITY, 5e-324)],
  ["date", new types.DateDay(), Int32Array.of(-1, 0, 1, 20_000)],
  ["date64", new types.DateMillisecond(), longs([0, 86_400_000, -86_400_000, 864_000_000])],
  ["timestamp", new types.TimestampMicrosecond("Europe/Berlin"), longs([0, 1, -1, 1_700_000_000_000_001])],
  ["seconds", new types.TimestampSecond(), longs([0, 1, -1, 1_700_000_000])],
  ["time", new types.TimeMicrosecond(), longs([0, 1, 2, 86_399_999_999])],
  ["duration", new types.DurationNanosecond(), longs([0, 1, -1, 5])],
  ["fixed binary", new types.FixedSizeBinary(2), Uint8Array.of(0, 0, 0, 1, 1, 0, 255, 255)],
  ["decimal", new types.Decimal(2, 20, 128), Uint32Array.of(1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0)],
];

test.each(KEY_TYPES)("keys of the type %s", async (_name, type, values) => {
  await using place = new Place();
  const rows = (marks: readonly number[]) => {
    const key = new arrow.Data(type, 0, 4, 0, [undefined, values] as never);
    const mark = arrow.vectorFromArray(marks, new arrow.Int32()).data[0]!;
    const schema = new arrow.Schema([
      new arrow.Field("k", type, true),
      new arrow.Field("mark", mark.type, true),
    ]);
    const struct = new arrow.Data(new arrow.Struct(schema.fields), 0, 4, 0, [] as never, [key, mark]);
    return new arrow.Table(schema, [new arrow.RecordBatch(schema, struct as never)]);
  };
  const table = await (await place.db()).createTable("t", rows([0, 1, 2, 3]));
  const manager = place.manager({ incremental: true, primaryKey: "k" });
  await manager.backupFull();
  await table.delete("mark = 1");
  await table.update({ where: "mark = 2", values: { mark: "20" } });
  expect(formOf(await manager.backupDelta(), "t")).toBe("changes");
  const target = place.fresh();
  const summary = await restoreLatest(place.backupDir, target);
  expect(summary.tables).toEqual({ t: 3 });
  expect(marksOf(await contentOf(target))).toEqual([0, 3, 20]);
  expect(place.warnings).toEqual([]);
});

const bytesOf = (...values: number[]) => Uint8Array.from(values);
const VARIABLE_KEYS: [string, DataType, readonly [unknown, unknown, unknown, unknown]][] = [
  ["utf8", new types.Utf8(), ["", "it's", "\\ \n;--", "ü😀"]],
  ["large utf8", new types.LargeUtf8(), ["'", "''", "`", "%"]],
  ["binary", new types.Binary(), [bytesOf(), bytesOf(0), bytesOf(255, 0), bytesOf(39)]],
  ["large binary", new types.LargeBinary(), [bytesOf(1), bytesOf(0), bytesOf(0, 0), bytesOf(39, 39)]],
  ["int16", new types.Int16(), [-32768, 32767, 0, -1]],
  ["int32", new types.Int32(), [-(2 ** 31), 2 ** 31 - 1, 0, 1]],
  ["uint8", new types.Uint8(), [0, 255, 128, 1]],
  ["uint16", new types.Uint16(), [0, 65535, 32768, 1]],
  ["uint32", new types.Uint32(), [0, 2 ** 32 - 1, 2 ** 31, 1]],
];

test.each(VARIABLE_KEYS)("keys of the type %s, in a list", async (_name, type, keys) => {
  await using place = new Place();
  const marks = new arrow.Int32();
  const table = await (await place.db()).createTable(
    "t",
    tableOf({ k: [type, keys], mark: [marks, [0, 1, 2, 3]] }),
  );
  const manager = place.manager({ incremental: true, primaryKey: "k" });
  await manager.backupFull();
  await table.delete("mark = 1");
  await table.update({ where: "mark = 2", values: { mark: "20" } });
  expect(formOf(await manager.backupDelta(), "t")).toBe("changes");
  await assertReplays(place);
  expect(place.warnings).toEqual([]);
});

test("keys that are booleans", async () => {
  await using place = new Place();
  const rows = tableOf({ k: [new arrow.Bool(), [true, false]], mark: [new arrow.Int32(), [0, 1]] });
  const table = await (await place.db()).createTable("t", rows);
  const manager = place.manager({ incremental: true, primaryKey: "k" });
  await manager.backupFull();
  await table.delete("k");
  await table.update({ where: "NOT k", values: { mark: "20" } });
  expect(formOf(await manager.backupDelta(), "t")).toBe("changes");
  await assertReplays(place);
});

function marksOf(content: Record<string, unknown>): number[] {
  const { rows } = content["t"] as { rows: string[] };
  return rows.map((row) => Number(/"mark":(\d+)/.exec(row)?.[1])).sort((a, b) => a - b);
}

test("a key column that is missing, or is a vector, is refused before a file is written", async () => {
  await using place = new Place();
  const vector = new arrow.FixedSizeList(2, new arrow.Field("item", new arrow.Float32(), true));
  const db = await place.db();
  await db.createTable("a", tableOf({ id: [vector, [[1, 2]]], name: [new arrow.Utf8(), ["n"]] }));
  const bad = place.manager({ incremental: true });
  await expect(bad.backupNow()).rejects.toMatchObject({
    code: "VALIDATION",
    message: /column "id" of the table a/,
  });
  const missing = place.manager({ incremental: true, primaryKey: "key" });
  await expect(missing.backupNow()).rejects.toMatchObject({ code: "VALIDATION", message: /no column "key"/ });
  expect(place.files()).toEqual([]);
});

test("fulls alone need no key", async () => {
  await using place = new Place();
  const db = await place.db();
  await db.createTable("a", tableOf({ name: [new arrow.Utf8(), ["n", "n"]] }));
  await place.manager().backupNow();
  await assertReplays(place);
});

const ZEROS: [string, DataType, number][] = [
  ["float64", new types.Float64(), 0],
  ["float32, among thousands of changes", new types.Float32(), 3000],
];

test.each(ZEROS)("the keys 0 and -0 are rows of their own: %s", async (_name, type, more) => {
  for (const [work, form] of [
    ["delete", "replaced"],
    ["update", "replaced"],
    ["delete -0", "replaced"],
    ["delete both", "replaced"],
    ["others", "changes"],
  ] as const) {
    await using place = new Place();
    const others = Array.from({ length: more + 1 }, (_, index) => index + 1);
    const mark = ["zero", "minus", ...others.map(() => "other")];
    const rows = tableOf({ id: [type, [0, -0, ...others]], mark: [new arrow.Utf8(), mark] });
    const table = await (await place.db()).createTable("t", rows);
    const manager = place.manager({ incremental: true });
    await manager.backupFull();
    if (more > 0) await table.delete("mark = 'other'");
    if (work === "delete") await table.delete("mark = 'zero'");
    if (work === "update") await table.update({ where: "mark = 'zero'", values: { mark: "ZERO" } });
    if (work === "delete -0") await table.delete("mark = 'minus'");
    if (work === "delete both") await table.delete("mark IN ('zero', 'minus')");
    if (work === "others") await table.delete("mark = 'other'");
    expect(formOf(await manager.backupDelta(), "t"), work).toBe(form);
    const target = place.fresh();
    await restoreLatest(place.backupDir, target, { logger: place.logger });
    expect(await exactIds(target), work).toEqual(await exactIds(place.uri));
    const told = place.warnings.filter(({ message }) => !message.includes("far fewer rows"));
    expect(told.length, work).toBe(form === "replaced" ? 1 : 0);
  }
});

test("the key 0 alone makes no table be written whole, nor does it in a part of a key", async () => {
  await using place = new Place();
  const float = new arrow.Float64();
  const rows = tableOf({ id: [float, [0, 0, 1, -0]], part: [float, [1, 2, 3, 4]] });
  const db = await place.db();
  const single = await db.createTable("t", tableOf({ id: [float, [0, 1, 2]] }));
  const table = await db.createTable("two", rows);
  const manager = place.manager({ incremental: true, primaryKey: { t: "id", two: ["id", "part"] } });
  await manager.backupFull();
  await single.delete("id = 0");
  await table.delete("part = 1");
  const file = await manager.backupDelta();
  expect([formOf(file, "t"), formOf(file, "two")]).toEqual(["changes", "changes"]);
  await assertReplays(place);
  await table.add(tableOf({ id: [float, [0]], part: [float, [4]] }));
  expect(formOf(await manager.backupDelta(), "two")).toBe("replaced");
  await assertReplays(place);
});

/** The keys of the table, with the sign of zero. */
async function exactIds(uri: string): Promise<string[]> {
  const db = await connect(uri);
  const ids = (await (await db.openTable("t")).query().toArray()).map((row) => {
    return `${Object.is(row.id, -0) ? "-0" : row.id} ${row.mark}`;
  });
  db.close();
  return ids.sort();
}
