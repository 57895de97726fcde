import { types } from "node:util";
import type { Data, DataType } from "apache-arrow";
import { arrow } from "../arrow.ts";
import { badValue, type Place, show } from "../place.ts";
import { columnData, offsetsFor } from "./data.ts";
import { validityOf } from "./validity.ts";

/** UTF-16 that is no text: half of a surrogate pair. UTF-8 cannot hold it, and encoders replace it in silence. */
const LONE_SURROGATE = /\p{Surrogate}/u;

const NO_BYTES = new Uint8Array(0);

export function encodeText(type: DataType, values: readonly unknown[], place: Place): Data {
  const encoder = new TextEncoder();
  return variable(type, values, (value, index) => {
    if (typeof value !== "string") throw badValue(place, index, `${show(value)} is not a string`);
    if (LONE_SURROGATE.test(value)) {
      throw badValue(place, index, `${show(value)} holds half of a surrogate pair, which UTF-8 cannot store`);
    }
    return encoder.encode(value);
  });
}

export function encodeBytes(type: DataType, values: readonly unknown[], place: Place): Data {
  const toBytes = (value: unknown, index: number): Uint8Array => {
    const bytes = bytesOf(value);
    if (bytes === undefined) throw badValue(place, index, `${show(value)} is not binary data (a Uint8Array)`);
    return bytes;
  };
  if (!arrow.DataType.isFixedSizeBinary(type)) return variable(type, values, toBytes);
  const width = type.byteWidth;
  const data = new Uint8Array(values.length * width);
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    if (value === null || value === undefined) continue;
    const bytes = toBytes(value, index);
    if (bytes.length !== width) {
      throw badValue(place, index, `${bytes.length} bytes where the column holds ${width}`);
    }
    data.set(bytes, index * width);
  }
  return columnData(type, values.length, validityOf(values), { values: data });
}

/** The bytes of a Uint8Array, Buffer, ArrayBuffer or DataView; other typed arrays are lists of numbers. */
export function bytesOf(value: unknown): Uint8Array | undefined {
  if (types.isUint8Array(value)) return value;
  if (types.isArrayBuffer(value)) return new Uint8Array(value);
  if (types.isDataView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return undefined;
}

function variable(
  type: DataType,
  values: readonly unknown[],
  toBytes: (value: unknown, index: number) => Uint8Array,
): Data {
  const pieces = values.map((value, index) =>
    value === null || value === undefined ? NO_BYTES : toBytes(value, index),
  );
  const ends = new Float64Array(values.length + 1);
  for (let index = 0; index < pieces.length; index++) {
    ends[index + 1] = (ends[index] ?? 0) + (pieces[index]?.length ?? 0);
  }
  const bytes = new Uint8Array(ends[values.length] ?? 0);
  for (const [index, piece] of pieces.entries()) bytes.set(piece, ends[index]);
  return columnData(type, values.length, validityOf(values), {
    offsets: offsetsFor(type, ends),
    values: bytes,
  });
}
