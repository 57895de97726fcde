import type { Schema } from "apache-arrow";
import { arrow } from "../../arrow/arrow.ts";
import { Problem } from "../../arrow/bad-value.ts";
import { isObject } from "../../fs/record.ts";
import { assertTableId } from "../../lance/database.ts";
import type {
  FileHead,
  IndexRecord,
  PartName,
  RowKind,
  TableForm,
  TableHead,
  TablePosition,
} from "./backup-file.ts";

/** A JSON object that was read, of which nothing is known yet. */
export type Json = Readonly<Record<string, unknown>>;

export function asObject(value: unknown, what: string): Json {
  if (!isObject(value)) throw new Problem(`${what} is no object`);
  return value;
}

function asString(value: unknown, what: string): string {
  if (typeof value !== "string" || value === "") throw new Problem(`${what} is ${shown(value)}, not a text`);
  return value;
}

/** A number that counts or measures something. */
export function asCount(value: unknown, what: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw new Problem(`${what} is ${shown(value)}, not a number of things`);
  }
  return value;
}

function asList(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new Problem(`${what} is ${shown(value)}, not a list`);
  return value;
}

function asNames(value: unknown, what: string): string[] {
  return asList(value, what).map((name) => {
    if (typeof name !== "string") throw new Problem(`${what} holds ${shown(name)}`);
    return name;
  });
}

function matching(value: unknown, pattern: RegExp, what: string): string {
  if (typeof value !== "string" || !pattern.test(value)) throw new Problem(`${what} is ${shown(value)}`);
  return value;
}

function shown(value: unknown): string {
  return String(JSON.stringify(value)).slice(0, 200);
}

const SHA256 = /^[0-9a-f]{64}$/;
const FILE_NAME = /^(?!\.)[^/\\\0]+$/;

/** What a file says of itself, checked. @throws Problem */
export function parseFileHead(json: Json): FileHead {
  const type = matching(json["type"], /^(full|delta)$/, "the type") as FileHead["type"];
  const timestamp = parseTimestamp(json["timestamp"]);
  const database = asString(json["database"], "the database's identity");
  if (json["follows"] === undefined) return { type, timestamp, database };
  if (type === "full") throw new Problem("a full follows another file");
  const follows = asObject(json["follows"], "the file that it follows");
  const file = matching(follows["file"], FILE_NAME, "the file that it follows");
  const sha256 = matching(follows["sha256"], SHA256, "the checksum of the file that it follows");
  return { type, timestamp, database, follows: { file, sha256 } };
}

const MICROS = 1_000_000;

/** Seconds since 1970, to the microsecond, as ISO 8601. A double holds them until the year 2255. */
function parseTimestamp(seconds: unknown): string {
  const micros = typeof seconds === "number" ? Math.round(seconds * MICROS) : Number.NaN;
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
export function parseForm(json: Json, type: FileHead["type"]): TableForm {
  const form = FORMS[type].find((known) => known === json["form"]);
  if (form === undefined) throw new Problem(`its form is ${shown(json["form"])}, in a ${type}`);
  return form;
}

/** What a file says of one table, checked; `schema` was read elsewhere. @throws Problem */
export function parseTableHead(
  table: string,
  json: Json,
  schema: Schema | undefined,
  type: FileHead["type"],
): TableHead {
  assertTableId(table);
  const form = parseForm(json, type);
  if ((schema === undefined) !== (form === "dropped"))
    throw new Problem(`its form is ${form}, and its schema does not match`);
  const key = asNames(json["key"], "its key");
  for (const name of key) {
    if (schema !== undefined && !schema.fields.some((field) => field.name === name)) {
      throw new Problem(`its key column ${shown(name)} is not one of its columns`);
    }
  }
  if (new Set(key).size < key.length) throw new Problem("its key names a column twice");
  if (form === "changes" && key.length === 0)
    throw new Problem("it has changes, but no key to find their rows by");
  const from = parsePosition(json["from"], "where it leads from");
  const to = parsePosition(json["to"], "where it leads to");
  const indices = asList(json["indices"], "its indices").map(parseIndex);
  return { table, form, key, indices, ...(schema && { schema }), ...(from && { from }), ...(to && { to }) };
}

function parsePosition(value: unknown, what: string): TablePosition | undefined {
  if (value === undefined) return undefined;
  const json = asObject(value, what);
  return { version: asCount(json["version"], what), digest: matching(json["digest"], SHA256, what) };
}

function parseIndex(value: unknown): IndexRecord {
  const json = asObject(value, "an index");
  const { distanceType: distance, details } = json;
  return {
    name: asString(json["name"], "the name of an index"),
    columns: asNames(json["columns"], "the columns of an index"),
    type: asString(json["type"], "the type of an index"),
    ...(distance !== undefined && { distanceType: asString(distance, "the distance of an index") }),
    ...(details !== undefined && { details: asObject(details, "the details of an index") }),
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
export function parseParts(form: TableForm, json: Json, start: number, end: number): Parts {
  const parts: Parts = {};
  for (const name of PARTS[form]) {
    const part = asObject(json[name], `its part "${name}"`);
    const offset = asCount(part["offset"], `the offset of its ${name}`);
    const bytes = asCount(part["bytes"], `the size of its ${name}`);
    const rows = asCount(part["rows"], `the count of its ${name}`);
    if (offset < start || offset + bytes > end) {
      throw new Problem(`its ${name} at ${offset}, ${bytes} bytes, do not lie between ${start} and ${end}`);
    }
    parts[name] = { offset, bytes, rows };
  }
  for (const name of ["rows", "upserts", "deletes"] as const) {
    if (json[name] !== undefined && parts[name] === undefined)
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
