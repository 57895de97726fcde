import type { RecordBatch, Schema, Table } from "apache-arrow";
import { loadableTable } from "../file/loadable.ts";

/** Bytes that are written with one commit. What LanceDB holds for it is many times as much, and larger ones load no faster. */
const CHUNK_BYTES = 6 * 1024 * 1024;

/** Gathers batches into tables of a size that one commit can take. */
export async function* chunksOf(
  schema: Schema,
  batches: AsyncIterable<RecordBatch>,
  bytes = CHUNK_BYTES,
): AsyncGenerator<Table> {
  let held: RecordBatch[] = [];
  let size = 0;
  for await (const batch of batches) {
    held.push(batch);
    size += batch.data.byteLength;
    if (size < bytes) continue;
    yield loadableTable(schema, held);
    held = [];
    size = 0;
  }
  if (held.length > 0) yield loadableTable(schema, held);
}
