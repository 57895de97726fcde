import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeColumn, valuesOf } from "../../src/arrow/codecs.ts";
import { joinColumns } from "../../src/arrow/join-columns.ts";
import { halfBits } from "../../src/arrow/number-text.ts";
import { arrow, print } from "../guard/write/harness.ts";

const { Field, TimeUnit } = arrow;
type Type = ConstructorParameters<typeof Field>[1];

const encoded = (type: Type, values: readonly unknown[]) =>
  encodeColumn(new Field("c", type, true), values, { column: "c", rowOf: (index) => index });

describe("values are taken in every form that means the same", () => {
  const day = 86_400_000;
  test.each<[string, Type, unknown, unknown]>([
    ["a bigint for a small integer", new arrow.Int8(), 7n, 7],
    ["a number for a 64-bit integer", new arrow.Int64(), -7, -7n],
    ["a bigint for a float", new arrow.Float64(), 7n, 7],
    ["a Date for seconds", new arrow.Timestamp(TimeUnit.SECOND), new Date(5000), 5n],
    [
      "a Date for nanoseconds, beyond what a number holds",
      new arrow.Timestamp(TimeUnit.NANOSECOND),
      new Date(1_700_000_000_001),
      1_700_000_000_001_000_000n,
    ],
    [
      "milliseconds for microseconds",
      new arrow.Timestamp(TimeUnit.MICROSECOND, "UTC"),
      1_700_000_000_000,
      1_700_000_000_000_000n,
    ],
    [
      "fractions of milliseconds, as LanceDB's rows give them",
      new arrow.Timestamp(TimeUnit.MICROSECOND),
      1_700_000_000_000.125,
      1_700_000_000_000_125n,
    ],
    ["a time before 1970", new arrow.Timestamp(TimeUnit.SECOND), new Date(-1000), -1n],
    ["a Date for a day", new arrow.DateDay(), new Date(-day), -1n],
    ["milliseconds for a day", new arrow.DateDay(), 20_000 * day, 20_000n],
    ["a Date for Date64", new arrow.DateMillisecond(), new Date(day), BigInt(day)],
    ["a number for a duration", new arrow.Duration(TimeUnit.SECOND), -5, -5n],
    ["a Buffer for binary", new arrow.Binary(), Buffer.from("a"), Uint8Array.of(97)],
    ["an ArrayBuffer for binary", new arrow.Binary(), Uint8Array.of(1, 2).buffer, Uint8Array.of(1, 2)],
    [
      "a Float64Array for a vector of floats",
      new arrow.FixedSizeList(2, new Field("item", new arrow.Float32(), true)),
      Float64Array.of(1, 0.5),
      [1, 0.5],
    ],
    [
      "a vector of halves",
      new arrow.FixedSizeList(2, new Field("item", new arrow.Float16(), true)),
      [1, -0.5],
      [1, -0.5],
    ],
    [
      "a Set for a list",
      new arrow.List(new Field("item", new arrow.Utf8(), true)),
      new Set(["a", "b"]),
      ["a", "b"],
    ],
    [
      "an Arrow vector for a list",
      new arrow.List(new Field("item", new arrow.Int32(), true)),
      arrow.vectorFromArray([1, 2], new arrow.Int32()),
      [1, 2],
    ],
    ["a Map for a map", mapType(), new Map([["a", 1]]), [["a", 1]]],
    [
      "an object for a map",
      mapType(),
      { a: 1, b: null },
      [
        ["a", 1],
        ["b", null],
      ],
    ],
    [
      "an object that leaves fields out",
      new arrow.Struct([new Field("a", new arrow.Int8(), true), new Field("b", new arrow.Int8(), true)]),
      { b: 1, a: undefined },
      { a: null, b: 1 },
    ],
  ])("%s", (_, type, given, stored) => {
    expect(valuesOf(encoded(type, [null, given, undefined])).map(print)).toEqual(
      [null, stored, null].map(print),
    );
  });

  test.each([
    ["1.5", 150n],
    ["-0.01", -1n],
    ["7", 700n],
    [7n, 700n],
    [-1.25, -125n],
    ["+3.10", 310n],
    ["0.500", 50n],
  ])("the decimal %s", (given, unscaled) => {
    const words = valuesOf(encoded(new arrow.Decimal(2, 20, 128), [given]))[0] as Uint32Array;
    expect(
      BigInt.asIntN(
        128,
        words.reduceRight((sum, word) => (sum << 32n) | BigInt(word), 0n),
      ),
    ).toBe(unscaled);
  });

  function mapType() {
    const entries = new arrow.Struct([
      new Field("key", new arrow.Utf8(), false),
      new Field("value", new arrow.Int32(), true),
    ]);
    return new arrow.Map_(
      new Field("entries", entries, false) as ConstructorParameters<typeof arrow.Map_>[0],
    );
  }
});

