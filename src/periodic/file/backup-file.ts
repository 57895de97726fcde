import type { RecordBatch, Schema } from "apache-arrow";

/** `json`: people read it, a row a line. `arrow`: a container of Arrow IPC streams. Both lossless. */
export type FileFormat = "json" | "arrow";

/** An index of a table, as a full records it, so that a replay can make it anew. */
export interface IndexRecord {
  readonly name: string;
  readonly columns: readonly string[];
  /** LanceDB's name of its kind: `BTree`, `FTS`, `IvfPq`, … */
  readonly type: string;
  readonly distanceType?: string | undefined;
  /** Its settings, as LanceDB states them. */
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

/** Where a table stood: its version, and the SHA-256 of that version's manifest. */
export interface TablePosition {
  readonly version: number;
  readonly digest: string;
}

/**
 * What a file says of one table.
 * `rows`: all rows (fulls). `changes`: upserts, and the keys of deletes (deltas). `replaced`: all rows in a
 * delta, where schema or keys allow no changes. `dropped`: it is gone.
 */
export type TableForm = "rows" | "changes" | "replaced" | "dropped";

/** What stands before a table's rows. */
export interface TableHead {
  /** The table's id: `ns$table` in a namespace. */
  readonly table: string;
  readonly form: TableForm;
  /** Undefined for `dropped`. */
  readonly schema?: Schema | undefined;
  /** The columns of its key; empty where it has none. */
  readonly key: readonly string[];
  readonly from?: TablePosition | undefined;
  readonly to?: TablePosition | undefined;
  readonly indices: readonly IndexRecord[];
}

/** What stands first in a file. */
export interface FileHead {
  readonly type: "full" | "delta";
  /** Identity of the database: a random UUID that the first full of a chain gives it. */
  readonly database: string;
  /** ISO 8601 with microseconds. */
  readonly timestamp: string;
  /** For a delta: the file that it follows, and that file's checksum. */
  readonly follows?: { readonly file: string; readonly sha256: string } | undefined;
}

/** What of a table a batch belongs to. Deletes hold the key columns alone. */
export type RowKind = (typeof ROW_KINDS)[number];
export const ROW_KINDS = ["upserts", "deletes"] as const;

/** A part's name in the file: all rows of a table, or what changed in it. */
export type PartName = "rows" | RowKind;

/** Writes one file, in order; memory does not grow with the rows. `finish` or `abort` ends it. */
export interface BackupFileWriter {
  beginTable(head: TableHead): Promise<void>;
  /** All upserts of a table come before its deletes. Rows of fulls and replaced tables are upserts. */
  write(kind: RowKind, batch: RecordBatch): Promise<void>;
  endTable(): Promise<void>;
  /** Ends, syncs and publishes the file under its name; answers with its SHA-256. */
  finish(): Promise<{ readonly sha256: string; readonly bytes: number }>;
  /** Leaves nothing. */
  abort(): Promise<void>;
}

/** One table of a file that is being read. Batches must be read in order, once; skipping them is fine. */
export interface TableReader {
  readonly head: TableHead;
  readonly upserts: number;
  readonly deletes: number;
  batches(kind: RowKind): AsyncIterable<RecordBatch>;
}

/** A file whose checksum was verified whole before this was handed out. */
export interface BackupFileReader extends AsyncDisposable {
  readonly path: string;
  readonly head: FileHead;
  readonly sha256: string;
  tables(): AsyncIterable<TableReader>;
}

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

/**
 * One file format's way to write. Called in order: for each table `beginTable`, then each of its parts with
 * its batches, then `endTable`; at last `end`. Names, forms and schemas have been checked.
 */
export interface FileEncoder {
  begin(head: FileHead): Promise<void>;
  beginTable(head: TableHead): Promise<void>;
  beginPart(name: PartName): Promise<void>;
  write(batch: RecordBatch): Promise<void>;
  endPart(): Promise<void>;
  endTable(): Promise<void>;
  /** Writes what comes after the tables, all but the checksum. */
  end(): Promise<void>;
  /** The file's last bytes. */
  seal(digest: Buffer): Uint8Array;
}

/** The number of the formats described in docs/formats.md. A reader refuses every other. */
export const FORMAT = 2;

/** Rows that one record batch in a file holds at most, so that a reader can hold one in memory. */
export const MAX_BATCH_ROWS = 65_536;

/** A batch with more bytes than this is written as several, unless it is a single row. */
export const BATCH_BYTES = 32 * 1024 * 1024;

/** A line of a JSON file: one row, or what stands before a table. V8's strings end at 512 MB. */
export const MAX_LINE_BYTES = 256 * 1024 * 1024;

/** What a file says about all its tables, as one JSON document. */
export const MAX_INDEX_BYTES = 256 * 1024 * 1024;
