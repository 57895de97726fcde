import { Buffer, isUtf8 } from "node:buffer";
import type { RecordBatch, Schema } from "apache-arrow";
import { Problem } from "../../arrow/bad-value.ts";
import { BatchFull, columnsFromJson } from "../../arrow/codecs.ts";
import { newBatch } from "../../arrow/column.ts";
import { decodeSchema } from "../../arrow/ipc-read.ts";
import { membersOf } from "../../arrow/nested-codecs.ts";
import { type Fields, isDigest } from "../../fs/fields.ts";
import { isObject } from "../../fs/record.ts";
import {
  type FileDecoder,
  type FileHead,
  fieldsOf,
  type Json,
  MAX_INDEX_BYTES,
  MAX_LINE_BYTES,
  PARTS,
  type Part,
  type PartName,
  parseFileHead,
  parseForm,
  parseParts,
  parseTableHead,
  partOf,
  partSchema,
  type RowKind,
  type TableReader,
} from "./backup-file.ts";
import { locating, type SealedInput } from "./sealed-input.ts";

const STEP = 64 * 1024;
const NEWLINE = 0x0a;

const sealAt = (bytes: number) => bytes - DIGEST_DIGITS - SEAL_END.length;

export const jsonDecoder: FileDecoder<SealedInput> = {
  sealAt,
  async readSeal(input) {
    const start = sealAt(input.bytes) - SEAL_START.length;
    if (start < 0) throw input.corrupt("it is too short");
    const text = Buffer.from(await input.read(start, input.bytes - start)).toString("latin1");
    const digits = text.slice(SEAL_START.length, -SEAL_END.length);
    if (text !== SEAL_START + digits + SEAL_END || !isDigest(digits)) {
      throw input.corrupt("it does not end with its checksum; it may be cut short");
    }
    return digits;
  },
  readHead,
  async readContents(input) {
    const head = await readHead(input);
    const { index, start } = await readIndex(input);
    const entries = locating(input.path, "its index", () =>
      Object.entries(index)
        .map(([name, entry]) => ({ name, entry: fieldsOf(entry, "entry") }))
        .map(({ name, entry }) => ({ name, entry, offset: entry.count("offset") }))
        .sort((a, b) => a.offset - b.offset),
    );
    const tables: TableReader[] = [];
    for (const { name, entry, offset } of entries)
      tables.push(await readTable(input, head, name, entry, offset, start));
    return { head, tables };
  },
};

async function readHead(input: SealedInput): Promise<FileHead> {
  const line = await readLine(input, 0, "its first line");
  return locating(input.path, "its first line", () => {
    if (!line.endsWith(TABLES_START)) throw new Problem("it is not as it must be");
    return parseFileHead(fieldsOf(JSON.parse(`${line.slice(0, -TABLES_START.length)}}`), "head"));
  });
}

/** The line of the index, which is the last but one. */
async function readIndex(input: SealedInput): Promise<{ index: Json; start: number }> {
  const end = sealAt(input.bytes) - SEAL_START.length;
  let text = Buffer.alloc(0);
  let start = end;
  while (start > 0 && !text.includes(NEWLINE)) {
    if (text.byteLength > MAX_INDEX_BYTES) throw input.corrupt("its index is too long");
    const step = Math.min(start, Math.max(STEP, text.byteLength));
    start -= step;
    text = Buffer.concat([await input.read(start, step), text]);
  }
  const at = text.lastIndexOf(INDEX_START);
  const index = locating(input.path, "its index", () => {
    if (at < 0) throw new Problem("it is missing");
    const found: unknown = JSON.parse(text.toString("utf8", at + INDEX_START.length));
    if (!isObject(found)) throw new Problem("it is no object");
    return found;
  });
  return { index, start: start + at };
}

async function readTable(
  input: SealedInput,
  file: FileHead,
  name: string,
  entry: Fields,
  offset: number,
  end: number,
): Promise<TableReader> {
  const place = `table ${JSON.stringify(name)}`;
  const line = await readLine(input, offset, place);
  const { head, parts } = locating(input.path, place, () => {
    const fields = parseTableLine(line, name);
    const encoded = fields.optionalText("schema");
    const schema =
      encoded === undefined ? undefined : decodeSchema(new Uint8Array(Buffer.from(encoded, "base64")));
    const form = parseForm(fields, file.type);
    return {
      head: parseTableHead(name, fields, schema, file.type),
      parts: parseParts(form, entry, offset, end),
    };
  });
  return {
    head,
    upserts: (parts.rows ?? parts.upserts)?.rows ?? 0,
    deletes: parts.deletes?.rows ?? 0,
    async *batches(kind: RowKind): AsyncGenerator<RecordBatch> {
      const part = partOf(head.form, kind);
      const found = part && parts[part];
      if (part === undefined || found === undefined) return;
      yield* readRows(input, { ...found, name: part }, partSchema(head, part), `${place}, ${part}`);
    },
  };
}

/** What a table's first line says, up to where its rows begin. */
function parseTableLine(line: string, name: string): Fields {
  const start = [...new Set(Object.values(PARTS).flatMap(([first]) => first ?? []))]
    .map((part) => `,${JSON.stringify(part)}:[`)
    .find((text) => line.endsWith(text));
  const text = start === undefined ? line.replace(/,$/, "") : `${line.slice(0, -start.length)}}`;
  const document: unknown = JSON.parse(`{${text}}`);
  if (!isObject(document) || !Object.hasOwn(document, name))
    throw new Problem("its first line is another table's");
  return fieldsOf(document[name], "first line");
}

