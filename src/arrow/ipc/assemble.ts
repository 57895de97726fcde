import { types } from "node:util";
import type { Data, DataType, RecordBatch } from "apache-arrow";
import { arrow } from "../arrow.ts";
import { bitsFrom, countBits } from "../bitmap.ts";
import { isBytes, isText } from "../column.ts";
import { bytesIn, byteWidth, itemsOf } from "../column-read.ts";
import { joinColumns } from "../join-columns.ts";
import type { BatchLayout, BufferRegion, FieldNode } from "./batch-message.ts";

/** Columns as Arrow IPC lays them out. The buffers are views of the columns' own where that can be. */
export interface Assembled {
  readonly layout: BatchLayout;
  readonly buffers: readonly Uint8Array[];
  readonly bodyBytes: number;
  /** The dictionaries that the columns refer to, in the order of the schema's fields. */
  readonly dictionaries: readonly Data[];
}

/** Lays out a batch, or a slice of one: what lies outside the slice is left out. */
export function assemble(batch: RecordBatch): Assembled {
  return assembleColumns(batch.data.children, batch.numRows);
}

export function assembleColumns(columns: readonly Data[], rows: number): Assembled {
  const assembler = new Assembler();
  for (const data of columns) assembler.add(data, rows);
  return {
    layout: { rows, nodes: assembler.nodes, buffers: assembler.regions },
    buffers: assembler.buffers,
    bodyBytes: assembler.bytes,
    dictionaries: assembler.dictionaries,
  };
}

class Assembler {
  readonly nodes: FieldNode[] = [];
  readonly regions: BufferRegion[] = [];
  readonly buffers: Uint8Array[] = [];
  readonly dictionaries: Data[] = [];
  bytes = 0;

  /** Adds the first `length` values. A column's values begin at its slice; its bits begin at bit `offset`. */
  add(data: Data, length: number): void {
    const { DataType: Is } = arrow;
    const { type } = data;
    if (Is.isNull(type)) {
      this.nodes.push({ length, nullCount: length });
      return;
    }
    this.#addValidity(data, length);
    this.#addValues(data, length);
  }

  #addValues(data: Data, length: number): void {
    const { DataType: Is } = arrow;
    const { type } = data;
    if (Is.isBool(type)) {
      this.#push(bitsFrom(bytesIn(data.values), data.offset, length));
    } else if (isText(type) || isBytes(type)) {
      const [start, end] = this.#addOffsets(data, length);
      this.#push(bytesIn(data.values).subarray(start, end));
    } else if (Is.isList(type) || Is.isMap(type)) {
      const [start, end] = this.#addOffsets(data, length);
      this.add(sliceOf(itemsOf(data), start, end - start), end - start);
    } else if (Is.isFixedSizeList(type)) {
      this.add(itemsOf(data), length * type.listSize);
    } else if (Is.isStruct(type)) {
      for (const child of data.children) this.add(child, length);
    } else if (Is.isDictionary(type)) {
      this.#addFixed(data, type.indices, length);
      this.dictionaries.push(joinColumns(type.dictionary, data.dictionary?.data ?? []));
    } else {
      this.#addFixed(data, type, length);
    }
  }

  #addFixed(data: Data, type: DataType, length: number): void {
    const width = byteWidth(type);
    if (width === undefined) throw new TypeError(`A column of ${type} cannot be written.`);
    this.#push(bytesIn(data.values).subarray(0, length * width));
  }

  #addValidity(data: Data, length: number): void {
    const bitmap: Uint8Array | undefined = data.nullBitmap;
    const mayHaveNulls = bitmap !== undefined && bitmap.byteLength > 0 && data.nullCount > 0;
    const bits = mayHaveNulls ? bitsFrom(bitmap, data.offset, length) : undefined;
    const nullCount = bits === undefined ? 0 : length - countBits(bits, length);
    this.nodes.push({ length, nullCount });
    this.#push(nullCount > 0 && bits !== undefined ? bits : new Uint8Array(0));
  }

  #addOffsets(data: Data, length: number): [start: number, end: number] {
    const offsets: Int32Array | BigInt64Array = data.valueOffsets;
    const start = Number(offsets[0] ?? 0);
    const end = Number(offsets[length] ?? 0);
    this.#push(bytesIn(rebased(offsets, length)));
    return [start, end];
  }

  #push(buffer: Uint8Array): void {
    this.regions.push({ offset: this.bytes, bytes: buffer.byteLength });
    this.buffers.push(buffer);
    this.bytes += (buffer.byteLength + 7) & ~7;
  }
}

/** The offsets of the first `length` values, counted from the first; an empty column's may be left out by its maker. */
function rebased(offsets: Int32Array | BigInt64Array, length: number): Int32Array | BigInt64Array {
  if (offsets.length === 0) return types.isInt32Array(offsets) ? new Int32Array(1) : new BigInt64Array(1);
  const own = offsets.subarray(0, length + 1);
  if (types.isInt32Array(own)) {
    const start = own[0] ?? 0;
    return start === 0 ? own : own.map((offset) => offset - start);
  }
  const start = own[0] ?? 0n;
  return start === 0n ? own : own.map((offset) => offset - start);
}

function sliceOf(data: Data, start: number, length: number): Data {
  return start === 0 ? data : data.slice(start, length);
}
