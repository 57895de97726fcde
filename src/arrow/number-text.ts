import { Buffer } from "node:buffer";
import { Problem } from "./bad-value.ts";

// Numbers as texts: whole ones in filters and in periodic files in JSON, and floats in these: of the digits that give the
// float back, the fewest.

/** As JSON has it: a number where a double holds it, else its digits. */
export function jsonInteger(value: bigint): number | string {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}

export const INTEGER = /^-?\d{1,40}$/;

/** An integer of any width, in digits. */
export function parseInteger(text: string): bigint {
  if (!INTEGER.test(text)) throw new Problem(`${JSON.stringify(text.slice(0, 80))} is not an integer`);
  return BigInt(text);
}

export function integerLiteral(value: number | bigint): string {
  // Read as a negated literal, the least integer of 64 bits would overflow.
  return value === -(2n ** 63n) ? "cast('-9223372036854775808' as bigint)" : String(value);
}

const POWERS = Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`));

/** Not-a-number has many bit patterns. The usual one of each width is "NaN", others "NaN:" and their bits. */
const USUAL_NAN: Readonly<Record<number, bigint>> = { 16: 0x7e00n, 32: 0x7fc00000n, 64: 0x7ff8000000000000n };

/** A float that JSON has no number for, or that some readers lose the sign of, as a text. */
export function specialText(value: number, bits: () => bigint, width: 16 | 32 | 64): string {
  if (value === 0) return "-0";
  if (!Number.isNaN(value)) return value > 0 ? "Infinity" : "-Infinity";
  const pattern = bits();
  return pattern === USUAL_NAN[width] ? "NaN" : `NaN:${pattern.toString(16)}`;
}

/** The bits of such a text; an infinity as its value. */
export function parseSpecial(text: string, width: 16 | 32 | 64): bigint {
  const infinity =
    ((1n << (width === 16 ? 5n : width === 32 ? 8n : 11n)) - 1n) <<
    (width === 16 ? 10n : width === 32 ? 23n : 52n);
  if (text === "-0") return 1n << BigInt(width - 1);
  if (text === "NaN") return USUAL_NAN[width] ?? 0n;
  if (text === "Infinity") return infinity;
  if (text === "-Infinity") return infinity | (1n << BigInt(width - 1));
  const digits = /^NaN:([0-9a-f]{1,16})$/.exec(text)?.[1];
  const bits = digits === undefined ? 0n : BigInt(`0x${digits}`);
  if (
    bits >> BigInt(width) !== 0n ||
    (bits & infinity) !== infinity ||
    (bits & (infinity ^ ((1n << BigInt(width - 1)) - 1n))) === 0n
  ) {
    throw new Problem(`${JSON.stringify(text)} is not a number`);
  }
  return bits;
}

/** That of ten. */
function exponentOf(size: number): number {
  let exponent = 0;
  if (size < 1) while (size * (POWERS[-exponent] ?? 1) < 1) exponent--;
  else while (size >= (POWERS[exponent + 1] ?? Number.NaN)) exponent++;
  return exponent;
}

/** Between these `placesOf` knows the digits. */
const LEAST = 1e-6;
const MOST = 8388608;

/**
 * How many digits after the point the shortest decimal has that gives a float32 back; of 6 to 9 digits in all, zeros at
 * the end among them. Number and power of ten are exact, so that the quotient is what a parser makes of the digits.
 */
function placesOf(size: number): number {
  const fewest = 5 - exponentOf(size);
  let places = Math.max(0, fewest);
  for (; places < fewest + 4; places++) {
    const power = POWERS[places] ?? Number.NaN;
    if (Math.fround(Math.floor(size * power + 0.5) / power) === size) break;
  }
  return places;
}

/**
 * A double of few digits that gives a finite float32 back when it is rounded to one: `JSON.stringify` writes 0.1 for it, and
 * not 0.10000000149011612.
 */
export function shortFloat32(value: number): number {
  const size = Math.abs(value);
  if (size >= LEAST && size < MOST) {
    const power = POWERS[placesOf(size)] ?? Number.NaN;
    const short = Math.floor(size * power + 0.5) / power;
    if (Math.fround(short) === size) return value < 0 ? -short : short;
  }
  if (Number.isInteger(value)) return value;
  for (let precision = 7; precision < 10; precision++) {
    const short = Number(value.toPrecision(precision));
    if (Math.fround(short) === value) return short;
  }
  return value;
}

/** So that they are counted in integers; 9 digits are enough for a float32. */
const MOST_DIGITS = 2 ** 30;

/** Bytes of the longest number that `JSON.stringify` writes, and a comma. */
const LONGEST = 26;

/**
 * The texts of vectors of float32, each as `JSON.stringify` would write the list of their `shortFloat32`, in half the time:
 * the digits are known, and need not be found a second time.
 *
 * @param other the text of a value that is no plain number
 */
export class VectorTexts {
  readonly #values: Float32Array;
  readonly #size: number;
  readonly #other: (index: number) => string;
  readonly #bytes: Buffer;

  constructor(values: Float32Array, size: number, other: (index: number) => string) {
    this.#values = values;
    this.#size = size;
    this.#other = other;
    this.#bytes = Buffer.allocUnsafeSlow(2 + size * LONGEST);
  }

  at(index: number): string {
    const bytes = this.#bytes;
    let at = 0;
    bytes[at++] = 0x5b;
    for (let item = index * this.#size; item < (index + 1) * this.#size; item++) {
      if (item > index * this.#size) bytes[at++] = 0x2c;
      const value = this.#values[item] ?? 0;
      const size = Math.abs(value);
      if (size >= LEAST && size < MOST) {
        const places = placesOf(size);
        const power = POWERS[places] ?? Number.NaN;
        const digits = Math.floor(size * power + 0.5);
        if (Math.fround(digits / power) === size && digits < MOST_DIGITS) {
          if (value < 0) bytes[at++] = 0x2d;
          at = writeDecimal(bytes, at, digits, places);
          continue;
        }
      }
      at += bytes.write(this.#other(item), at, "latin1");
    }
    bytes[at++] = 0x5d;
    return bytes.toString("latin1", 0, at);
  }
}

/** Writes `digits` / 10^`places` without zeros at the end; answers with where the next byte goes. */
function writeDecimal(bytes: Buffer, at: number, digits: number, places: number): number {
  let rest = digits | 0;
  let after = places;
  for (let tenth = (rest / 10) | 0; after > 0 && tenth * 10 === rest; tenth = (rest / 10) | 0) {
    rest = tenth;
    after--;
  }
  let length = after + 1;
  while (rest >= (POWERS[length] ?? 0)) length++;
  const end = at + length + (after > 0 ? 1 : 0);
  let position = end - 1;
  for (let left = length; left > 0; left--) {
    if (after > 0 && left === length - after) bytes[position--] = 0x2e;
    const tenth = (rest / 10) | 0;
    bytes[position--] = 0x30 + (rest - tenth * 10);
    rest = tenth;
  }
  return end;
}

/** The value of a float16 by its bits. */
export function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/**
 * The bits of the float16 nearest to a double; of two as near, the even one. (apache-arrow's own `float64ToUint16` makes
 * other numbers, infinity among them, of numbers near zero.)
 */
export function halfBits(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (size >= 65520) return sign | 0x7c00;
  if (size < 2 ** -14) return sign | roundToEven(size * 2 ** 24);
  const exponent = binaryExponentOf(size);
  return sign | (((exponent + 14) << 10) + roundToEven(size * 2 ** (10 - exponent)));
}

const double = new Float64Array(1);
const words = new Uint32Array(double.buffer);

function binaryExponentOf(size: number): number {
  double[0] = size;
  return (((words[1] ?? 0) >>> 20) & 0x7ff) - 1023;
}

function roundToEven(value: number): number {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return rest < 0.5 ? low : low + 1;
  return low % 2 === 0 ? low : low + 1;
}

const numbers: number[] = [];

/** A double of the fewest digits that gives a finite float16 back; there are few of them, so they are remembered. */
export function halfNumber(bits: number): number {
  const known = numbers[bits];
  if (known !== undefined) return known;
  const value = halfValue(bits);
  let number = value;
  for (let precision = 1; precision < 6; precision++) {
    const short = Number(value.toPrecision(precision));
    if (halfBits(short) === bits) {
      number = short;
      break;
    }
  }
  numbers[bits] = number;
  return number;
}
