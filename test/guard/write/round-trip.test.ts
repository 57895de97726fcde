import type { DataType } from "apache-arrow";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { insertRecordsWithBackup } from "../../../src/guard/write/insert-records.ts";
import { arrow, newPlace, print, rowsOf } from "./harness.ts";

const nightly = process.env["NIGHTLY"] === "1";
const { TimeUnit } = arrow;

/** A type and values that are given, and come back, in the same form. */
interface Kind {
  readonly name: string;
  readonly type: DataType;
  readonly value: fc.Arbitrary<unknown>;
}

const int64 = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.constantFrom(-(2n ** 63n), 2n ** 63n - 1n),
);
const int = (bits: number) => fc.integer({ min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 });
const uint = (bits: number) => fc.integer({ min: 0, max: 2 ** bits - 1 });
const item = (type: DataType, nullable = true) => new arrow.Field("item", type, nullable);
const finite = fc.float({ noNaN: true, noDefaultInfinity: true });
const text = fc.string({ unit: "binary", maxLength: 10 });
const bytes = fc.uint8Array({ maxLength: 10 });
const half = fc.integer({ min: 0, max: 0xffff }).map((bits) => arrow.util.uint16ToFloat64(bits));
const words = fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n }).map((value) => {
  const raw = BigInt.asUintN(128, value);
  return new Uint32Array(BigUint64Array.of(raw & (2n ** 64n - 1n), raw >> 64n).buffer);
});

const kinds: Kind[] = [
  { name: "Bool", type: new arrow.Bool(), value: fc.boolean() },
  { name: "Int8", type: new arrow.Int8(), value: int(8) },
  { name: "Int32", type: new arrow.Int32(), value: int(32) },
  { name: "Int64", type: new arrow.Int64(), value: int64 },
  { name: "Uint16", type: new arrow.Uint16(), value: uint(16) },
  { name: "Uint64", type: new arrow.Uint64(), value: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) },
  { name: "Float16", type: new arrow.Float16(), value: half },
  { name: "Float32", type: new arrow.Float32(), value: fc.float() },
  { name: "Float64", type: new arrow.Float64(), value: fc.double() },
  { name: "Utf8", type: new arrow.Utf8(), value: text },
  { name: "LargeUtf8", type: new arrow.LargeUtf8(), value: text },
  { name: "Binary", type: new arrow.Binary(), value: bytes },
  { name: "LargeBinary", type: new arrow.LargeBinary(), value: bytes },
  {
    name: "FixedSizeBinary",
    type: new arrow.FixedSizeBinary(3),
    value: fc.uint8Array({ minLength: 3, maxLength: 3 }),
  },
  { name: "Dictionary", type: new arrow.Dictionary(new arrow.Utf8(), new arrow.Int32()), value: text },
  { name: "Decimal", type: new arrow.Decimal(3, 30, 128), value: words },
  { name: "Date32", type: new arrow.DateDay(), value: fc.integer({ min: -99_999, max: 99_999 }).map(BigInt) },
  {
    name: "Date64",
    type: new arrow.DateMillisecond(),
    value: fc.integer({ min: -9_999, max: 9_999 }).map((days) => BigInt(days) * 86_400_000n),
  },
  { name: "Time32", type: new arrow.TimeMillisecond(), value: fc.integer({ min: 0, max: 86_399_999 }) },
  {
    name: "Time64",
    type: new arrow.TimeNanosecond(),
    value: fc.bigInt({ min: 0n, max: 86_399_999_999_999n }),
  },
  { name: "Timestamp us UTC", type: new arrow.Timestamp(TimeUnit.MICROSECOND, "UTC"), value: int64 },
  { name: "Timestamp ns", type: new arrow.Timestamp(TimeUnit.NANOSECOND), value: int64 },
  { name: "Duration", type: new arrow.Duration(TimeUnit.SECOND), value: int64 },
  {
    name: "vector",
    type: new arrow.FixedSizeList(3, item(new arrow.Float32())),
    value: fc.array(finite, { minLength: 3, maxLength: 3 }),
  },
  {
    name: "byte vector",
    type: new arrow.FixedSizeList(2, item(new arrow.Uint8())),
    value: fc.array(uint(8), { minLength: 2, maxLength: 2 }),
  },
  {
    name: "list",
    type: new arrow.List(item(new arrow.Int64())),
    value: fc.array(fc.option(int64), { maxLength: 4 }),
  },
  {
    name: "list of booleans",
    type: new arrow.List(item(new arrow.Bool())),
    value: fc.array(fc.option(fc.boolean()), { maxLength: 4 }),
  },
  {
    name: "multivector",
    type: new arrow.List(item(new arrow.FixedSizeList(2, item(new arrow.Float32())))),
    value: fc.array(fc.array(finite, { minLength: 2, maxLength: 2 }), { maxLength: 3 }),
  },
  {
    name: "struct",
    type: new arrow.Struct([
      new arrow.Field("a", new arrow.Utf8(), true),
      new arrow.Field("b", new arrow.Bool(), true),
      new arrow.Field("c", new arrow.List(item(new arrow.Int32())), true),
    ]),
    value: fc.record({
      a: fc.option(text),
      b: fc.option(fc.boolean()),
      c: fc.option(fc.array(int(32), { maxLength: 3 })),
    }),
  },
];

const fields = [
  new arrow.Field("id", new arrow.Int32(), false),
  ...kinds.map(({ name, type }) => new arrow.Field(name, type, true)),
];
const schema = new arrow.Schema(fields);

/** Rows in which any column may be null, also in all rows. */
const someRows = fc.array(
  fc.record(Object.fromEntries(kinds.map(({ name, value }) => [name, fc.option(value, { freq: 3 })]))),
  { minLength: 1, maxLength: 12 },
);
const nulls = fc.subarray(kinds.map(({ name }) => name));

describe("every value comes back exactly as it was given", () => {
  for (const how of ["append", "upsert", "rows of an Arrow table in slices", "overwrite"] as const) {
    test(how, async () => {
      const { db, manager } = await newPlace();
      await db.createEmptyTable("t", schema);
      await fc.assert(
        fc.asyncProperty(someRows, nulls, fc.nat(5), async (drawn, empty, cut) => {
          const rows = drawn.map((row, id) => ({
            id,
            ...row,
            ...Object.fromEntries(empty.map((name) => [name, null])),
          }));
          const table = await db.openTable("t");
          await table.delete("true");
          const options = { table: "t", manager, strategy: "lance-version" } as const;
          if (how === "upsert") {
            await insertRecordsWithBackup(
              rows.slice(0, cut).map(({ id }) => ({ id })),
              options,
            );
            await insertRecordsWithBackup(rows, { ...options, mergeOn: "id" });
          } else if (how === "overwrite") {
            await insertRecordsWithBackup(rows, { ...options, mode: "overwrite" });
          } else {
            await insertRecordsWithBackup(rows, options);
          }
          await table.checkoutLatest();
          if (how.includes("Arrow")) {
            const arrowTable = await table.query().toArrow();
            const slices = [arrowTable.slice(0, cut), arrowTable.slice(cut)];
            await insertRecordsWithBackup(slices, { ...options, mode: "overwrite" });
            await table.checkoutLatest();
          }
          const back = (await rowsOf(table)).sort((a, b) => Number(a["id"]) - Number(b["id"]));
          expect(back.map(print)).toEqual(rows.map(print));
        }),
        { numRuns: nightly ? 400 : 15 },
      );
    });
  }
});
