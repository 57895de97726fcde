import type { Data, RecordBatch, Schema, Table } from "apache-arrow";
import { arrow } from "./arrow.ts";
import { column } from "./column.ts";
import { SharedDictionaries } from "./shared-dictionaries.ts";

/**
 * A table of batches of a file, in a form that LanceDB's client can send to its core; only for sending.
 *
 * - apache-arrow's writer, which the client uses, leaves out the values of a boolean column that is null
 *   throughout, and the core refuses that ("Need at least 1 bytes for bitmap in buffers[0]"). Such columns
 *   are passed as bytes: a batch's message says nothing of types, and a bitmap with room to spare is a good one.
 * - Dictionaries are made one for all batches, since Arrow's file format cannot replace them.
 */
export function loadableTable(schema: Schema, batches: readonly RecordBatch[]): Table {
  const dictionaries = new SharedDictionaries();
  if (batches.length > 1) {
    for (const { data } of batches) dictionaries.gather(data);
  }
  const send = (data: Data): Data => {
    const { type, length } = data;
    if (arrow.DataType.isDictionary(type)) return batches.length > 1 ? dictionaries.rewrite(data) : data;
    if (arrow.DataType.isBool(type))
      return data.nullCount < length || length === 0 ? data : unseenBits(length);
    const children = data.children.map(send);
    if (children.every((child, index) => child === data.children[index])) return data;
    return data.clone(type, data.offset, length, data.nullCount, undefined, children);
  };
  const sent = batches.map((batch) => {
    const rows = column(batch.data.type, batch.numRows, 0, { children: batch.data.children.map(send) });
    return new arrow.RecordBatch(schema, rows as never);
  });
  return new arrow.Table(schema, sent);
}

function unseenBits(length: number): Data {
  const validity = new Uint8Array((length + 7) >> 3);
  return column(new arrow.Uint8(), length, length, { values: new Uint8Array(length), validity });
}
