import { types } from "node:util";
import type { Bool, Data, DataType, Decimal, Float, Int } from "apache-arrow";
import { arrow } from "./arrow.ts";
import { Problem, show } from "./bad-value.ts";
import { type Codec, type Form, fill } from "./codec.ts";
import { bitAt, bitmapBytes, bytesIn, type Floats, newColumn, newFloats, setBit } from "./column.ts";
import {
  halfBits,
  halfNumber,
  halfValue,
  integerLiteral,
  jsonInteger,
  parseInteger,
  parseSpecial,
  shortFloat32,
  specialText,
} from "./number-text.ts";

/** Booleans, as they are: no truthiness. */
export const boolCodec: Codec<Bool> = {
  read:
    ({ values, offset }) =>
    (index) =>
      bitAt(values, offset + index),
  build(type, values, to) {
    const bits = new Uint8Array(bitmapBytes(values.length));
    const validity = fill(values, to, (value, index) => {
      if (typeof value !== "boolean") throw new Problem(`${show(value)} is not a boolean`);
      if (value) setBit(bits, index);
    });
    return newColumn(type, values.length, validity, { values: bits });
  },
  literals: () => ({ literal: (keys, at) => String(bitAt(keys.values, keys.offset + at)) }),
};

/** Whole numbers within the column's range: a `number` must be a safe integer, a `bigint` may be any. */
export const intCodec: Codec<Int> = {
  read({ values }, { bitWidth }, form) {
    return bitWidth === 64 && form === "json"
      ? (index) => jsonInteger(values[index])
      : (index) => values[index];
  },
  build(type, values, to) {
    const bits = BigInt(type.bitWidth);
    const min = type.isSigned ? -(2n ** (bits - 1n)) : 0n;
    const max = type.isSigned ? 2n ** (bits - 1n) - 1n : 2n ** bits - 1n;
    to.claim((values.length * type.bitWidth) / 8);
    const stored = new type.ArrayType(values.length);
    const wide = type.bitWidth === 64;
    const [low, high] = [Number(min), Number(max)];
    const validity = fill(values, to, (value, index) => {
      if (!wide && typeof value === "number" && Number.isInteger(value) && value >= low && value <= high) {
        stored[index] = value;
        return;
      }
      const whole = wholeNumber(value, wide ? to.form : "rows");
      if (whole < min || whole > max) {
        throw new Problem(`${whole} is outside the column's range, ${min} to ${max}`);
      }
      stored[index] = wide ? whole : Number(whole);
    });
    return newColumn(type, values.length, validity, { values: stored });
  },
  literals: () => ({ literal: (keys, at) => integerLiteral(keys.values[at]) }),
};

function wholeNumber(value: unknown, form: Form): bigint {
  if (typeof value === "bigint") return value;
  if (form === "json" && typeof value === "string") return parseInteger(value);
  if (typeof value !== "number") throw new Problem(`${show(value)} is not a whole number`);
  if (Number.isSafeInteger(value)) return BigInt(value);
  throw new Problem(
    Number.isInteger(value)
      ? `${value} is beyond the integers that a number holds exactly; give ${form === "json" ? "its digits" : "a bigint"}`
      : `${value} is not a whole number`,
  );
}

/** The first magnitude that rounds to infinity, by precision (half, single, double). */
const TOO_LARGE = [65_520, 2 ** 128 - 2 ** 103, Number.POSITIVE_INFINITY];

/** Numbers; NaN and infinities are values of a float column. Of rows, a number too large for the column is refused. */
export const floatCodec: Codec<Float> = {
  read: (data, { precision }, form) =>
    form === "json" ? jsonFloats(data, precision) : (index) => floatAt(data, precision, index),
  build(type, values, to) {
    to.claim(values.length * (2 << type.precision));
    const stored = newFloats(type, values.length);
    const store = to.form === "json" ? storeJson(type, stored) : storeNumber(type, stored);
    return newColumn(type, values.length, fill(values, to, store), { values: stored });
  },
};

type Store = (value: unknown, index: number) => void;

/** The number at an index of a float column. */
export function floatAt({ values }: Data, precision: number, index: number): number {
  return precision === arrow.Precision.HALF ? halfValue(values[index] ?? 0) : Number(values[index]);
}

function storeNumber({ precision }: Float, stored: Floats): Store {
  const limit = TOO_LARGE[precision] ?? 0;
  const half = precision === arrow.Precision.HALF;
  return (value, index) => {
    const number = typeof value === "bigint" ? Number(value) : value;
    if (typeof number !== "number") throw new Problem(`${show(value)} is not a number`);
    if (typeof value === "bigint" && BigInt(number) !== value) {
      throw new Problem(`${value}n is beyond the integers that a float holds exactly`);
    }
    if (Number.isFinite(number) && Math.abs(number) >= limit) {
      throw new Problem(`${number} is too large for a column of float${16 << precision}`);
    }
    stored[index] = half ? halfBits(number) : number;
  };
}

function storeJson({ precision }: Float, stored: Floats): Store {
  const width = (16 << precision) as 16 | 32 | 64;
  const half = width === 16;
  const bits =
    width === 64 ? new BigUint64Array(stored.buffer) : half ? stored : new Uint32Array(stored.buffer);
  return (value, index) => {
    if (typeof value === "number") stored[index] = half ? halfBits(value) : value;
    else if (typeof value === "string") {
      const pattern = parseSpecial(value, width);
      bits[index] = width === 64 ? pattern : Number(pattern);
    } else throw new Problem(`${show(value)} is not a number`);
  };
}

