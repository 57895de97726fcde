import { hash } from "node:crypto";
import type { Data, DataType, FixedSizeList, RecordBatch } from "apache-arrow";
import { arrow } from "./arrow.ts";
import { bitAt, bytesIn, columnOf, isValid, itemsOf, rangeAt } from "./column.ts";
import { DIGEST_BYTES } from "./digest-table.ts";
import { floatAt } from "./number-codecs.ts";
import { byteWidth, layoutOf } from "./types.ts";

const NULL = 0;
const VALUE = 1;

/** Writes the value at an index; equal values of one type make equal bytes, others never do. */
type Writer = (out: ByteSink, index: number) => void;

/** Answers with the digest of a row. The answer is valid until the next call. */
type Digests = (index: number) => Uint8Array;

/**
 * Digests of rows over their values in these columns: 128 bits of the SHA-256, so that no two rows are taken for one
 * by accident, nor by design.
 */
export function rowDigests(batch: RecordBatch, columns: readonly string[]): Digests {
  const writers = columns.map((name) => writerOf(columnOf(batch, name)));
  const out = new ByteSink();
  return (index) => {
    out.length = 0;
    for (const write of writers) write(out, index);
    return hash("sha256", out.bytes, "buffer").subarray(0, DIGEST_BYTES);
  };
}

/** Marks a digest that is none, but the key itself; else its last byte is the key's length. */
const DIGEST = 0x80;

/**
 * Digests of keys as filters compare them, so that -0 of a float is 0. A key of up to 15 bytes is its own digest, which
 * takes no time to compute; of a longer one it is 120 bits of the SHA-256.
 */
export function keyDigests(columns: readonly Data[]): Digests {
  const writers = columns.map(keyWriter);
  const out = new ByteSink();
  const digest = new Uint8Array(DIGEST_BYTES);
  return (index) => {
    out.length = 0;
    for (const write of writers) write(out, index);
    const { bytes } = out;
    digest.fill(0);
    const fits = bytes.length < DIGEST_BYTES;
    digest.set(fits ? bytes : hash("sha256", bytes, "buffer").subarray(0, DIGEST_BYTES - 1));
    digest[DIGEST_BYTES - 1] = fits ? bytes.length : DIGEST;
    return digest;
  };
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
  const { precision } = type;
  const zero = new Uint8Array(byteWidth(type) ?? 0);
  return (out, at) => {
    if (!Object.is(floatAt(data, precision, at), -0) || !isValid(data, at)) return write(out, at);
    out.byte(VALUE);
    out.copy(zero, 0, zero.length);
  };
}

function valueWriter(data: Data): Writer {
  const type: DataType = data.type;
  const bytes = bytesIn(data.values);
  switch (layoutOf(type)) {
    case "null":
      return () => undefined;
    case "bits":
      return (out, at) => out.byte(bitAt(data.values, data.offset + at) ? 1 : 0);
    case "fixed": {
      const width = byteWidth(type) ?? 0;
      return (out, at) => out.copy(bytes, at * width, (at + 1) * width);
    }
    case "bytes":
      return (out, at) => {
        const [start, end] = rangeAt(data, at);
        out.count(end - start);
        out.copy(bytes, start, end);
      };
    case "dictionary":
      return dictionaryWriter(data);
    case "struct": {
      const writers = data.children.map(writerOf);
      return (out, at) => {
        for (const write of writers) write(out, at);
      };
    }
    case "vector":
      return vectorWriter(data, (type as FixedSizeList).listSize);
    case "list": {
      const write = writerOf(itemsOf(data));
      return (out, at) => {
        const [start, end] = rangeAt(data, at);
        out.count(end - start);
        for (let item = start; item < end; item++) write(out, item);
      };
    }
  }
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
function vectorWriter(data: Data, size: number): Writer {
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
