import type { Data, DataType } from "apache-arrow";
import { arrow } from "./arrow.ts";

/** Whether the value at `index` is there. */
export function isValid(data: Data, index: number): boolean {
  if (arrow.DataType.isNull(data.type)) return false;
  const bitmap: Uint8Array | undefined = data.nullBitmap;
  return bitmap === undefined || bitmap.length === 0 || bitAt(bitmap, data.offset + index);
}

/** The index of the first null, or -1. */
export function firstNull(data: Data): number {
  if (arrow.DataType.isNull(data.type)) return data.length > 0 ? 0 : -1;
  const bitmap: Uint8Array | undefined = data.nullBitmap;
  if (bitmap === undefined || bitmap.length === 0) return -1;
  for (let index = 0; index < data.length; index++) if (!bitAt(bitmap, data.offset + index)) return index;
  return -1;
}

/** Bit `index` of a bitmap, counted from its start. */
export function bitAt(bitmap: Uint8Array, index: number): boolean {
  return ((bitmap[index >> 3] ?? 0) & (1 << (index & 7))) !== 0;
}

/** Where the values of a variable-width or list column start and end. */
export function rangeAt(data: Data, index: number): [start: number, end: number] {
  const offsets: Int32Array | BigInt64Array = data.valueOffsets;
  return [Number(offsets[index] ?? 0), Number(offsets[index + 1] ?? 0)];
}

/** The first child of a list-like column. */
export function itemsOf(data: Data): Data {
  const child = data.children[0];
  if (child === undefined) throw new TypeError(`A column of ${data.type} has no items.`);
  return child;
}

/** Bytes of one value of a type of fixed width, or undefined for bits, variable widths and nested types. */
export function byteWidth(type: DataType): number | undefined {
  const { DataType: Is } = arrow;
  if (Is.isInt(type) || Is.isDecimal(type) || Is.isTime(type)) return type.bitWidth / 8;
  if (Is.isFloat(type)) return 2 << type.precision;
  if (Is.isFixedSizeBinary(type)) return type.byteWidth;
  if (Is.isDate(type)) return type.unit === arrow.DateUnit.DAY ? 4 : 8;
  if (Is.isTimestamp(type) || Is.isDuration(type)) return 8;
  return undefined;
}

/** A buffer's bytes, whatever kind of typed array it is. */
export function bytesIn(view: ArrayBufferView | undefined): Uint8Array {
  return view === undefined
    ? new Uint8Array(0)
    : new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}
