import { Buffer } from "node:buffer";
import type { RecordBatch } from "apache-arrow";
import { decodeSchema } from "../../../arrow/ipc/schema-message.ts";
import { Problem } from "../../../arrow/problem.ts";
import type { Contents, TableContents } from "../contents.ts";
import { asCount, asObject, type Json, parseFileHead, parseForm, parseTableHead } from "../document.ts";
import { MAX_INDEX_BYTES, MAX_LINE_BYTES } from "../limits.ts";
import { PARTS, parseParts, partOf, partSchema } from "../parts.ts";
import { locating } from "../problem.ts";
import type { SealedInput } from "../sealed-input.ts";
import type { FileHead, RowKind } from "../types.ts";
import { DIGEST_DIGITS, INDEX_START, readRows, SEAL_END, SEAL_START, TABLES_START } from "./json-lines.ts";

const STEP = 64 * 1024;
const NEWLINE = 0x0a;

/** Where the checksum's digits stand, which are of everything before them. */
export function jsonSealAt(bytes: number): number {
  return bytes - DIGEST_DIGITS - SEAL_END.length;
}

export async function readJsonSeal(input: SealedInput): Promise<string> {
  const start = jsonSealAt(input.bytes) - SEAL_START.length;
  if (start < 0) throw input.corrupt("it is too short");
  const text = Buffer.from(await input.read(start, input.bytes - start)).toString("latin1");
  const digits = text.slice(SEAL_START.length, -SEAL_END.length);
  if (text !== SEAL_START + digits + SEAL_END || !/^[0-9a-f]{64}$/.test(digits)) {
    throw input.corrupt("it does not end with its checksum; it may be cut short");
  }
  return digits;
}

export async function readJsonHead(input: SealedInput): Promise<FileHead> {
  const line = await readLine(input, 0, "its first line");
  return locating(input.path, "its first line", () => {
    if (!line.endsWith(TABLES_START)) throw new Problem("it is not as it must be");
    return parseFileHead(asObject(JSON.parse(`${line.slice(0, -TABLES_START.length)}}`), "it"));
  });
}

export async function readJsonContents(input: SealedInput): Promise<Contents> {
  const head = await readJsonHead(input);
  const { json, start } = await readIndex(input);
  const entries = locating(input.path, "its index", () =>
    Object.entries(json)
      .map(([name, entry]) => ({ name, entry: asObject(entry, `the entry of ${JSON.stringify(name)}`) }))
      .map(({ name, entry }) => ({ name, entry, offset: asCount(entry["offset"], "an offset") }))
      .sort((a, b) => a.offset - b.offset),
  );
  const tables: TableContents[] = [];
  for (const { name, entry, offset } of entries)
    tables.push(await readTable(input, head, name, entry, offset, start));
  return { head, tables };
}

/** The line of the index, which is the last but one. */
async function readIndex(input: SealedInput): Promise<{ json: Json; start: number }> {
  const end = jsonSealAt(input.bytes) - SEAL_START.length;
  let text = Buffer.alloc(0);
  let start = end;
  while (start > 0 && !text.includes(NEWLINE)) {
    if (text.byteLength > MAX_INDEX_BYTES) throw input.corrupt("its index is too long");
    const step = Math.min(start, Math.max(STEP, text.byteLength));
    start -= step;
    text = Buffer.concat([await input.read(start, step), text]);
  }
  const at = text.lastIndexOf(INDEX_START);
  const json = locating(input.path, "its index", () => {
    if (at < 0) throw new Problem("it is missing");
    return asObject(JSON.parse(text.toString("utf8", at + INDEX_START.length)), "it");
  });
  return { json, start: start + at };
}

async function readTable(
  input: SealedInput,
  file: FileHead,
  name: string,
  entry: Json,
  offset: number,
  end: number,
): Promise<TableContents> {
  const place = `table ${JSON.stringify(name)}`;
  const line = await readLine(input, offset, place);
  const { head, parts } = locating(input.path, place, () => {
    const json = parseTableLine(line, name);
    const encoded = json["schema"];
    const schema =
      typeof encoded === "string" ? decodeSchema(new Uint8Array(Buffer.from(encoded, "base64"))) : undefined;
    const form = parseForm(json, file.type);
    return {
      head: parseTableHead(name, json, schema, file.type),
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
function parseTableLine(line: string, name: string): Json {
  const start = [...new Set(Object.values(PARTS).flatMap(([first]) => first ?? []))]
    .map((part) => `,${JSON.stringify(part)}:[`)
    .find((text) => line.endsWith(text));
  const text = start === undefined ? line.replace(/,$/, "") : `${line.slice(0, -start.length)}}`;
  const document = asObject(JSON.parse(`{${text}}`), "its first line");
  if (!Object.hasOwn(document, name)) throw new Problem("its first line is another table's");
  return asObject(document[name], "its first line");
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
