import { hash } from "node:crypto";
import type { Data, DataType, RecordBatch } from "apache-arrow";
import { UnsupportedError } from "../errors.ts";
import { arrow } from "./arrow.ts";
import { bitAt, bytesIn, byteWidth, isValid, itemsOf, rangeAt } from "./column-read.ts";
import { DIGEST_BYTES } from "./digest-table.ts";
import { halfAt } from "./literals.ts";

const NULL = 0;
const VALUE = 1;

/** Writes the value at an index; equal values of one type make equal bytes, others never do. */
type Writer = (out: ByteSink, index: number) => void;

/**
 * Answers with the digest of a row: 128 bits of the SHA-256 over its values in these columns, so that no
 * two rows are taken for one by accident, nor by design. The answer is valid until the next call.
 */
export function rowDigests(batch: RecordBatch, columns: readonly string[]): (index: number) => Uint8Array {
  return digestsBy(columns.map((name) => writerOf(columnOf(batch, name))));
}

/** The same over a key as filters compare it: -0 of a float has the digest of 0. */
export function keyDigests(batch: RecordBatch, key: readonly string[]): (index: number) => Uint8Array {
  return digestsBy(key.map((name) => keyWriter(columnOf(batch, name))));
}

function digestsBy(writers: readonly Writer[]): (index: number) => Uint8Array {
  const out = new ByteSink();
  return (index) => {
    out.length = 0;
    for (const write of writers) write(out, index);
    return hash("sha256", out.bytes, "buffer").subarray(0, DIGEST_BYTES);
  };
}

/** A column of a batch. */
export function columnOf(batch: RecordBatch, name: string): Data {
  const [data] = batch.getChild(name)?.data ?? [];
  if (data === undefined) throw new TypeError(`The batch has no column ${JSON.stringify(name)}.`);
  return data;
}

class ByteSink {
  #buffer = new Uint8Array(1024);
  #view = new DataView(this.#buffer.buffer);
  length = 0;

  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.length);
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#buffer[this.length++] = value;
  }

  /** How many items or bytes follow, so that ("ab", "c") is not ("a", "bc"). */
  count(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.length, value);
    this.length += 4;
  }

  /** A part of `from`. Short ones byte by byte, which is faster than a view a value. */
  copy(from: Uint8Array, start: number, end: number): void {
    const size = end - start;
    this.#reserve(size);
    if (size > 32) this.#buffer.set(from.subarray(start, end), this.length);
    else for (let at = 0; at < size; at++) this.#buffer[this.length + at] = from[start + at] ?? 0;
    this.length += size;
  }

  #reserve(size: number): void {
    if (this.length + size <= this.#buffer.length) return;
    const wider = new Uint8Array(Math.max(this.#buffer.length * 2, this.length + size));
    wider.set(this.#buffer);
    this.#buffer = wider;
    this.#view = new DataView(wider.buffer);
  }
}

function writerOf(data: Data): Writer {
  const write = valueWriter(data);
  return (out, index) => {
    if (!isValid(data, index)) return out.byte(NULL);
    out.byte(VALUE);
    write(out, index);
  };
}

function keyWriter(data: Data): Writer {
  const write = writerOf(data);
  const type: DataType = data.type;
  if (!arrow.DataType.isFloat(type)) return write;
  const half = type.precision === arrow.Precision.HALF;
  const zero = new Uint8Array(byteWidth(type) ?? 0);
  return (out, at) => {
    const value = half ? halfAt(data, at) : Number(data.values[at]);
    if (!Object.is(value, -0) || !isValid(data, at)) return write(out, at);
    out.byte(VALUE);
    out.copy(zero, 0, zero.length);
  };
}

function valueWriter(data: Data): Writer {
  const type: DataType = data.type;
  const { DataType: Is } = arrow;
  if (Is.isNull(type)) return () => undefined;
  if (Is.isBool(type)) return (out, at) => out.byte(bitAt(data.values, data.offset + at) ? 1 : 0);
  const width = byteWidth(type);
  const bytes = bytesIn(data.values);
  if (width !== undefined) return (out, at) => out.copy(bytes, at * width, (at + 1) * width);
  if (Is.isUtf8(type) || Is.isLargeUtf8(type) || Is.isBinary(type) || Is.isLargeBinary(type)) {
    return (out, at) => {
      const [start, end] = rangeAt(data, at);
      out.count(end - start);
      out.copy(bytes, start, end);
    };
  }
  if (Is.isDictionary(type)) return dictionaryWriter(data);
  if (Is.isStruct(type)) {
    const writers = data.children.map(writerOf);
    return (out, at) => {
      for (const write of writers) write(out, at);
    };
  }
  if (Is.isFixedSizeList(type)) return fixedListWriter(data, type.listSize);
  if (Is.isList(type) || Is.isMap(type)) {
    const write = writerOf(itemsOf(data));
    return (out, at) => {
      const [start, end] = rangeAt(data, at);
      out.count(end - start);
      for (let item = start; item < end; item++) write(out, item);
    };
  }
  throw new UnsupportedError(`Rows with a column of the type ${type} cannot be compared.`);
}

function dictionaryWriter(data: Data): Writer {
  const writers = (data.dictionary?.data ?? []).map((values) => ({
    length: values.length,
    write: writerOf(values),
  }));
  return (out, at) => {
    let code = Number(data.values[at]);
    for (const { length, write } of writers) {
      if (code < length) return write(out, code);
      code -= length;
    }
    throw new TypeError("A dictionary column came without its dictionary.");
  };
}

/** Vectors: all at once where no component is null. */
function fixedListWriter(data: Data, size: number): Writer {
  const items = itemsOf(data);
  const width = byteWidth(items.type);
  const bytes = bytesIn(items.values);
  const write = writerOf(items);
  const nullIn = (at: number) => {
    for (let item = at * size; item < (at + 1) * size; item++) if (!isValid(items, item)) return true;
    return false;
  };
  return (out, at) => {
    if (width !== undefined && (items.nullCount === 0 || !nullIn(at))) {
      out.byte(VALUE);
      return out.copy(bytes, at * size * width, (at + 1) * size * width);
    }
    out.byte(NULL);
    for (let item = at * size; item < (at + 1) * size; item++) write(out, item);
  };
}
