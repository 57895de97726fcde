import { Buffer } from "node:buffer";
import { UnsupportedError } from "../../../errors.ts";
import { MAX_LINE_BYTES } from "../limits.ts";

const START_BYTES = 1024 * 1024;
/** A buffer that one long row made is not kept for ever. */
const MOST_KEPT = 16 * START_BYTES;
/** Bytes of binary that become base64 in one step; a multiple of 3, so that the pieces join. */
const BASE64_STEP = 48 * 1024;

const NEWLINE = 0x0a;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const MINUS = 0x2d;
const ZERO = 0x30;

/** JSON text as bytes, made in place: a string for each value would cost several times as much. */
export class JsonOutput {
  #bytes = Buffer.allocUnsafeSlow(START_BYTES);
  #other = Buffer.allocUnsafeSlow(START_BYTES);
  #length = 0;
  #lineStart = 0;

  get length(): number {
    return this.#length;
  }

  /** The line ends here, and the next begins. @throws UnsupportedError where it is too long for a reader */
  endLine(): void {
    this.byte(NEWLINE);
    this.#assertLine(this.#length);
    this.#lineStart = this.#length;
  }

  #assertLine(end: number): void {
    if (end - this.#lineStart <= MAX_LINE_BYTES) return;
    throw new UnsupportedError(
      `A row has more than ${MAX_LINE_BYTES / 1024 / 1024} MB as JSON; write this table with the format "arrow".`,
    );
  }

  /** The bytes so far. They stay until the `clear` after the next one: a write of them may be under way. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
    this.#lineStart = 0;
    [this.#bytes, this.#other] = [this.#other, this.#bytes];
    if (this.#bytes.byteLength > MOST_KEPT) this.#bytes = Buffer.allocUnsafeSlow(START_BYTES);
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#bytes.byteLength) return;
    this.#assertLine(needed);
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.byteLength * 2));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }

  byte(byte: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = byte;
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.byteLength);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.byteLength;
  }

  /** Text of ASCII characters, as it is. */
  ascii(text: string): void {
    const size = text.length;
    this.#reserve(size);
    const at = this.#length;
    for (let index = 0; index < size; index++) this.#bytes[at + index] = text.charCodeAt(index);
    this.#length = at + size;
  }

  /** Text of ASCII characters that need no escape, as a JSON string. */
  quoted(text: string): void {
    this.byte(QUOTE);
    this.ascii(text);
    this.byte(QUOTE);
  }

  /** A safe integer. */
  integer(value: number): void {
    this.#reserve(20);
    let rest = value;
    if (value < 0) {
      this.#bytes[this.#length++] = MINUS;
      rest = -value;
    }
    this.digits(rest, digitCount(rest));
  }

  /** `value` in `count` digits, with zeros before it. */
  digits(value: number, count: number): void {
    this.#reserve(count);
    const bytes = this.#bytes;
    let rest = value;
    let at = this.#length + count;
    while (rest > 0x3fffffff && at > this.#length) {
      const quotient = Math.floor(rest / 10);
      bytes[--at] = ZERO + (rest - quotient * 10);
      rest = quotient;
    }
    let small = rest | 0;
    while (at > this.#length) {
      const quotient = (small / 10) | 0;
      bytes[--at] = ZERO + (small - quotient * 10);
      small = quotient;
    }
    this.#length += count;
  }

  /** Valid UTF-8 as a JSON string. Everything but quotes, backslashes and control characters stays as it is. */
  utf8(source: Uint8Array, start: number, end: number): void {
    const size = end - start;
    this.#reserve(6 * Math.min(size, 1024) + 2);
    this.#bytes[this.#length++] = QUOTE;
    for (let from = start; from < end; from += 1024) this.#escaped(source, from, Math.min(end, from + 1024));
    this.byte(QUOTE);
  }

  #escaped(source: Uint8Array, start: number, end: number): void {
    this.#reserve(6 * (end - start));
    const bytes = this.#bytes;
    let at = this.#length;
    for (let index = start; index < end; index++) {
      const byte = source[index] ?? 0;
      if (byte >= 0x20 && byte !== QUOTE && byte !== BACKSLASH) {
        bytes[at++] = byte;
      } else {
        at += bytes.write(ESCAPES[byte] ?? "", at, "latin1");
      }
    }
    this.#length = at;
  }

  /** Bytes in base64, as a JSON string. */
  base64(source: Uint8Array): void {
    this.byte(QUOTE);
    for (let from = 0; from < source.byteLength; from += BASE64_STEP) {
      const piece = source.subarray(from, from + BASE64_STEP);
      const text = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength).toString("base64");
      this.#reserve(text.length);
      this.#length += this.#bytes.write(text, this.#length, "latin1");
    }
    this.byte(QUOTE);
  }
}

function digitCount(value: number): number {
  let count = 1;
  for (let limit = 10; value >= limit && count < 16; limit *= 10) count++;
  return count;
}

/** The JSON escape of each byte that needs one. */
const ESCAPES: Readonly<Record<number, string>> = Object.fromEntries(
  [...Array(0x20).keys(), QUOTE, BACKSLASH].map((byte) => [
    byte,
    JSON.stringify(String.fromCharCode(byte)).slice(1, -1),
  ]),
);