test("a half is the nearest there is, and the even one of two", () => {
  const value = (bits: number) => arrow.util.uint16ToFloat64(bits);
  fc.assert(
    fc.property(
      fc.oneof(
        fc.double({ noNaN: true, min: -70_000, max: 70_000 }),
        fc.double({ noNaN: true, min: -1e-4, max: 1e-4 }),
      ),
      (number) => {
        const bits = halfBits(number);
        const distance = Math.abs(number - value(bits));
        const size = bits & 0x7fff;
        if (size === 0x7c00) {
          expect(Math.abs(number)).toBeGreaterThanOrEqual(65_520);
          return;
        }
        for (const other of [bits - 1, bits + 1].filter(
          (near) => (near & 0x7fff) < 0x7c00 && (near & 0x8000) === (bits & 0x8000) && near >= 0,
        )) {
          const further = Math.abs(number - value(other));
          expect(distance < further || (distance === further && size % 2 === 0)).toBe(true);
        }
      },
    ),
    { numRuns: 5000 },
  );
  expect([0, -0, 1e-9, 65_519, 65_520, -Infinity, Number.NaN].map(halfBits)).toEqual([
    0, 0x8000, 0, 0x7bff, 0x7c00, 0xfc00, 0x7e00,
  ]);
});

describe("columns are put together from slices", () => {
  const item = (type: Type) => new Field("item", type, true);
  const types: [string, Type, fc.Arbitrary<unknown>][] = [
    ["booleans", new arrow.Bool(), fc.boolean()],
    ["integers", new arrow.Int16(), fc.integer({ min: -9, max: 9 })],
    ["strings", new arrow.Utf8(), fc.string({ maxLength: 3 })],
    [
      "vectors",
      new arrow.FixedSizeList(3, item(new arrow.Float32())),
      fc.array(fc.integer({ min: -99, max: 99 }), { minLength: 3, maxLength: 3 }),
    ],
    [
      "lists of booleans",
      new arrow.List(item(new arrow.Bool())),
      fc.array(fc.option(fc.boolean()), { maxLength: 3 }),
    ],
    [
      "structs of strings",
      new arrow.Struct([new Field("a", new arrow.Utf8(), true)]),
      fc.record({ a: fc.option(fc.string({ maxLength: 3 })) }),
    ],
    [
      "dictionary strings",
      new arrow.Dictionary(new arrow.Utf8(), new arrow.Int8()),
      fc.constantFrom("a", "b"),
    ],
  ];
  test.each(types)("%s", (_, type, value) => {
    fc.assert(
      fc.property(
        fc.array(fc.option(value), { minLength: 1, maxLength: 40 }),
        fc.array(fc.nat(40), { maxLength: 4 }),
        (values, cuts) => {
          const whole = encoded(type, values);
          const ends = [...cuts.map((cut) => cut % values.length).sort((a, b) => a - b), values.length];
          const slices = ends.map((end, index) =>
            whole.slice(ends[index - 1] ?? 0, end - (ends[index - 1] ?? 0)),
          );
          expect(valuesOf(joinColumns(type, slices)).map(print)).toEqual(values.map(print));
          // A slice of a slice, too.
          const [start] = ends as [number];
          const inner = whole.slice(start, values.length - start).slice(0, values.length - start);
          expect(valuesOf(joinColumns(type, [inner])).map(print)).toEqual(values.slice(start).map(print));
        },
      ),
    );
  });

  test("a null at the end, whose items apache-arrow leaves out", () => {
    const type = new arrow.FixedSizeList(3, item(new arrow.Float32()));
    const data = arrow.vectorFromArray([[1, 2, 3], null], type).data[0];
    const packed = joinColumns(type, [data as never]);
    expect(valuesOf(packed)).toEqual([[1, 2, 3], null]);
    expect(packed.children[0]?.length).toBe(6);
  });

  test("in buffers of their own", () => {
    const shared = new BigInt64Array([1n, 2n]);
    const data = arrow.makeVector(shared).data[0];
    expect(joinColumns(new arrow.Int64(), [data as never]).values.buffer).not.toBe(shared.buffer);
  });
});
