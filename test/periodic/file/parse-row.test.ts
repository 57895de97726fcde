import fc from "fast-check";
import { expect, test } from "vitest";
import { arrow } from "../../../src/lance/predicates/arrow.ts";
import { NumberList, NumberText } from "../../../src/periodic/file/json/number-text.ts";
import { RowParser } from "../../../src/periodic/file/json/parse-row.ts";

const runs = process.env["NIGHTLY"] === "1" ? 200_000 : 5_000;

/** What `JSON.parse` says, or undefined where it refuses. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const digits = fc.stringMatching(/^[0-9]{0,25}$/);
const anyNumberText = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
  fc.float({ noNaN: true, noDefaultInfinity: true }).map((value) => value.toPrecision(9)),
  fc
    .tuple(
      fc.constantFrom("", "-"),
      digits,
      fc.constantFrom("", "."),
      digits,
      fc.constantFrom("", "e", "E-", "e+"),
      digits,
    )
    .map((parts) => parts.join("")),
  fc.stringMatching(/^[-+.0-9eE ]{1,8}$/),
);

test("a number in text is what JSON.parse makes of it, to the bit, and is none where that refuses", () => {
  const number = new NumberText();
  fc.assert(
    fc.property(anyNumberText, (text) => {
      const bytes = Buffer.from(`[${text}]`);
      const whole = number.read(bytes, 1) && number.end === bytes.length - 1;
      expect(whole ? number.value : undefined).toBe(parsed(text.trim() === text ? text : "x"));
    }),
    { numRuns: runs },
  );
});

const field = (name: string, type: InstanceType<typeof arrow.DataType>) => new arrow.Field(name, type, true);
const fields = [
  field("id", new arrow.Int32()),
  field('te"xt', new arrow.Utf8()),
  field("vector", new arrow.FixedSizeList(2, field("item", new arrow.Float32()))),
  field("list", new arrow.List(field("item", new arrow.Int32()))),
];
const number = fc.double({ noDefaultInfinity: true, noNaN: true }).filter((value) => !Object.is(value, -0));
const anyRow = fc.record({
  id: fc.option(fc.integer()),
  'te"xt': fc.option(fc.string({ unit: "binary" })),
  vector: fc.option(
    fc.array(
      fc.oneof({ weight: 9, arbitrary: number }, { weight: 1, arbitrary: fc.constantFrom("NaN", null) }),
      { maxLength: 80 },
    ),
  ),
  list: fc.option(fc.array(fc.option(fc.integer()))),
});

function parseRow(text: string): unknown {
  const bytes = Buffer.from(`{"before":1},\n${text},\n`);
  try {
    const members = new RowParser(fields, bytes).parse(14, bytes.length - 2);
    return Object.fromEntries(
      fields.map(({ name }, at) => {
        const value = members[at];
        return [name, value instanceof NumberList ? value.toJSON() : value];
      }),
    );
  } catch {
    return undefined;
  }
}

test("a row is what JSON.parse makes of it", () => {
  fc.assert(
    fc.property(anyRow, fc.boolean(), (row, isInOrder) => {
      const entries = Object.entries(row);
      const text = JSON.stringify(Object.fromEntries(isInOrder ? entries : entries.reverse()));
      expect(parseRow(text)).toEqual(JSON.parse(text));
    }),
    { numRuns: runs },
  );
});

test("a row that was changed anywhere is what JSON.parse makes of it, or is refused", () => {
  fc.assert(
    fc.property(anyRow, fc.nat(), fc.constantFrom(...'{}[],:"\\ x0-.en\n'), (row, place, wrong) => {
      const good = Array.from(JSON.stringify(row)); // by characters: no half of one is valid UTF-8
      const text = good.with(place % good.length, wrong).join("");
      const [read, expected] = [parseRow(text), parsed(text)];
      if (read !== undefined) expect(read).toEqual(expected);
      else if (expected !== undefined)
        expect(Object.keys(expected as object).sort()).not.toEqual(Object.keys(row).sort());
    }),
    { numRuns: runs },
  );
});