function jsonFloats(data: Data, precision: number) {
  const bytes = bytesIn(data.values);
  const values: Floats = data.values;
  const isPlain = (value: number) => Number.isFinite(value) && !Object.is(value, -0);
  if (precision === arrow.Precision.HALF) {
    return (index: number) => {
      const bits = values[index] ?? 0;
      const value = halfValue(bits);
      return isPlain(value) ? halfNumber(bits) : specialText(value, () => BigInt(bits), 16);
    };
  }
  if (precision === arrow.Precision.SINGLE) {
    const bits = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2);
    return (index: number) => {
      const value = values[index] ?? 0;
      return isPlain(value) ? shortFloat32(value) : specialText(value, () => BigInt(bits[index] ?? 0), 32);
    };
  }
  const bits = new BigUint64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 3);
  return (index: number) => {
    const value = values[index] ?? 0;
    return isPlain(value) ? value : specialText(value, () => bits[index] ?? 0n, 64);
  };
}

/**
 * Decimals. Of rows, from plain text (`"-12.50"`), a whole `bigint`, a `number` that prints plainly, or the raw
 * little-endian words that LanceDB's rows give back. Digits that the scale or precision cannot hold are refused.
 */
export const decimalCodec: Codec<Decimal> = {
  read(data, { bitWidth, scale }, form) {
    const words = bitWidth / 32;
    if (form === "rows") return (index) => data.values.subarray(index * words, (index + 1) * words);
    return (index) => decimalText(unscaledAt(data, index), scale);
  },
  build(type, values, to) {
    const width = type.bitWidth / 8;
    to.claim(values.length * width);
    const stored = new Uint32Array((values.length * width) / 4);
    const view = new DataView(stored.buffer);
    const unscaled = to.form === "json" ? decimalOfJson : decimalOfRow;
    const validity = fill(values, to, (value, index) => {
      if (types.isUint32Array(value) && value.length === width / 4) stored.set(value, (index * width) / 4);
      else setUnscaled(view, index * width, width, unscaled(value, type));
    });
    return newColumn(type, values.length, validity, { values: stored });
  },
  literals({ scale, precision, bitWidth }) {
    if (bitWidth !== 128) return undefined;
    const literal = (keys: Data, at: number) =>
      `cast('${decimalText(unscaledAt(keys, at), scale)}' as decimal(${precision},${scale}))`;
    return { literal };
  },
};

/** A decimal's unscaled number, from its bytes, little-endian. */
function unscaledAt({ values, type }: Data, index: number): bigint {
  const { bitWidth } = type as DataType as Decimal;
  const words: Uint32Array = values.subarray((index * bitWidth) / 32, ((index + 1) * bitWidth) / 32);
  return BigInt.asIntN(
    bitWidth,
    words.reduceRight((sum, word) => (sum << 32n) | BigInt(word), 0n),
  );
}

function setUnscaled(view: DataView, at: number, width: number, value: bigint): void {
  if (BigInt.asIntN(width * 8, value) !== value) throw new Problem(`${value} does not fit ${width * 8} bits`);
  for (let word = 0; word < width; word += 4) {
    view.setUint32(at + word, Number(BigInt.asUintN(32, value >> BigInt(8 * word))), true);
  }
}

function decimalOfRow(value: unknown, { scale, precision }: Decimal): bigint {
  const isText = typeof value === "string" || typeof value === "bigint" || typeof value === "number";
  const parts = isText ? /^([+-]?)(\d+)(?:\.(\d+))?$/.exec(String(value)) : null;
  const [, sign, whole = "", fraction = ""] = parts ?? [];
  const significant = fraction.replace(/0+$/, "");
  if (parts === null || significant.length > scale) {
    throw new Problem(`${show(value)} is not a decimal with ${scale} digits after the point`);
  }
  const size = BigInt(whole + significant.padEnd(scale, "0"));
  if (size >= 10n ** BigInt(precision)) {
    throw new Problem(`${show(value)} has more digits than the column's ${precision}`);
  }
  return sign === "-" ? -size : size;
}

function decimalOfJson(value: unknown, { scale }: Decimal): bigint {
  if (typeof value !== "string") throw new Problem(`${show(value)} is not a decimal of scale ${scale}`);
  return parseDecimal(value, scale);
}

/** `-12.50` for -1250 of scale 2; `12000` for 12 of scale -3. */
export function decimalText(unscaled: bigint, scale: number): string {
  if (scale <= 0) return unscaled === 0n ? "0" : `${unscaled}${"0".repeat(-scale)}`;
  const negative = unscaled < 0n;
  const digits = String(negative ? -unscaled : unscaled).padStart(scale + 1, "0");
  return `${negative ? "-" : ""}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

export function parseDecimal(text: string, scale: number): bigint {
  const match = text.length <= 1200 ? /^(-?\d+)(?:\.(\d+))?$/.exec(text) : null;
  const [, whole = "", part = ""] = match ?? [];
  const factor = 10n ** BigInt(Math.max(-scale, 0));
  const value = match !== null && part.length === Math.max(scale, 0) ? BigInt(whole + part) : undefined;
  if (value === undefined || value % factor !== 0n)
    throw new Problem(`${JSON.stringify(text.slice(0, 80))} is not a decimal of scale ${scale}`);
  return value / factor;
}