/** The line that begins at `position`, without its end. */
async function readLine(input: SealedInput, position: number, place: string): Promise<string> {
  let text = Buffer.alloc(0);
  for (let at = position; at < input.bytes; ) {
    const step = Math.min(input.bytes - at, Math.max(STEP, text.byteLength));
    const more = Buffer.from(await input.read(at, step));
    const end = more.indexOf(NEWLINE);
    text = Buffer.concat([text, end < 0 ? more : more.subarray(0, end)]);
    if (end >= 0) return text.toString("utf8");
    if (text.byteLength > MAX_LINE_BYTES) break;
    at += step;
  }
  throw input.corrupt(`${place}, at byte ${position}, has no end`);
}

// What stands between the lines of a JSON file, as `JsonEncoder` shows, and how lines of rows are read.

export const TABLES_START = ',"tables":{';
export const TABLES_END = "\n}";
export const INDEX_START = ',\n"index":';
export const SEAL_START = ',\n"sha256":"';
export const SEAL_END = '"}\n';
const DIGEST_DIGITS = 64;

const CHUNK_BYTES = 1024 * 1024;

/** Whether a line is a value and no object: the key of a row to delete, where it is one column. */
export function isBare(part: PartName, schema: Schema): boolean {
  return part === "deletes" && schema.fields.length === 1;
}

/** The rows of a part, as batches of some 1 MB of text. */
async function* readRows(
  input: SealedInput,
  part: Part & { readonly name: PartName },
  schema: Schema,
  place: string,
): AsyncGenerator<RecordBatch> {
  let done = 0;
  for await (const bytes of readLines(input, part, place)) {
    const rows = locating(input.path, `${place}, rows from ${done + 1} on`, () => {
      if (!isUtf8(bytes)) throw new Problem("its text is not valid UTF-8");
      return parseLines(bytes, { schema, done, part });
    });
    yield* batchesOf(input, schema, rows, done + 1, place);
    done += rows.length;
  }
  if (done !== part.rows) {
    throw input.corrupt(`${place}: it has ${done} rows where ${part.rows} are announced`);
  }
}

/** Whole lines, many at a time, each with its end. */
async function* readLines(input: SealedInput, part: Part, place: string): AsyncGenerator<Buffer> {
  const end = part.offset + part.bytes;
  let size = CHUNK_BYTES;
  for (let position = part.offset; position < end; ) {
    const chunk = Buffer.from((await input.read(position, Math.min(size, end - position))).buffer);
    const last = chunk.lastIndexOf(NEWLINE);
    if (last >= 0) {
      yield chunk.subarray(0, last + 1);
      position += last + 1;
      size = CHUNK_BYTES;
      continue;
    }
    if (position + chunk.byteLength === end)
      throw input.corrupt(`${place}: its last line, at byte ${position}, has no end`);
    if (size > MAX_LINE_BYTES) throw input.corrupt(`${place}: the line at byte ${position} is too long`);
    size *= 4;
  }
}

/** The members of each row. There is a comma behind each line but the part's last. @throws Problem naming the row */
function parseLines(
  bytes: Buffer,
  of: { readonly schema: Schema; readonly done: number; readonly part: Part & { readonly name: PartName } },
): unknown[][] {
  const { fields } = of.schema;
  const bare = isBare(of.part.name, of.schema);
  const rows: unknown[][] = [];
  for (let start = 0; start < bytes.byteLength; ) {
    const end = bytes.indexOf(NEWLINE, start);
    const number = of.done + rows.length + 1;
    const text = bytes.toString("utf8", start, end);
    const isLast = number === of.part.rows;
    try {
      if (!isLast && !text.endsWith(",")) throw new Problem("it ends without a comma");
      const value: unknown = JSON.parse(isLast ? text : text.slice(0, -1));
      rows.push(bare ? [value] : membersOf(value, fields));
    } catch (error) {
      if (!(error instanceof Problem || error instanceof SyntaxError)) throw error;
      throw new Problem(`row ${number}: ${error.message}`, { cause: error });
    }
    start = end + 1;
  }
  return rows;
}

/** One batch of the rows, or several where one cannot hold them. @param first the number of the first row */
function* batchesOf(
  input: SealedInput,
  schema: Schema,
  rows: readonly (readonly unknown[])[],
  first: number,
  place: string,
): Generator<RecordBatch> {
  const batch = locating(input.path, place, () => {
    try {
      return newBatch(schema, rows.length, columnsFromJson(schema, rows, first));
    } catch (error) {
      if (!(error instanceof BatchFull)) throw error;
      if (rows.length > 1) return undefined;
      throw new Problem(`row ${first}: it stands for more than memory can hold`, { cause: error });
    }
  });
  if (batch !== undefined) {
    yield batch;
    return;
  }
  const middle = rows.length >> 1;
  yield* batchesOf(input, schema, rows.slice(0, middle), first, place);
  yield* batchesOf(input, schema, rows.slice(middle), first + middle, place);
}
