import type { Data, DataType, Field, Float, RecordBatch, Schema, Vector } from "apache-arrow";
import { arrow } from "./arrow.ts";

// The buffers of columns, apache-arrow's `Data`: how they are made and read, whatever their type.

/** What a column is made of; which parts there are is a matter of its type. */
interface ColumnParts {
  readonly offsets?: Int32Array | BigInt64Array | undefined;
  readonly values?: ArrayBufferView | undefined;
  readonly children?: readonly Data[] | undefined;
  readonly dictionary?: Vector | undefined;
}

/** Which values of a column are null. */
export interface Validity {
  readonly nullCount: number;
  /** A bit a value, set where it is there. Absent where nothing is null. */
  readonly bitmap?: Uint8Array | undefined;
}

const NO_NULLS: Validity = { nullCount: 0 };

/** A column from its buffers, as they are: apache-arrow's own `makeData` guesses lengths and null counts. */
export function newColumn(
  type: DataType,
  length: number,
  { nullCount, bitmap }: Validity,
  { offsets, values, children = [], dictionary }: ColumnParts = {},
): Data {
  const slots = [offsets, values, bitmap ?? new Uint8Array(0)] as never;
  return new arrow.Data(type, 0, length, nullCount, slots, [...children], dictionary);
}

export function newBatch(schema: Schema, rows: number, columns: readonly Data[]): RecordBatch {
  const struct = newColumn(new arrow.Struct(schema.fields), rows, NO_NULLS, { children: columns });
  return new arrow.RecordBatch(schema, struct as never);
}

/** A column of a batch. */
export function columnOf(batch: RecordBatch, name: string): Data {
  const [data] = batch.getChild(name)?.data ?? [];
  if (data === undefined) throw new TypeError(`The batch has no column ${JSON.stringify(name)}.`);
  return data;
}

/** Validity by asking for each value; `undefined` where none can be null. */
export function validityOf(length: number, isThere: ((index: number) => boolean) | undefined): Validity {
  if (isThere === undefined) return NO_NULLS;
  const bitmap = new Uint8Array(bitmapBytes(length));
  let nullCount = 0;
  for (let index = 0; index < length; index++) {
    if (isThere(index)) setBit(bitmap, index);
    else nullCount++;
  }
  return nullCount === 0 ? NO_NULLS : { nullCount, bitmap };
}

/** apache-arrow's number of the type of nulls; asked for each value, so without its library, which is loaded late. */
const NULL_TYPE = 1;

/** Whether the value at `index` is there. */
export function isValid(data: Data, index: number): boolean {
  if (data.typeId === NULL_TYPE) return false;
  const bitmap: Uint8Array | undefined = data.nullBitmap;
  return bitmap === undefined || bitmap.length === 0 || bitAt(bitmap, data.offset + index);
}

/** The index of the first null, or -1. */
export function firstNull(data: Data): number {
  if (data.typeId === NULL_TYPE) return data.length > 0 ? 0 : -1;
  const bitmap: Uint8Array | undefined = data.nullBitmap;
  if (bitmap === undefined || bitmap.length === 0) return -1;
  for (let index = 0; index < data.length; index++) if (!bitAt(bitmap, data.offset + index)) return index;
  return -1;
}

/** Bytes of a bitmap of `length` bits. */
export function bitmapBytes(length: number): number {
  return (length + 7) >> 3;
}

/** Bit `index` of a bitmap, counted from its start. */
export function bitAt(bitmap: Uint8Array, index: number): boolean {
  return ((bitmap[index >> 3] ?? 0) & (1 << (index & 7))) !== 0;
}

export function setBit(bitmap: Uint8Array, index: number): void {
  bitmap[index >> 3] = (bitmap[index >> 3] ?? 0) | (1 << (index & 7));
}

/** How many of the first `length` bits are set. */
export function countBits(bitmap: Uint8Array, length: number): number {
  let count = 0;
  for (let index = 0; index < length >> 3; index++) count += ones(bitmap[index] ?? 0);
  return (length & 7) === 0 ? count : count + ones((bitmap[length >> 3] ?? 0) & ((1 << (length & 7)) - 1));
}

function ones(byte: number): number {
  const pairs = byte - ((byte >> 1) & 0x55);
  const nibbles = (pairs & 0x33) + ((pairs >> 2) & 0x33);
  return (nibbles + (nibbles >> 4)) & 0x0f;
}

/** Where the values of a variable-width or list column start and end. */
export function rangeAt(data: Data, index: number): [start: number, end: number] {
  const offsets: Int32Array | BigInt64Array = data.valueOffsets;
  return [Number(offsets[index] ?? 0), Number(offsets[index + 1] ?? 0)];
}

/** The same for all values of a column together. */
export function rangeOf(data: Data): [start: number, end: number] {
  return data.length === 0 ? [0, 0] : [rangeAt(data, 0)[0], rangeAt(data, data.length - 1)[1]];
}

/** Offsets as wide as the type wants them, from ends that start with 0. */
export function offsetsFor(type: DataType, ends: ArrayLike<number>): Int32Array | BigInt64Array {
  return hasLargeOffsets(type) ? BigInt64Array.from(ends, BigInt) : Int32Array.from(ends);
}

/** Large strings and large binaries have 64-bit offsets. */
function hasLargeOffsets(type: DataType): boolean {
  return arrow.DataType.isLargeUtf8(type) || arrow.DataType.isLargeBinary(type);
}

/** The first child of a list-like column. */
export function itemsOf(data: Data): Data {
  const child = data.children[0];
  if (child === undefined) throw new TypeError(`A column of ${data.type} has no items.`);
  return child;
}

/** The fields inside a type, none for those that have none. */
export function fieldsIn(type: DataType): readonly Field[] {
  return (type.children as readonly Field[] | null | undefined) ?? [];
}

/** The field of a list's items. */
export function itemField(type: DataType): Field {
  const [field] = fieldsIn(type);
  if (field === undefined) throw new TypeError(`The type ${type} has no items.`);
  return field;
}

/** A buffer's bytes, whatever kind of typed array it is. */
export function bytesIn(view: ArrayBufferView | undefined): Uint8Array {
  return view === undefined
    ? new Uint8Array(0)
    : new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** The bytes of the value at an index of a variable-width column. */
export function bytesAt(data: Data, index: number): Uint8Array {
  return bytesIn(data.values).subarray(...rangeAt(data, index));
}

export type Floats = Uint16Array | Float32Array | Float64Array;

/** Room for the values of a float column. */
export function newFloats({ precision }: Float, length: number): Floats {
  if (precision === arrow.Precision.HALF) return new Uint16Array(length);
  return precision === arrow.Precision.SINGLE ? new Float32Array(length) : new Float64Array(length);
}
