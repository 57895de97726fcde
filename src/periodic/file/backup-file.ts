import type { RecordBatch, Schema } from "apache-arrow";
import { arrow } from "../../arrow/arrow.ts";
import { Problem } from "../../arrow/bad-value.ts";
import { Fields, shown } from "../../fs/fields.ts";
import { assertTableId } from "../../lance/database.ts";

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

/**
 * One file format's way to write. Called in order: `begin`; for each table `beginTable`, each of its parts with its
 * batches, `endTable`; at last `end`. Names, forms and schemas have been checked; where parts lie the caller notes.
 */
export interface FileEncoder {
  begin(head: FileHead): void;
  /** Answers with where the table begins. */
  beginTable(head: TableHead): number;
  /** Answers with where the part's rows begin. */
  beginPart(name: PartName, schema: Schema): number;
  write(batch: RecordBatch): Promise<void>;
  /** Answers with where the part's rows end. */
  endPart(): number;
  endTable(head: TableHead, offset: number, parts: Parts): void;
  /** Writes what comes after the tables, all but the checksum. */
  end(): Promise<void>;
  /** The file's last bytes. */
  seal(digest: Buffer): Uint8Array;
}

/** What a format's reader finds in a file whose checksum was right. */
interface Contents {
  readonly head: FileHead;
  readonly tables: readonly TableReader[];
}

