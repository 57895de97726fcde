import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Connection, connect, Index } from "@lancedb/lancedb";
import type { Data, DataType } from "apache-arrow";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { arrow } from "../../src/arrow/arrow.ts";
import { whereIn } from "../../src/arrow/where-in.ts";
import { UnsupportedError, ValidationError } from "../../src/errors.ts";

const nightly = process.env["NIGHTLY"] === "1";
const { Precision, TimeUnit } = arrow;

let directory: string;
let db: Connection;
let tables = 0;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "predicates-"));
  db = await connect(directory);
});
afterAll(async () => {
  db.close();
  await rm(directory, { recursive: true, force: true });
});

/** A type, values of it, the column that holds them, and when two of them are the same key. */
interface Kind {
  readonly name: string;
  readonly type: DataType;
  readonly value: fc.Arbitrary<unknown>;
  column(values: readonly unknown[]): Data;
  same?(a: unknown, b: unknown): boolean;
  readonly indexed?: boolean;
}

function flat(
  name: string,
  type: DataType,
  value: fc.Arbitrary<unknown>,
  same?: Kind["same"],
  indexed = true,
): Kind {
  const column = (values: readonly unknown[]) => {
    const zero =
      typeof values[0] === "bigint" || (type.ArrayType.BYTES_PER_ELEMENT === 8 && name !== "Float64")
        ? 0n
        : 0;
    const data = new type.ArrayType(values.length);
    const bits = new Uint8Array((values.length + 7) >> 3);
    values.forEach((item, index) => {
      data[index] = item ?? zero;
      if (item !== null) bits[index >> 3]! |= 1 << (index & 7);
    });
    return new arrow.Data(type, 0, values.length, -1, [undefined, data, bits] as never);
  };
  return { name, type, value, column, indexed, ...(same && { same }) };
}

function built(name: string, type: DataType, value: fc.Arbitrary<unknown>, indexed = false): Kind {
  return {
    name,
    type,
    value,
    indexed,
    column: (values) => arrow.vectorFromArray([...values], type).data[0] as Data,
    same: (a, b) => (a instanceof Uint8Array ? Buffer.compare(a, b as Uint8Array) === 0 : a === b),
  };
}

const int = (bits: number) =>
  fc.oneof(
    fc.integer({ min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 }),
    fc.constantFrom(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, 0, -1),
  );
const uint = (bits: number) =>
  fc.oneof(fc.integer({ min: 0, max: 2 ** bits - 1 }), fc.constantFrom(0, 2 ** bits - 1));
const int64 = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.constantFrom(-(2n ** 63n), 2n ** 63n - 1n, 2n ** 53n + 1n, -(2n ** 53n) - 1n, 0n, 1n),
);
const uint64 = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.constantFrom(2n ** 64n - 1n, 2n ** 63n, 0n),
);
const double = fc.oneof(
  fc.double(),
  fc.constantFrom(0, -0, Number.NaN, Infinity, -Infinity, 5e-324, 0.1, 1e20, 1e21, 2 ** 53),
);
const single = fc.oneof(fc.float(), fc.constantFrom(0, -0, Number.NaN, Infinity, Math.fround(0.1), 16777216));
const half = fc.oneof(fc.integer({ min: 0, max: 0xffff }), fc.constantFrom(0, 0x8000, 0x7c00, 0x7e00, 1));
const halfNumber = (bits: unknown) => arrow.util.uint16ToFloat64(bits as number);
const sameNumber = (a: unknown, b: unknown) => a === b || (Number.isNaN(a) && Number.isNaN(b));
const hostile = fc.constantFrom(
  "",
  "'",
  "''",
  "a'b",
  "\\",
  "\\'",
  "\\n",
  "--",
  "; drop table",
  "\0",
  "a\0b",
  "\n\r\t",
  "😀",
  "é",
  "\u0301",
  "`",
  '"',
  "%",
  "_",
  "\u2028",
  "\uFEFF",
  "$1",
  "?",
  "/* */",
  "NULL",
  "x".repeat(5000),
);
const text = fc.oneof(fc.string({ unit: "binary", maxLength: 12 }), hostile);
const bytes = fc.uint8Array({ maxLength: 8 });
const day = 86_400_000n;

