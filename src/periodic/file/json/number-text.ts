import { Buffer } from "node:buffer";

const MINUS = 0x2d;
const PLUS = 0x2b;
const POINT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const EXPONENT = 0x65;

/** Decimal digits that a double holds whatever they are. */
const EXACT_DIGITS = 15;

/** The powers of ten that a double holds exactly. */
const POWERS = Array.from({ length: 23 }, (_, power) => 10 ** power);

/**
 * Reads numbers out of JSON text in place, the same that `JSON.parse` makes of them, without a string or an
 * object for each.
 */
export class NumberText {
  /** Just behind the number that was read last. */
  end = 0;
  value = 0;

  /** Reads the number that begins at `start`; false where none does. */
  read(bytes: Uint8Array, start: number): boolean {
    let at = start;
    const negative = bytes[at] === MINUS;
    if (negative) at++;
    const first = at;
    let digits = 0;
    let mantissa = 0;
    for (let byte = bytes[at] ?? 0; byte >= ZERO && byte <= NINE; byte = bytes[++at] ?? 0) {
      mantissa = mantissa * 10 + (byte - ZERO);
      if (mantissa > 0) digits++;
    }
    if (at === first || (bytes[first] === ZERO && at > first + 1)) return false;
    let power = 0;
    if (bytes[at] === POINT) {
      const point = at++;
      for (let byte = bytes[at] ?? 0; byte >= ZERO && byte <= NINE; byte = bytes[++at] ?? 0) {
        mantissa = mantissa * 10 + (byte - ZERO);
        if (mantissa > 0) digits++;
      }
      power = point + 1 - at;
      if (power === 0) return false;
    }
    if (((bytes[at] ?? 0) | 0x20) === EXPONENT) {
      const sign = bytes[++at];
      if (sign === MINUS || sign === PLUS) at++;
      const from = at;
      let exponent = 0;
      for (let byte = bytes[at] ?? 0; byte >= ZERO && byte <= NINE; byte = bytes[++at] ?? 0) {
        exponent = Math.min(exponent * 10 + (byte - ZERO), 100_000);
      }
      if (at === from) return false;
      power += sign === MINUS ? -exponent : exponent;
    }
    this.end = at;
    const scale = POWERS[Math.abs(power)];
    if (digits <= EXACT_DIGITS && scale !== undefined) {
      // Both are exact, so that the one rounding is the right one.
      const value = power < 0 ? mantissa / scale : mantissa * scale;
      this.value = negative ? -value : value;
    } else {
      this.value = Number(Buffer.from(bytes.buffer, bytes.byteOffset + start, at - start).toString("latin1"));
    }
    return true;
  }
}

/** Numbers of a list, in memory that is used again for the next one. */
export class NumberList {
  values = new Float64Array(64);
  length = 0;

  push(value: number): void {
    if (this.length === this.values.length) {
      const larger = new Float64Array(this.length * 2);
      larger.set(this.values);
      this.values = larger;
    }
    this.values[this.length++] = value;
  }

  toJSON(): number[] {
    return [...this.values.subarray(0, this.length)];
  }
}
