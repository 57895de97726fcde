import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decimalText, parseDecimal } from "../../src/arrow/number-codecs.ts";
import { halfBits, halfNumber, halfValue, shortFloat32, VectorTexts } from "../../src/arrow/number-text.ts";
import {
  dateText,
  parseDate,
  parseTime,
  parseTimestamp,
  timestampText,
  timeText,
} from "../../src/arrow/time-codecs.ts";

const nightly = process.env["NIGHTLY"] === "1";

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

function textOf(pattern: number): string {
  bits[0] = pattern;
  return JSON.stringify(shortFloat32(float[0]!));
}

function back(text: string): number {
  float[0] = JSON.parse(text);
  return bits[0]!;
}

describe("a float32", () => {
  test("is given back by its text, whatever its bits", () => {
    const wrong: string[] = [];
    for (let pattern = 0; pattern < 2 ** 32; pattern += nightly ? 101 : 9973) {
      if ((pattern & 0x7f800000) === 0x7f800000 || pattern === 0x80000000) continue;
      const text = textOf(pattern);
      if (back(text) !== pattern) wrong.push(`${pattern.toString(16)} ${text}`);
    }
    expect(wrong).toEqual([]);
  });

  test("of few digits is written with few digits", () => {
    for (let count = 1; count < 100_000; count += 7) {
      for (const scale of [10, 1000, 1e5, 1e8]) {
        float[0] = count / scale;
        const text = textOf(bits[0]!);
        expect(Number(text), `${count} / ${scale}`).toBe(count / scale);
      }
    }
    float[0] = 0.1;
    expect(textOf(bits[0]!)).toBe("0.1");
    float[0] = -12.5;
    expect(textOf(bits[0]!)).toBe("-12.5");
  });
});

test("every float16 is given back by its text", () => {
  for (let pattern = 0; pattern < 65536; pattern++) {
    const value = halfValue(pattern);
    if (!Number.isFinite(value) || Object.is(value, -0)) continue;
    expect(halfBits(JSON.parse(JSON.stringify(halfNumber(pattern))))).toBe(pattern);
  }
});

test("a double between two float16 goes to the even one", () => {
  expect(halfBits(1 + 2 ** -11)).toBe(0x3c00);
  expect(halfBits(1 + 3 * 2 ** -11)).toBe(0x3c02);
  expect(halfBits(65519)).toBe(0x7bff);
  expect(halfBits(65520)).toBe(0x7c00);
  expect(halfBits(2 ** -25)).toBe(0);
});

describe("dates and times", () => {
  test("are ISO texts with the digits of their unit", () => {
    expect(timestampText(-1n, 3, true)).toBe("1969-12-31T23:59:59.999999999Z");
    expect(timestampText(1_700_000_000n, 0, false)).toBe("2023-11-14T22:13:20");
    expect(timestampText(253_402_300_800n, 0, false)).toBe("253402300800");
    expect(timeText(86_399_999n, 1)).toBe("23:59:59.999");
    expect(timeText(-1n, 1)).toBe("-1");
    expect(dateText(-719528)).toBe("0000-01-01");
    expect(dateText(-719529)).toBe("-719529");
  });

  test.each(["2026-02-30T00:00:00.000", "2026-02-03T00:00:00", "2026-02-03 00:00:00.000", "", "x"])(
    "the text %j is no timestamp in milliseconds",
    (text) => {
      expect(() => parseTimestamp(text, 1, false)).toThrow(/timestamp/);
    },
  );

  test("are refused where there is no such day or hour", () => {
    expect(() => parseDate("2026-13-01")).toThrow(/date/);
    expect(() => parseTime("24:00:00", 0)).toThrow(/time/);
    expect(() => parseTimestamp("2026-02-03T00:00:00.000", 1, true)).toThrow(/timestamp/);
  });
});

test("decimals keep sign, scale and every digit", () => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: -(10n ** 76n), max: 10n ** 76n }),
      fc.integer({ min: -5, max: 76 }),
      (value, scale) => {
        expect(parseDecimal(decimalText(value, scale), scale)).toBe(value);
      },
    ),
  );
  expect(decimalText(-5n, 2)).toBe("-0.05");
  expect(() => parseDecimal("1.5", 2)).toThrow(/decimal/);
});

test("a vector's text is that of the list of its floats, whatever their bits", () => {
  const patterns = new Uint32Array(nightly ? 2 ** 22 : 2 ** 17);
  for (let at = 0; at < patterns.length; at++) patterns[at] = Math.imul(at, 0x9e3779b1);
  const values = new Float32Array(patterns.buffer);
  const plain = (at: number) => (Number.isFinite(values[at]!) ? shortFloat32(values[at]!) : "other");
  const texts = new VectorTexts(values, 512, (at) => JSON.stringify(plain(at)));
  for (let row = 0; row < values.length / 512; row++) {
    const list = Array.from({ length: 512 }, (_, item) => plain(row * 512 + item));
    expect(texts.at(row)).toBe(JSON.stringify(list));
  }
});