/** One file format's way to read. @throws CorruptError naming file and place */
export interface FileDecoder<Input> {
  /** Where the checksum stands, which is of everything before it. */
  sealAt(bytes: number): number;
  readSeal(input: Input): Promise<string>;
  /** Without a look at any table. */
  readHead(input: Input): Promise<FileHead>;
  readContents(input: Input): Promise<Contents>;
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

// What a file says, as JSON.

/** A JSON object that was read, of which nothing is known yet. */
export type Json = Readonly<Record<string, unknown>>;

/** Reads an object of a file. @throws Problem, as what is read of it. */
export function fieldsOf(value: unknown, what: string): Fields {
  return new Fields(value, (problem) => new Problem(problem), what);
}

const FILE_NAME = /^(?!\.)[^/\\\0]+$/;

/** What a file says of itself, checked. @throws Problem */
export function parseFileHead(head: Fields): FileHead {
  const type = head.oneOf("type", ["full", "delta"]);
  const timestamp = parseTimestamp(head.number("timestamp"));
  const database = head.matching("database", /./s, "an identity");
  const follows = head.optionalObject("follows");
  if (follows === undefined) return { type, timestamp, database };
  if (type === "full") throw new Problem("a full follows another file");
  const file = follows.matching("file", FILE_NAME, "a file's name");
  return { type, timestamp, database, follows: { file, sha256: follows.digest("sha256") } };
}

const MICROS = 1_000_000;

/** Seconds since 1970, to the microsecond, as ISO 8601. A double holds them until the year 2255. */
function parseTimestamp(seconds: number): string {
  const micros = Math.round(seconds * MICROS);
  if (!Number.isSafeInteger(micros) || micros < 0 || micros / MICROS !== seconds) {
    throw new Problem(`the timestamp is ${shown(seconds)}`);
  }
  return isoTime(micros);
}

/** ISO 8601 with microseconds. */
export function isoTime(micros: number): string {
  const iso = new Date(Math.floor(micros / 1000)).toISOString();
  return `${iso.slice(0, -1)}${String(micros % 1000).padStart(3, "0")}Z`;
}

function secondsOf(timestamp: string): number {
  const [, milliseconds = "", micros = ""] = /^(.*\.\d{3})(\d{3})Z$/.exec(timestamp) ?? [];
  return (Date.parse(`${milliseconds}Z`) * 1000 + Number(micros)) / MICROS;
}

const FORMS: Record<FileHead["type"], readonly TableForm[]> = {
  full: ["rows"],
  delta: ["changes", "replaced", "dropped"],
};

/** How a file tells of a table, which its type must allow. @throws Problem */
export function parseForm(table: Fields, type: FileHead["type"]): TableForm {
  return table.oneOf("form", FORMS[type]);
}

/** What a file says of one table, checked; `schema` was read elsewhere. @throws Problem */
export function parseTableHead(
  table: string,
  fields: Fields,
  schema: Schema | undefined,
  type: FileHead["type"],
): TableHead {
  assertTableId(table);
  const form = parseForm(fields, type);
  if ((schema === undefined) !== (form === "dropped"))
    throw new Problem(`its form is ${form}, and its schema does not match`);
  const key = fields.texts("key");
  for (const name of key) {
    if (schema !== undefined && !schema.fields.some((field) => field.name === name)) {
      throw new Problem(`its key column ${shown(name)} is not one of its columns`);
    }
  }
  if (new Set(key).size < key.length) throw new Problem("its key names a column twice");
  if (form === "changes" && key.length === 0)
    throw new Problem("it has changes, but no key to find their rows by");
  const [from, to] = ["from", "to"].map((end) => parsePosition(fields.optionalObject(end)));
  const indices = fields.objects("indices").map(parseIndex);
  return { table, form, key, indices, ...(schema && { schema }), ...(from && { from }), ...(to && { to }) };
}

function parsePosition(position: Fields | undefined): TablePosition | undefined {
  return position && { version: position.count("version"), digest: position.digest("digest") };
}

function parseIndex(index: Fields): IndexRecord {
  const distanceType = index.has("distanceType")
    ? index.matching("distanceType", /./s, "a kind of distance")
    : undefined;
  return {
    name: index.matching("name", /./s, "a name"),
    columns: index.texts("columns"),
    type: index.matching("type", /./s, "a kind of index"),
    ...(distanceType !== undefined && { distanceType }),
    ...(index.has("details") && { details: index.record("details") }),
  };
}

/** A file's head as its JSON document says it, in this order. */
export function fileHeadJson(head: FileHead, format: number): Json {
  const { type, database, follows } = head;
  return { type, format, timestamp: secondsOf(head.timestamp), database, ...(follows && { follows }) };
}

export function tableHeadJson(head: TableHead): Json {
  const { form, key, from, to, indices } = head;
  return { form, key, ...(from && { from }), ...(to && { to }), indices };
}

/** Where rows of a table lie in the file, and how many there are. */
export interface Part {
  readonly offset: number;
  readonly bytes: number;
  readonly rows: number;
}

/** The parts of a table of each form, in this order. */
export const PARTS: Record<TableForm, readonly PartName[]> = {
  rows: ["rows"],
  replaced: ["rows"],
  changes: ["upserts", "deletes"],
  dropped: [],
};

/** Which part of a table the rows of a kind are in. */
export function partOf(form: TableForm, kind: RowKind): PartName | undefined {
  const name = form === "changes" ? kind : kind === "upserts" ? "rows" : undefined;
  return name !== undefined && PARTS[form].includes(name) ? name : undefined;
}

export type Parts = Partial<Record<PartName, Part>>;

/** The parts of a table, each within `start` and `end`. @throws Problem */
export function parseParts(form: TableForm, table: Fields, start: number, end: number): Parts {
  const parts: Parts = {};
  for (const name of PARTS[form]) {
    const part = table.object(name);
    const [offset, bytes] = [part.count("offset"), part.count("bytes")];
    if (offset < start || offset + bytes > end) {
      throw new Problem(`its ${name} at ${offset}, ${bytes} bytes, do not lie between ${start} and ${end}`);
    }
    parts[name] = { offset, bytes, rows: part.count("rows") };
  }
  for (const name of ["rows", ...ROW_KINDS] as const) {
    if (table.has(name) && parts[name] === undefined)
      throw new Problem(`it has ${name}, with the form ${form}`);
  }
  return parts;
}

/** The columns of a part: the key's for deletes, in the key's order; else all. */
export function partSchema(head: TableHead, part: PartName): Schema {
  if (head.schema === undefined) throw new TypeError(`Table ${head.table} has no schema.`);
  if (part !== "deletes") return head.schema;
  const { fields } = head.schema;
  return new arrow.Schema(head.key.flatMap((name) => fields.filter((field) => field.name === name)));
}
