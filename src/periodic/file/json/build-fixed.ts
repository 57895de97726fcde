import { Buffer } from "node:buffer";
import type { Data, DataType } from "apache-arrow";
import { arrow } from "../../../lance/predicates/arrow.ts";
import { byteWidth } from "../../../lance/predicates/column-read.ts";
import { column } from "../column.ts";
import { Problem } from "../problem.ts";
import { BatchFull, MAX_BUILT_BYTES } from "./batch-full.ts";
import type { ColumnBuilder } from "./build-column.ts";
import { parseDecimal, setUnscaled } from "./decimal.ts";
import { isTemporal, type Temporal } from "./encode-temporal.ts";
import { parseSpecial } from "./floats.ts";
import { grown, Validity } from "./growing.ts";
import { halfBits } from "./half.ts";
import type { NumberList } from "./number-text.ts";
import { parseDate, parseDateMillisecond, parseInteger, parseTime, parseTimestamp } from "./temporal.ts";

/** Stores one value at byte `at`. */
type Store = (view: DataView, at: number, value: unknown) => void;

/** A builder for values that all have the same number of bytes. */
export function fixedBuilder(type: DataType): ColumnBuilder {
  const width = byteWidth(type);
  if (width === undefined) throw new TypeError(`No column of ${type} can be built.`);
  return new FixedBuilder(type, width, storeOf(type, width));
}

class FixedBuilder implements ColumnBuilder {
  readonly #type: DataType;
  readonly #width: number;
  readonly #store: Store;
  readonly #validity = new Validity();
  #bytes = new Uint8Array(1024);
  #view = new DataView(this.#bytes.buffer);

  constructor(type: DataType, width: number, store: Store) {
    this.#type = type;
    this.#width = width;
    this.#store = store;
  }

  get length(): number {
    return this.#validity.length;
  }

  append(value: unknown): void {
    const at = this.#makeRoom();
    if (value !== null) this.#store(this.#view, at, value);
    this.#validity.push(value !== null);
  }

  appendUnseen(nullable: boolean): void {
    this.#makeRoom();
    this.#validity.push(!nullable);
  }

  /** In one go: a call for each number of a vector would cost twice the time. */
  appendNumbers(list: NumberList): void {
    const at = this.#makeRoom(list.length);
    const [view, width, { values, length }] = [this.#view, this.#width, list];
    if (width === 4) {
      for (let index = 0; index < length; index++) view.setFloat32(at + index * 4, values[index] ?? 0, true);
    } else {
      for (let index = 0; index < length; index++) this.#store(view, at + index * width, values[index]);
    }
    this.#validity.pushValid(length);
  }

  /** Where the next value goes; zeros are there. */
  #makeRoom(count = 1): number {
    const at = this.length * this.#width;
    const end = at + this.#width * count;
    if (end > MAX_BUILT_BYTES) throw new BatchFull();
    if (end > this.#bytes.byteLength) {
      this.#bytes = grown(this.#bytes, end);
      this.#view = new DataView(this.#bytes.buffer);
    }
    return at;
  }

  finish(): Data {
    const Values = this.#type.ArrayType;
    const size = this.length * this.#width;
    const values = new Values(this.#bytes.buffer, 0, size / Values.BYTES_PER_ELEMENT);
    return column(this.#type, this.length, this.#validity.nullCount, {
      values,
      validity: this.#validity.bitmap(),
    });
  }
}

function storeOf(type: DataType, width: number): Store {
  const { DataType: Is } = arrow;
  if (Is.isFloat(type)) return storeFloat(type.precision);
  if (Is.isInt(type)) return storeInteger(type.bitWidth, type.isSigned);
  if (Is.isDecimal(type)) {
    return (view, at, value) => setUnscaled(view, at, width, parseDecimal(asText(value), type.scale));
  }
  if (Is.isFixedSizeBinary(type)) {
    return (view, at, value) => {
      const bytes = Buffer.from(asText(value), "base64");
      if (bytes.byteLength !== width || bytes.toString("base64") !== value)
        throw new Problem(`a value is no base64 of ${width} bytes`);
      new Uint8Array(view.buffer).set(bytes, at);
    };
  }
  if (!isTemporal(type)) throw new TypeError(`No column of ${type} can be built.`);
  const parse = parserOf(type);
  return width === 4
    ? (view, at, value) => set32(view, at, parse(asText(value)))
    : (view, at, value) => set64(view, at, parse(asText(value)), true);
}

function storeFloat(precision: number): Store {
  if (precision === arrow.Precision.HALF) {
    return (view, at, value) =>
      view.setUint16(
        at,
        typeof value === "number" ? halfBits(value) : Number(parseSpecial(asText(value), 16)),
        true,
      );
  }
  if (precision === arrow.Precision.SINGLE) {
    return (view, at, value) => {
      if (typeof value === "number") view.setFloat32(at, value, true);
      else view.setUint32(at, Number(parseSpecial(asText(value), 32)), true);
    };
  }
  return (view, at, value) => {
    if (typeof value === "number") view.setFloat64(at, value, true);
    else view.setBigUint64(at, parseSpecial(asText(value), 64), true);
  };
}

function storeInteger(bits: number, isSigned: boolean): Store {
  if (bits === 64) return (view, at, value) => set64(view, at, parseInteger(asText(value)), isSigned);
  const min = isSigned ? -(2 ** (bits - 1)) : 0;
  const max = 2 ** (isSigned ? bits - 1 : bits) - 1;
  return (view, at, value) => {
    if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
      throw new Problem(`${shown(value)} is no integer of ${bits} bits`);
    }
    if (bits === 32) view.setInt32(at, value, true);
    else if (bits === 16) view.setInt16(at, value, true);
    else view.setInt8(at, value);
  };
}

function set64(view: DataView, at: number, value: bigint, isSigned: boolean): void {
  if ((isSigned ? BigInt.asIntN(64, value) : BigInt.asUintN(64, value)) !== value)
    throw new Problem(`${value} does not fit 64 bits`);
  view.setBigInt64(at, value, true);
}

function set32(view: DataView, at: number, value: bigint): void {
  if (BigInt.asIntN(32, value) !== value) throw new Problem(`${value} does not fit 32 bits`);
  view.setInt32(at, Number(value), true);
}

function parserOf(type: Temporal): (text: string) => bigint {
  const { DataType: Is } = arrow;
  if (Is.isTimestamp(type)) return (text) => parseTimestamp(text, type.unit, Boolean(type.timezone));
  if (Is.isTime(type)) return (text) => parseTime(text, type.unit);
  if (Is.isDuration(type)) return parseInteger;
  return type.unit === arrow.DateUnit.DAY ? parseDate : parseDateMillisecond;
}

function asText(value: unknown): string {
  if (typeof value !== "string") throw new Problem(`${shown(value)} is no value of its type`);
  return value;
}

function shown(value: unknown): string {
  return String(JSON.stringify(value)).slice(0, 80);
}
