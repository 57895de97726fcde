import { arrow } from "../arrow.ts";
import { Problem } from "../problem.ts";
import { FlatReader, type FlatTable } from "./flatbuffer.ts";
import { encapsulate } from "./schema-message.ts";

/** Length and null count of a column, as Arrow IPC lists them. */
export interface FieldNode {
  readonly length: number;
  readonly nullCount: number;
}

/** Where a buffer lies in a message's body. */
export interface BufferRegion {
  readonly offset: number;
  readonly bytes: number;
}

export interface BatchLayout {
  readonly rows: number;
  readonly nodes: readonly FieldNode[];
  readonly buffers: readonly BufferRegion[];
}

const METADATA_V5 = 4;

/**
 * The metadata of a record batch, or of the dictionary `dictionary` where that is given, as an IPC message.
 * Written by hand, because apache-arrow's writer leaves out the values of a boolean column of nulls only,
 * which Arrow's other libraries refuse. The layout is fixed: tables, then both vectors, all aligned to 8.
 */
export function encodeBatch(batch: BatchLayout, bodyBytes: number, dictionary?: number): Uint8Array {
  const vtable = dictionary === undefined ? 36 : 64;
  const table = dictionary === undefined ? 48 : 80;
  const nodes = table + 20;
  const buffers = nodes + 8 + 16 * batch.nodes.length;
  const bytes = new Uint8Array(buffers + 4 + 16 * batch.buffers.length);
  const view = new DataView(bytes.buffer);
  const shorts = (at: number, ...values: number[]) =>
    values.forEach((value, index) => {
      view.setUint16(at + 2 * index, value, true);
    });
  const long = (at: number, value: number) => view.setBigInt64(at, BigInt(value), true);
  const pointer = (at: number, target: number) => view.setUint32(at, target - at, true);

  const header = dictionary === undefined ? table : 48;
  view.setUint32(0, 16, true);
  shorts(4, 12, 20, 16, 18, 4, 8); // Message: version, header type, header, body length
  view.setInt32(16, 12, true);
  pointer(20, header);
  long(24, bodyBytes);
  view.setInt16(32, METADATA_V5, true);
  view.setUint8(
    34,
    dictionary === undefined ? arrow.MessageHeader.RecordBatch : arrow.MessageHeader.DictionaryBatch,
  );
  if (dictionary !== undefined) {
    shorts(36, 8, 16, 8, 4); // DictionaryBatch: id, data
    view.setInt32(48, 12, true);
    pointer(52, table);
    long(56, dictionary);
  }
  shorts(vtable, 10, 20, 8, 4, 16); // RecordBatch: length, nodes, buffers
  view.setInt32(table, table - vtable, true);
  pointer(table + 4, nodes);
  long(table + 8, batch.rows);
  pointer(table + 16, buffers);
  view.setUint32(nodes, batch.nodes.length, true);
  batch.nodes.forEach((node, index) => {
    long(nodes + 4 + 16 * index, node.length);
    long(nodes + 12 + 16 * index, node.nullCount);
  });
  view.setUint32(buffers, batch.buffers.length, true);
  batch.buffers.forEach((buffer, index) => {
    long(buffers + 4 + 16 * index, buffer.offset);
    long(buffers + 12 + 16 * index, buffer.bytes);
  });
  return encapsulate(bytes);
}

export interface BatchMessage extends BatchLayout {
  /** The dictionary that this is; undefined for rows. */
  readonly dictionary: number | undefined;
  readonly bodyBytes: number;
}

/** @throws Problem where the metadata is not that of a plain record or dictionary batch. */
export function decodeBatch(metadata: Uint8Array): BatchMessage {
  const message = new FlatReader(metadata).root();
  const type = message.uint8(1);
  const header = message.table(2);
  const isDictionary = type === arrow.MessageHeader.DictionaryBatch;
  if (header === undefined || (!isDictionary && type !== arrow.MessageHeader.RecordBatch)) {
    throw new Problem("a record batch was expected");
  }
  if (isDictionary && header.uint8(2) !== 0)
    throw new Problem("its dictionaries grow, which this reader does not know");
  const batch = isDictionary ? header.table(1) : header;
  if (batch === undefined) throw new Problem("a dictionary has no values");
  if (batch.table(3) !== undefined)
    throw new Problem("its batches are compressed, which this reader does not know");
  const dictionary = isDictionary ? header.count(0) : undefined;
  const nodes = pairs(batch, 1).map(([length, nullCount]) => ({ length, nullCount }));
  const buffers = pairs(batch, 2).map(([offset, bytes]) => ({ offset, bytes }));
  return { rows: batch.count(0), nodes, buffers, dictionary, bodyBytes: message.count(3) };
}

function pairs(table: FlatTable, slot: number): [number, number][] {
  const { start, length } = table.vector(slot, 16);
  return Array.from({ length }, (_, index) => {
    const at = start + 16 * index;
    return [table.countAt(at), table.countAt(at + 8)];
  });
}
