import type { RecordBatch } from "apache-arrow";
import type { FileHead, RowKind, TableHead } from "./types.ts";

/** What a format's reader finds in a file whose checksum was right. */
export interface Contents {
  readonly head: FileHead;
  readonly tables: readonly TableContents[];
}

export interface TableContents {
  readonly head: TableHead;
  readonly upserts: number;
  readonly deletes: number;
  batches(kind: RowKind): AsyncIterable<RecordBatch>;
}
