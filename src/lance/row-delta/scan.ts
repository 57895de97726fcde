import type { Table } from "@lancedb/lancedb";
import type { RecordBatch } from "apache-arrow";
import { quoteColumn } from "../predicates/where-in.ts";

/** Rows a batch: a scan is 1.6 times faster than with LanceDB's own 1,000 (docs/lance-facts.md). */
const BATCH_ROWS = 8192;

interface Executable {
  execute(options: { maxBatchLength: number }): AsyncIterable<RecordBatch>;
}

export interface ScanOptions {
  /** Default: all columns of the table. */
  readonly columns?: readonly string[] | undefined;
  readonly where?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Streams the rows of a table, a batch at a time. */
export async function* scan(table: Table, options: ScanOptions = {}): AsyncGenerator<RecordBatch> {
  const { columns, where, signal } = options;
  const query = table.query();
  // A map, because names given in a list are read as expressions where they hold a dot or a capital.
  if (columns) query.select(new Map(columns.map((name) => [name, quoteColumn(name)])));
  if (where !== undefined) query.where(where);
  // `execute` is what the query's own iterator calls; only through it can the length of batches be told.
  const batches = (query as unknown as Executable).execute({ maxBatchLength: BATCH_ROWS });
  for await (const batch of batches) {
    signal?.throwIfAborted();
    if (batch.numRows > 0) yield batch;
  }
}
