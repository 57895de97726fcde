import { types } from "node:util";
import type { Bool, Data, Float, Int } from "apache-arrow";
import { arrow } from "../arrow.ts";
import { badValue, type Place, show } from "../place.ts";
import { columnData } from "./data.ts";
import { bitmapBytes, validityOf } from "./validity.ts";

/** Booleans, as they are: no truthiness. */
export function encodeBools(type: Bool, values: readonly unknown[], place: Place): Data {
  const data = new Uint8Array(bitmapBytes(values.length));
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    if (value === null || value === undefined || value === false) continue;
    if (value !== true) throw badValue(place, index, `${show(value)} is not a boolean`);
    data[index >> 3] = (data[index >> 3] ?? 0) | (1 << (index & 7));
  }
  return columnData(type, values.length, validityOf(values), { values: data });
}

/** Whole numbers within the column's range: a `number` must be a safe integer, a `bigint` may be any. */
export function encodeInts(type: Int, values: readonly unknown[], place: Place): Data {
  const bits = BigInt(type.bitWidth);
  const min = type.isSigned ? -(2n ** (bits - 1n)) : 0n;
  const max = type.isSigned ? 2n ** (bits - 1n) - 1n : 2n ** bits - 1n;
  const data = new type.ArrayType(values.length);
  const wide = types.isBigInt64Array(data) || types.isBigUint64Array(data);
  const [low, high] = [Number(min), Number(max)];
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    if (value === null || value === undefined) continue;
    if (!wide && typeof value === "number" && Number.isInteger(value) && value >= low && value <= high) {
      data[index] = value;
      continue;
    }
    const whole = wholeNumber(value, place, index);
    if (whole < min || whole > max) {
      throw badValue(place, index, `${whole} is outside the column's range, ${min} to ${max}`);
    }
    data[index] = wide ? whole : Number(whole);
  }
  return columnData(type, values.length, validityOf(values), { values: data });
}

function wholeNumber(value: unknown, place: Place, index: number): bigint {
  if (typeof value === "bigint") return value;
  if (typeof value !== "number") throw badValue(place, index, `${show(value)} is not a whole number`);
  if (Number.isSafeInteger(value)) return BigInt(value);
  throw badValue(
    place,
    index,
    Number.isInteger(value)
      ? `${value} is beyond the integers that a number holds exactly; give a bigint`
      : `${value} is not a whole number`,
  );
}

/** Numbers; NaN and infinities are values of a float column. A number too large for the column is refused. */
export function encodeFloats(type: Float, values: readonly unknown[], place: Place): Data {
  const numbers = new Float64Array(values.length);
  const limit = LARGEST[type.precision] ?? Number.POSITIVE_INFINITY;
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    if (value === null || value === undefined) continue;
    const number = typeof value === "bigint" ? Number(value) : value;
    if (typeof number !== "number") throw badValue(place, index, `${show(value)} is not a number`);
    if (typeof value === "bigint" && BigInt(number) !== value) {
      throw badValue(place, index, `${value}n is beyond the integers that a float holds exactly`);
    }
    if (Number.isFinite(number) && Math.abs(number) >= limit) {
      throw badValue(place, index, `${number} is too large for a column of ${type}`);
    }
    numbers[index] = number;
  }
  return columnData(type, values.length, validityOf(values), { values: narrow(type, numbers) });
}

/** The first magnitude that rounds to infinity, by the format's numbers for precisions: half, single, double. */
const LARGEST: readonly number[] = [65_520, 2 ** 128 - 2 ** 103, Number.POSITIVE_INFINITY];

/** Doubles as the buffer of a float column of any width. */
export function narrow(type: Float, numbers: ArrayLike<number>): Uint16Array | Float32Array | Float64Array {
  if (type.precision === arrow.Precision.HALF) return Uint16Array.from(numbers, toHalf);
  const Ctor = type.precision === arrow.Precision.SINGLE ? Float32Array : Float64Array;
  return numbers instanceof Ctor ? numbers : Ctor.from(numbers);
}

/**
 * A double as the bits of a half, rounded to the nearest, ties to even. (apache-arrow's own
 * `float64ToUint16` makes other numbers, infinity among them, of numbers near zero.)
 */
export function toHalf(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(value)) return 0x7e00;
  if (size >= 65_520) return sign | 0x7c00;
  if (size < 2 ** -14) return sign | roundEven(size * 2 ** 24);
  const exponent = Math.floor(Math.log2(size));
  const fixed = size < 2 ** exponent ? exponent - 1 : exponent;
  return sign | (((fixed + 15) << 10) + roundEven((size / 2 ** fixed - 1) * 1024));
}

function roundEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}