const kinds: Kind[] = [
  flat("Int8", new arrow.Int8(), int(8)),
  flat("Int16", new arrow.Int16(), int(16)),
  flat("Int32", new arrow.Int32(), int(32)),
  flat("Int64", new arrow.Int64(), int64),
  flat("Uint8", new arrow.Uint8(), uint(8)),
  flat("Uint16", new arrow.Uint16(), uint(16)),
  flat("Uint32", new arrow.Uint32(), uint(32)),
  flat("Uint64", new arrow.Uint64(), uint64),
  flat("Float64", new arrow.Float64(), double, sameNumber),
  flat("Float32", new arrow.Float32(), single, sameNumber),
  flat(
    "Float16",
    new arrow.Float(Precision.HALF),
    half,
    (a, b) => sameNumber(halfNumber(a), halfNumber(b)),
    false,
  ),
  bools(),
  built("Utf8", new arrow.Utf8(), text, true),
  built("LargeUtf8", new arrow.LargeUtf8(), text),
  built("Dictionary", new arrow.Dictionary(new arrow.Utf8(), new arrow.Int32()), text),
  built("Binary", new arrow.Binary(), bytes),
  built("LargeBinary", new arrow.LargeBinary(), bytes),
  built("FixedSizeBinary", new arrow.FixedSizeBinary(4), fc.uint8Array({ minLength: 4, maxLength: 4 })),
  flat("Date32", new arrow.DateDay(), fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })),
  flat(
    "Date64",
    new arrow.DateMillisecond(),
    fc.bigInt({ min: -100_000n, max: 100_000n }).map((days) => days * day),
  ),
  flat("Time32 s", new arrow.TimeSecond(), fc.integer({ min: 0, max: 86_399 })),
  flat("Time32 ms", new arrow.TimeMillisecond(), fc.integer({ min: 0, max: 86_399_999 })),
  flat("Time64 us", new arrow.TimeMicrosecond(), fc.bigInt({ min: 0n, max: 86_399_999_999n })),
  flat("Time64 ns", new arrow.TimeNanosecond(), fc.bigInt({ min: 0n, max: 86_399_999_999_999n })),
  ...[TimeUnit.SECOND, TimeUnit.MILLISECOND, TimeUnit.MICROSECOND, TimeUnit.NANOSECOND].flatMap((unit) => [
    ...[undefined, "UTC", "Europe/Berlin"].map((zone) =>
      flat(`Timestamp ${TimeUnit[unit]} ${zone ?? "without zone"}`, new arrow.Timestamp(unit, zone), int64),
    ),
    flat(`Duration ${TimeUnit[unit]}`, new arrow.Duration(unit), int64, undefined, false),
  ]),
  decimals(10, 2),
  decimals(38, 0),
];

function bools(): Kind {
  const type = new arrow.Bool();
  const column = (values: readonly unknown[]) => {
    const bits = [
      arrow.util.packBools(values.map((value) => value === true)),
      arrow.util.packBools(values.map((value) => value !== null)),
    ];
    return new arrow.Data(type, 0, values.length, -1, [undefined, ...bits] as never);
  };
  return { name: "Bool", type, value: fc.boolean(), column };
}

function decimals(precision: number, scale: number): Kind {
  const limit = 10n ** BigInt(precision) - 1n;
  return {
    name: `Decimal(${precision}, ${scale})`,
    type: new arrow.Decimal(scale, precision, 128),
    value: fc.oneof(fc.bigInt({ min: -limit, max: limit }), fc.constantFrom(0n, 1n, -1n, limit, -limit)),
    column(values) {
      const words = new BigUint64Array(values.length * 2);
      values.forEach((value, index) => {
        const raw = BigInt.asUintN(128, (value as bigint | null) ?? 0n);
        words.set([raw & (2n ** 64n - 1n), raw >> 64n], index * 2);
      });
      const bits = arrow.util.packBools(values.map((value) => value !== null));
      return new arrow.Data(this.type, 0, values.length, -1, [
        undefined,
        new Uint32Array(words.buffer),
        bits,
      ] as never);
    },
  };
}

async function tableOf(column: Data, index: boolean) {
  const numbers = new arrow.Data(new arrow.Int32(), 0, column.length, 0, [
    undefined,
    Int32Array.from({ length: column.length }, (_, row) => row),
    new Uint8Array(0),
  ] as never);
  const schema = new arrow.Schema([
    new arrow.Field("The key's", column.type, true),
    new arrow.Field("row", numbers.type, true),
  ]);
  const data = new arrow.Data(new arrow.Struct(schema.fields), 0, column.length, 0, [] as never, [
    column,
    numbers,
  ]);
  const table = await db.createTable(
    `t${tables++}`,
    new arrow.Table(schema, [new arrow.RecordBatch(schema, data)]),
  );
  if (index) await table.createIndex("The key's", { config: Index.btree() });
  return table;
}

