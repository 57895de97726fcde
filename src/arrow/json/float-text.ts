import { Problem } from "../problem.ts";

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
    throw new Problem(`${JSON.stringify(text)} is no number`);
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

/**
 * A double of few digits that gives a finite float32 back when it is rounded to one: `JSON.stringify` writes 0.1 for it, and
 * not 0.10000000149011612.
 */
export function shortFloat32(value: number): number {
  const size = Math.abs(value);
  if (size >= 1e-6 && size < 8388608) {
    // Of 6 to 9 digits the first that will do. Number and power of ten are exact, so that the
    // quotient is what a parser makes of the digits.
    const places = 5 - exponentOf(size);
    for (let decimals = Math.max(0, places); decimals < places + 5; decimals++) {
      const power = POWERS[decimals] ?? Number.NaN;
      const short = Math.floor(size * power + 0.5) / power;
      if (Math.fround(short) === size) return value < 0 ? -short : short;
    }
  }
  if (Number.isInteger(value)) return value;
  for (let precision = 7; precision < 10; precision++) {
    const short = Number(value.toPrecision(precision));
    if (Math.fround(short) === value) return short;
  }
  return value;
}
