import type { Data, DataType, Dictionary, FixedSizeList, RecordBatch } from "apache-arrow";
import { arrow } from "./arrow.ts";
import {
  bitAt,
  bitmapBytes,
  bytesIn,
  columnOf,
  isValid,
  itemsOf,
  newBatch,
  newColumn,
  offsetsFor,
  rangeAt,
  setBit,
  validityOf,
} from "./column.ts";
import { byteWidth, layoutOf } from "./types.ts";

/** The rows at `indices`, with these columns, in buffers of their own. */
export function takeRows(
  batch: RecordBatch,
  columns: readonly string[],
  indices: ArrayLike<number>,
): RecordBatch {
  const children = columns.map((name) => take(columnOf(batch, name), indices));
  const fields = columns.flatMap((name) => batch.schema.fields.find((field) => field.name === name) ?? []);
  return newBatch(new arrow.Schema(fields, batch.schema.metadata), indices.length, children);
}

function take(data: Data, indices: ArrayLike<number>): Data {
  const type: DataType = data.type;
  const { length } = indices;
  const layout = layoutOf(type);
  if (layout === "null") return newColumn(type, length, { nullCount: length });
  const isThere = data.nullCount === 0 ? undefined : (at: number) => isValid(data, indices[at] ?? 0);
  const validity = validityOf(length, isThere);
  switch (layout) {
    case "bits": {
      const values = new Uint8Array(bitmapBytes(length));
      for (let at = 0; at < length; at++) {
        if (bitAt(data.values, data.offset + (indices[at] ?? 0))) setBit(values, at);
      }
      return newColumn(type, length, validity, { values });
    }
    case "dictionary": {
      const values = takeFixed((type as Dictionary).indices, data, indices);
      return newColumn(type, length, validity, { values, dictionary: data.dictionary });
    }
    case "fixed":
      return newColumn(type, length, validity, { values: takeFixed(type, data, indices) });
    case "struct":
      return newColumn(type, length, validity, {
        children: data.children.map((child) => take(child, indices)),
      });
    case "vector": {
      const items = repeat(indices, (type as FixedSizeList).listSize);
      return newColumn(type, length, validity, { children: [take(itemsOf(data), items)] });
    }
    case "list": {
      const ends = takeEnds(data, indices);
      const items = new Uint32Array(ends[length] ?? 0);
      eachRange(data, indices, (at, start, end) => {
        for (let item = start; item < end; item++) items[(ends[at] ?? 0) + item - start] = item;
      });
      return newColumn(type, length, validity, { offsets: ends, children: [take(itemsOf(data), items)] });
    }
    case "bytes": {
      const ends = takeEnds(data, indices);
      const bytes = bytesIn(data.values);
      const values = new Uint8Array(ends[length] ?? 0);
      eachRange(data, indices, (at, start, end) => values.set(bytes.subarray(start, end), ends[at]));
      return newColumn(type, length, validity, { offsets: offsetsFor(type, ends), values });
    }
  }
}

function takeFixed(type: DataType, data: Data, indices: ArrayLike<number>): ArrayBufferView {
  const width = byteWidth(type) ?? 0;
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
