import type { RecordBatch, Schema, Table } from "apache-arrow";
import { loadableTable } from "../../arrow/loadable.ts";
import { UnsupportedError } from "../../errors.ts";

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
    yield* loadable(schema, held);
    held = [];
    size = 0;
  }
  if (held.length > 0) yield* loadable(schema, held);
}

/** In as few tables as can be: what goes with one commit has one dictionary a column, and its keys may be too few. */
function* loadable(schema: Schema, batches: readonly RecordBatch[]): Generator<Table> {
  let table: Table | undefined;
  try {
    table = loadableTable(schema, batches);
  } catch (error) {
    if (!(error instanceof UnsupportedError) || batches.length < 2) throw error;
  }
  if (table) return yield table;
  const half = batches.length >> 1;
  yield* loadable(schema, batches.slice(0, half));
  yield* loadable(schema, batches.slice(half));
}
