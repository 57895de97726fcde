import type { Query, Table } from "@lancedb/lancedb";
import type { RecordBatch } from "apache-arrow";
import { batchesOf } from "../../../lance/lacking.ts";

export interface ReadSettings {
  /** All that there are. */
  readonly rows: number;
  readonly bytesPerRow: number;
  /** Which part is read, 0 to 1. */
  readonly sample: number;
  readonly signal?: AbortSignal | undefined;
}

/** A sample is taken in this many stretches, spread over the table. */
const STRETCHES = 16;

/** A batch holds at most so many rows, and about so many bytes. */
const BATCH_ROWS = 8192;
const BATCH_BYTES = 16 << 20;
const BLOBS_AT_ONCE = 256;

/** Reads every column of every row, or of a sample of them. Holds one batch at a time. */
export async function readRows(
  table: Table,
  settings: ReadSettings,
): Promise<{ rows: number; wanted: number }> {
  let [rows, wanted] = [0, 0];
  for (const { offset, limit } of stretches(settings)) {
    wanted += limit;
    const query = settings.sample < 1 ? table.query().offset(offset).limit(limit) : table.query();
    for await (const batch of batchesFrom(query, settings)) rows += batch.numRows;
  }
  return { rows, wanted };
}

/** Reads the large values that rows only point at. Answers with how many there are. */
export async function readBlobs(table: Table, settings: ReadSettings): Promise<number> {
  // Where LanceDB has no way to them, the rows' own values are all that can be read.
  const columns = "blobColumns" in table ? await table.blobColumns() : [];
  if (columns.length === 0) return 0;
  const atOnce = Math.min(BLOBS_AT_ONCE, lengthOf(settings.bytesPerRow));
  let blobs = 0;
  for (const { offset, limit } of stretches(settings)) {
    const query = table.query().select([]).withRowId().offset(offset).limit(limit);
    for await (const batch of batchesFrom(query, settings)) {
      const ids = Array.from(batch.getChild("_rowid") ?? [], (id) => id as bigint);
      for (let from = 0; from < ids.length; from += atOnce) {
        settings.signal?.throwIfAborted();
        for (const column of columns) {
          const found = await table.fetchBlobs(column, ids.slice(from, from + atOnce));
          blobs += found.filter((blob) => blob !== null).length;
        }
      }
    }
  }
  return blobs;
}

async function* batchesFrom(
  query: Query,
  { bytesPerRow, signal }: ReadSettings,
): AsyncGenerator<RecordBatch> {
  for await (const batch of batchesOf(query, lengthOf(bytesPerRow))) {
    signal?.throwIfAborted();
    yield batch;
  }
}

function lengthOf(bytesPerRow: number): number {
  return Math.max(1, Math.min(BATCH_ROWS, Math.floor(BATCH_BYTES / Math.max(bytesPerRow, 1))));
}

function stretches({ rows, sample }: ReadSettings): { offset: number; limit: number }[] {
  if (rows === 0) return [];
  const count = sample < 1 ? Math.min(STRETCHES, rows) : 1;
  const limit = Math.ceil((rows * sample) / count);
  return Array.from({ length: count }, (_, index) => {
    const offset = Math.floor((index * rows) / count);
    const next = Math.floor(((index + 1) * rows) / count);
    return { offset, limit: Math.min(limit, next - offset) };
  });
}
