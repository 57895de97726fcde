import { hash } from "node:crypto";
import type { Data, DataType } from "apache-arrow";
import { arrow } from "./arrow.ts";
import { bitAt, bytesIn, byteWidth, rangeAt } from "./column-read.ts";
import { valuesOf } from "./decode.ts";
import { encodeColumn } from "./encode/encode-column.ts";

/** Bytes of a key in a `KeySet`: 15 of the key itself or of its digest, and one that tells which. */
export const KEY_BYTES = 16;
const DIGEST = 0x80;

/**
 * One row's key as 16 bytes that differ where the keys differ: the key's own bytes where they fit into 15,
 * else 120 bits of its SHA-256, so that two keys are never taken for one by accident, nor by design.
 */
export function keyReader(columns: readonly Data[]): (index: number) => Uint8Array {
  const readers = columns.map(bytesReader);
  const only = readers.length === 1 ? readers[0] : undefined;
  const key = new Uint8Array(KEY_BYTES);
  return (index) => {
    const bytes = only === undefined ? concat(readers.map((read) => read(index))) : only(index);
    key.fill(0);
    const fits = bytes.length < KEY_BYTES;
    key.set(fits ? bytes : hash("sha256", bytes, "buffer").subarray(0, KEY_BYTES - 1));
    key[KEY_BYTES - 1] = fits ? bytes.length : DIGEST;
    return key;
  };
}

/** The bytes of each value of a column without nulls; equal values have equal bytes. */
function bytesReader(data: Data): (index: number) => Uint8Array {
  const type: DataType = data.type;
  const { DataType: Is } = arrow;
  if (Is.isDictionary(type)) {
    const field = new arrow.Field("", type.dictionary, true);
    return bytesReader(encodeColumn(field, valuesOf(data), { column: "", rowOf: (index) => index }));
  }
  if (Is.isBool(type)) return (index) => Uint8Array.of(bitAt(data.values, data.offset + index) ? 1 : 0);
  const bytes = bytesIn(data.values);
  const width = byteWidth(type);
  if (width !== undefined) return (index) => bytes.subarray(index * width, (index + 1) * width);
  return (index) => bytes.subarray(...rangeAt(data, index));
}

/** Each part after its length, so that ("ab", "c") is not ("a", "bc"). */
function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + 4 + part.length, 0));
  const view = new DataView(whole.buffer);
  let at = 0;
  for (const part of parts) {
    view.setUint32(at, part.length);
    whole.set(part, at + 4);
    at += 4 + part.length;
  }
  return whole;
}
