import type { Data, DataType, RecordBatch } from "apache-arrow";
import { UnsupportedError } from "../errors.ts";
import { arrow } from "./arrow.ts";
import { bitAt, bytesIn, byteWidth, isValid, itemsOf, rangeAt } from "./column-read.ts";

/** The rows at `indices`, with these columns, in buffers of their own. */
export function takeRows(
  batch: RecordBatch,
  columns: readonly string[],
  indices: ArrayLike<number>,
): RecordBatch {
  const fields = columns.map((name) => {
    const field = batch.schema.fields.find((candidate) => candidate.name === name);
    if (field === undefined) throw new TypeError(`The batch has no column ${JSON.stringify(name)}.`);
    return field;
  });
  const schema = new arrow.Schema(fields, batch.schema.metadata);
  const children = fields.map(({ name }) => {
    const [data] = batch.getChild(name)?.data ?? [];
    if (data === undefined) throw new TypeError(`The batch has no column ${JSON.stringify(name)}.`);
    return take(data, indices);
  });
  const struct = new arrow.Struct(fields);
  return new arrow.RecordBatch(schema, newData(struct, indices.length, undefined, { children }) as never);
}

interface Buffers {
  readonly offsets?: Int32Array | BigInt64Array;
  readonly values?: ArrayBufferView;
  readonly children?: readonly Data[];
  readonly dictionary?: Data["dictionary"];
}

function newData(type: DataType, length: number, validity: Validity | undefined, buffers: Buffers): Data {
  const { offsets, values, children = [], dictionary } = buffers;
  const slots = [offsets, values, validity?.bitmap ?? new Uint8Array(0)];
  return new arrow.Data(type, 0, length, validity?.nulls ?? 0, slots as never, [...children], dictionary);
}

interface Validity {
  readonly bitmap: Uint8Array;
  readonly nulls: number;
}

function takeValidity(data: Data, indices: ArrayLike<number>): Validity | undefined {
  if (data.nullCount === 0) return undefined;
  const bitmap = new Uint8Array(bitmapBytes(indices.length));
  let nulls = 0;
  for (let at = 0; at < indices.length; at++) {
    if (isValid(data, indices[at] ?? 0)) setBit(bitmap, at);
    else nulls++;
  }
  return nulls === 0 ? undefined : { bitmap, nulls };
}

function take(data: Data, indices: ArrayLike<number>): Data {
  const type: DataType = data.type;
  const { DataType: Is } = arrow;
  const length = indices.length;
  if (Is.isNull(type)) return new arrow.Data(type, 0, length, length);
  const validity = takeValidity(data, indices);
  if (Is.isBool(type)) {
    const values = new Uint8Array(bitmapBytes(length));
    for (let at = 0; at < length; at++) {
      if (bitAt(data.values, data.offset + (indices[at] ?? 0))) setBit(values, at);
    }
    return newData(type, length, validity, { values });
  }
  if (Is.isDictionary(type)) {
    const width = byteWidth(type.indices) ?? 4;
    const values = takeFixed(type.indices, width, data, indices);
    return newData(type, length, validity, { values, dictionary: data.dictionary });
  }
  const width = byteWidth(type);
  if (width !== undefined) {
    return newData(type, length, validity, { values: takeFixed(type, width, data, indices) });
  }
  if (Is.isStruct(type)) {
    const children = data.children.map((child) => take(child, indices));
    return newData(type, length, validity, { children });
  }
  if (Is.isFixedSizeList(type)) {
    const items = repeat(indices, type.listSize);
    return newData(type, length, validity, { children: [take(itemsOf(data), items)] });
  }
  if (Is.isList(type) || Is.isMap(type)) {
    const ends = takeEnds(data, indices);
    const items = new Uint32Array(ends[length] ?? 0);
    eachRange(data, indices, (at, start, end) => {
      for (let item = start; item < end; item++) items[(ends[at] ?? 0) + item - start] = item;
    });
    return newData(type, length, validity, { offsets: ends, children: [take(itemsOf(data), items)] });
  }
  if (Is.isUtf8(type) || Is.isBinary(type) || Is.isLargeUtf8(type) || Is.isLargeBinary(type)) {
    const ends = takeEnds(data, indices);
    const bytes = bytesIn(data.values);
    const values = new Uint8Array(ends[length] ?? 0);
    eachRange(data, indices, (at, start, end) => values.set(bytes.subarray(start, end), ends[at]));
    const large = Is.isLargeUtf8(type) || Is.isLargeBinary(type);
    return newData(type, length, validity, {
      offsets: large ? BigInt64Array.from(ends, BigInt) : ends,
      values,
    });
  }
  throw new UnsupportedError(`Rows with a column of the type ${type} cannot be picked.`);
}

function takeFixed(type: DataType, width: number, data: Data, indices: ArrayLike<number>): ArrayBufferView {
  const from = bytesIn(data.values);
  const bytes = new Uint8Array(indices.length * width);
  for (let at = 0; at < indices.length; at++) {
    const start = (indices[at] ?? 0) * width;
    for (let byte = 0; byte < width; byte++) bytes[at * width + byte] = from[start + byte] ?? 0;
  }
  return new type.ArrayType(bytes.buffer);
}

function takeEnds(data: Data, indices: ArrayLike<number>): Int32Array {
  const ends = new Int32Array(indices.length + 1);
  eachRange(data, indices, (at, start, end) => {
    ends[at + 1] = (ends[at] ?? 0) + (end - start);
  });
  return ends;
}

/** Calls `use` with the range of each row; a null row has an empty one. */
function eachRange(
  data: Data,
  indices: ArrayLike<number>,
  use: (at: number, start: number, end: number) => void,
): void {
  for (let at = 0; at < indices.length; at++) {
    const index = indices[at] ?? 0;
    const [start, end] = isValid(data, index) ? rangeAt(data, index) : [0, 0];
    use(at, start, end);
  }
}

function repeat(indices: ArrayLike<number>, size: number): Uint32Array {
  const items = new Uint32Array(indices.length * size);
  for (let at = 0; at < items.length; at++) {
    items[at] = (indices[Math.floor(at / size)] ?? 0) * size + (at % size);
  }
  return items;
}

function bitmapBytes(length: number): number {
  return Math.ceil(length / 64) * 8;
}

function setBit(bitmap: Uint8Array, at: number): void {
  bitmap[at >> 3] = (bitmap[at >> 3] ?? 0) | (1 << (at & 7));
}
