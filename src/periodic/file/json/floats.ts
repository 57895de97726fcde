import { Problem } from "../problem.ts";
import type { JsonOutput } from "./output.ts";

const POINT = 0x2e;
const MINUS = 0x2d;
const ZERO = 0x30;

const POWERS = Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`));
const powerOf10 = (exponent: number) => POWERS[exponent] ?? Number.NaN;

/** Not-a-number has many bit patterns. The usual one of each width is "NaN", others "NaN:" and their bits. */
const USUAL_NAN: Readonly<Record<number, bigint>> = { 16: 0x7e00n, 32: 0x7fc00000n, 64: 0x7ff8000000000000n };

/** A float that JSON has no number for, as a text. */
export function specialText(value: number, bits: () => bigint, width: 16 | 32 | 64): string {
  if (!Number.isNaN(value)) return value > 0 ? "Infinity" : "-Infinity";
  const pattern = bits();
  return pattern === USUAL_NAN[width] ? "NaN" : `NaN:${pattern.toString(16)}`;
}

/** The bits of such a text; an infinity as its value. */
export function parseSpecial(text: string, width: 16 | 32 | 64): bigint {
  const infinity =
    ((1n << (width === 16 ? 5n : width === 32 ? 8n : 11n)) - 1n) <<
    (width === 16 ? 10n : width === 32 ? 23n : 52n);
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
    throw new Problem(`${JSON.stringify(text)} is no number`);
  }
  return bits;
}

/** A finite double, in the fewest digits that give it back. */
export function writeFloat64(out: JsonOutput, value: number): void {
  if (Number.isInteger(value) && Math.abs(value) < 1e9 && !Object.is(value, -0)) out.integer(value);
  else if (value === 0) out.ascii("-0");
  else out.ascii(String(value));
}

/**
 * A finite float32, in so many digits that reading it as a double and rounding that to a float32 gives it
 * back: 6 to 9, and zeros at the end left out. Most floats take the fast way, where value and power of ten
 * are exact and the division is what a reader's parser computes.
 */
export function writeFloat32(out: JsonOutput, value: number, bits: number): void {
  const size = Math.abs(value);
  if (size >= 1e-6 && size < 8388608 && !Number.isInteger(size)) {
    if (value < 0) out.byte(MINUS);
    writeFraction(out, size, bits);
  } else if (value === 0 || Number.isInteger(value)) {
    writeFloat64(out, value);
  } else {
    out.ascii(shortText(value));
  }
}

function writeFraction(out: JsonOutput, size: number, bits: number): void {
  // The exponent of 10, from that of 2 by log10(2) = 1233 / 4096.
  const guess = ((((bits >>> 23) & 0xff) - 127) * 1233) >> 12;
  const exponent =
    size >= (guess >= -1 ? powerOf10(guess + 1) : 1 / powerOf10(-guess - 1)) ? guess + 1 : guess;
  for (let decimals = Math.max(0, 5 - exponent); decimals < 10 - exponent; decimals++) {
    const power = powerOf10(decimals);
    const digits = Math.round(size * power);
    if (Math.fround(digits / power) === size) {
      writeDecimal(out, digits, decimals);
      return;
    }
  }
  out.ascii(String(size));
}

function writeDecimal(out: JsonOutput, digits: number, decimals: number): void {
  let rest = digits;
  let places = decimals;
  while (rest % 10 === 0) {
    rest /= 10;
    places--;
  }
  const power = powerOf10(places);
  if (rest < power) {
    out.byte(ZERO);
    out.byte(POINT);
    out.digits(rest, places);
    return;
  }
  const whole = Math.floor(rest / power);
  out.integer(whole);
  out.byte(POINT);
  out.digits(rest - whole * power, places);
}

/** What is so small that it is written with an exponent. */
function shortText(value: number): string {
  for (let precision = 7; precision < 10; precision++) {
    const short = Number(value.toPrecision(precision));
    if (Math.fround(short) === value) return String(short);
  }
  return String(value);
}
