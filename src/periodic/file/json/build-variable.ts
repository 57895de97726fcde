import { Buffer } from "node:buffer";
import type { Data, DataType } from "apache-arrow";
import { column, hasLargeOffsets, isText } from "../column.ts";
import { Problem } from "../problem.ts";
import type { ColumnBuilder } from "./build-column.ts";
import { grown, Validity } from "./growing.ts";

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** Booleans. */
export class BitsBuilder implements ColumnBuilder {
  readonly #type: DataType;
  readonly #validity = new Validity();
  #bits = new Uint8Array(64);

  constructor(type: DataType) {
    this.#type = type;
  }

  get length(): number {
    return this.#validity.length;
  }

  append(value: unknown): void {
    if (typeof value !== "boolean" && value !== null) throw new Problem("a value is neither true nor false");
    const at = this.length;
    this.#bits = grown(this.#bits, (at >> 3) + 1);
    if (value) this.#bits[at >> 3] = (this.#bits[at >> 3] ?? 0) | (1 << (at & 7));
    this.#validity.push(value !== null);
  }

  appendUnseen(nullable: boolean): void {
    this.append(nullable ? null : false);
  }

  finish(): Data {
    const values = this.#bits.subarray(0, (this.length + 7) >> 3);
    return column(this.#type, this.length, this.#validity.nullCount, {
      values,
      validity: this.#validity.bitmap(),
    });
  }
}

/** Strings, and binary in base64. */
export class VariableBuilder implements ColumnBuilder {
  readonly #type: DataType;
  readonly #isText: boolean;
  readonly #validity = new Validity();
  readonly #ends: number[] = [0];
  #bytes = Buffer.allocUnsafeSlow(1024);
  #size = 0;

  constructor(type: DataType) {
    this.#type = type;
    this.#isText = isText(type);
  }

  get length(): number {
    return this.#validity.length;
  }

  append(value: unknown): void {
    if (value !== null) this.#size += this.#isText ? this.#appendText(value) : this.#appendBase64(value);
    this.#ends.push(this.#size);
    this.#validity.push(value !== null);
  }

  #appendText(value: unknown): number {
    if (typeof value !== "string") throw new Problem("a value is no text");
    this.#reserve(value.length * 3);
    return this.#bytes.write(value, this.#size, "utf8");
  }

  #appendBase64(value: unknown): number {
    if (typeof value !== "string" || !BASE64.test(value)) throw new Problem("a value is no base64");
    this.#reserve((value.length / 4) * 3);
    return this.#bytes.write(value, this.#size, "base64");
  }

  #reserve(more: number): void {
    if (this.#size + more <= this.#bytes.byteLength) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#size + more, this.#bytes.byteLength * 2));
    this.#bytes.copy(larger, 0, 0, this.#size);
    this.#bytes = larger;
  }

  appendUnseen(nullable: boolean): void {
    this.append(nullable ? null : "");
  }

  finish(): Data {
    const large = hasLargeOffsets(this.#type);
    const offsets = large ? BigInt64Array.from(this.#ends, BigInt) : Int32Array.from(this.#ends);
    const values = new Uint8Array(this.#bytes.buffer, 0, this.#size);
    const { nullCount } = this.#validity;
    return column(this.#type, this.length, nullCount, { offsets, values, validity: this.#validity.bitmap() });
  }
}
