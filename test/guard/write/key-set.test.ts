import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeColumn } from "../../../src/arrow/codecs.ts";
import { KeySet } from "../../../src/arrow/digest-table.ts";
import { keyDigests } from "../../../src/arrow/row-digests.ts";
import { arrow, print } from "./harness.ts";

const column = (type: ConstructorParameters<typeof arrow.Field>[1], values: unknown[]) =>
  encodeColumn(new arrow.Field("key", type, true), values, { column: "key", rowOf: (index) => index });

/** The row of the first key that repeats an earlier one, and that earlier row, as the set finds them. */
function firstRepetition(columns: ReturnType<typeof column>[], length: number): [number, number] | undefined {
  const set = new KeySet(4);
  const keyAt = keyDigests(columns);
  for (let row = 0; row < length; row++) {
    const before = set.add(keyAt(row), row);
    if (before !== undefined) return [before, row];
  }
  return undefined;
}

describe("a repeated key is found, and only that", () => {
  const text = fc.oneof(
    fc.string({ maxLength: 3 }),
    fc.string({ minLength: 14, maxLength: 18 }),
    fc.constantFrom("", "\0", "\0\0", "a".repeat(15), "a".repeat(16)),
  );
  const kinds = {
    strings: [new arrow.Utf8(), text],
    "large strings": [new arrow.LargeUtf8(), text],
    "dictionary strings": [new arrow.Dictionary(new arrow.Utf8(), new arrow.Int32()), text],
    bytes: [new arrow.Binary(), fc.uint8Array({ maxLength: 18 })],
    bigints: [new arrow.Int64(), fc.bigInt({ min: -3n, max: 3n })],
    booleans: [new arrow.Bool(), fc.boolean()],
    decimals: [new arrow.Decimal(0, 38, 128), fc.bigInt({ min: -3n, max: 3n })],
  } as const;
  for (const [name, [type, value]] of Object.entries(kinds)) {
    test(name, () => {
      fc.assert(
        fc.property(
          fc.array(fc.tuple(value as fc.Arbitrary<unknown>, text), { maxLength: 60 }),
          fc.boolean(),
          (pairs, both) => {
            const keys = pairs.map((pair) => print(both ? pair : pair[0]));
            const row = keys.findIndex((key, index) => keys.indexOf(key) < index);
            const columns = [
              column(
                type,
                pairs.map(([first]) => first),
              ),
              column(
                new arrow.Utf8(),
                pairs.map(([, second]) => second),
              ),
            ];
            const found = firstRepetition(both ? columns : columns.slice(0, 1), pairs.length);
            expect(found).toEqual(row < 0 ? undefined : [keys.indexOf(keys[row] as string), row]);
          },
        ),
      );
    });
  }
});

test("holds a million keys in well under 100 bytes each", () => {
  const count = 1_000_000;
  const keys = column(
    new arrow.Int64(),
    Array.from({ length: count }, (_, index) => BigInt(index) * 1_000_003n),
  );
  const used = () => process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed;
  const before = used();
  const set = new KeySet();
  const keyAt = keyDigests([keys]);
  for (let row = 0; row < count; row++)
    if (set.add(keyAt(row), row) !== undefined) throw new Error(`row ${row}`);
  expect(used() - before).toBeLessThan(count * 100);
  expect(set.add(keyAt(123_456), count)).toBe(123_456);
});