async function selected(table: Awaited<ReturnType<typeof tableOf>>, filter: string): Promise<number[]> {
  const rows = await table.query().where(filter).select(["row"]).toArray();
  return rows.map((row) => Number(row.row)).sort((a, b) => a - b);
}

describe("whereIn selects exactly the rows whose key is in the list", () => {
  for (const kind of kinds) {
    test(kind.name, async () => {
      const same = kind.same ?? ((a, b) => a === b);
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.option(kind.value, { nil: null, freq: 8 }), { minLength: 1, maxLength: 30 }),
          fc.array(kind.value, { minLength: 0, maxLength: 4 }),
          fc.array(fc.nat(), { maxLength: 8 }),
          fc.boolean(),
          async (values, absent, picks, index) => {
            // apache-arrow cannot write booleans that are all null.
            fc.pre(kind.name !== "Bool" || values.some((value) => value !== null));
            const present = picks
              .map((pick) => values[pick % values.length])
              .filter((value) => value !== null);
            const keys = [...absent, ...present];
            const table = await tableOf(kind.column(values), index && kind.indexed === true);
            const expected = values.flatMap((value, row) =>
              value !== null && keys.some((key) => same(value, key)) ? [row] : [],
            );
            const filter = whereIn("The key's", kind.column(keys.length > 0 ? keys : values), 0, keys.length);
            expect(await selected(table, filter)).toEqual(expected);
            expect(await table.countRows(filter)).toBe(expected.length);
            await db.dropTable(table.name);
          },
        ),
        { numRuns: nightly ? 500 : 15 },
      );
    });
  }
});

describe("whereIn with thousands of keys", () => {
  for (const kind of kinds.filter(({ name }) => /Timestamp|Date|Time|Duration|Int64|Utf8/.test(name))) {
    test(kind.name, async () => {
      const values = fc.sample(kind.value, { numRuns: 2_500, seed: 20261121 });
      const table = await tableOf(kind.column(values), kind.indexed === true);
      const keys = new Set(values.slice(0, 1_200));
      const expected = values.flatMap((value, row) => (keys.has(value) ? [row] : []));
      expect(await selected(table, whereIn("The key's", kind.column([...keys])))).toEqual(expected);
    });
  }
});

test("a part of the keys selects that part's rows", async () => {
  const column = kinds[2]!.column([10, 20, 30, 40]);
  const table = await tableOf(column, false);
  expect(await selected(table, whereIn("The key's", column, 1, 3))).toEqual([1, 2]);
});

test("a slice of a column gives the slice's keys", async () => {
  for (const kind of kinds) {
    const values = [...new Set(fc.sample(kind.value, { numRuns: 40, seed: 7 }))].slice(0, 20);
    const table = await tableOf(kind.column(values), false);
    const [start, count] = [Math.ceil(values.length / 4), Math.ceil(values.length / 3)];
    const some = kind.column(values.slice(start, start + count));
    const whole = await selected(table, whereIn("The key's", some));
    expect(
      await selected(table, whereIn("The key's", kind.column(values).slice(start, count))),
      kind.name,
    ).toEqual(whole);
  }
});

test("no keys select no rows", async () => {
  const table = await tableOf(kinds[0]!.column([1, 2, null]), false);
  expect(await selected(table, whereIn("The key's", kinds[0]!.column([])))).toEqual([]);
});

test("a filter deletes what it selects", async () => {
  const kind = kinds.find(({ name }) => name === "Utf8")!;
  const values = ["a'b", "a", "'; --", "\0", "b"];
  const table = await tableOf(kind.column(values), false);
  const result = await table.delete(whereIn("The key's", kind.column(["a'b", "'; --", "\0", "zz"])));
  expect(result.numDeletedRows).toBe(3);
  expect(await selected(table, "true")).toEqual([1, 4]);
});

test("a column name with a backtick is refused, since LanceDB cannot quote it", () => {
  expect(() => whereIn("a`b", kinds[0]!.column([1]))).toThrow(ValidationError);
});

test("a type that LanceDB cannot compare is refused by name", () => {
  const list = arrow.vectorFromArray([[1]], new arrow.List(new arrow.Field("item", new arrow.Int32(), true)));
  expect(() => whereIn("a", list.data[0] as Data)).toThrow(UnsupportedError);
});
