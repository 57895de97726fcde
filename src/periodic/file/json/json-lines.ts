import { isUtf8 } from "node:buffer";
import type { RecordBatch, Schema } from "apache-arrow";
import { arrow } from "../../../arrow/arrow.ts";
import { column } from "../../../arrow/column.ts";
import {
  BatchFull,
  columnsFromJson,
  membersOf,
  ValueProblem,
} from "../../../arrow/json/columns-from-json.ts";
import { Problem } from "../../../arrow/problem.ts";
import { MAX_LINE_BYTES } from "../limits.ts";
import type { Part, PartName } from "../parts.ts";
import { locating } from "../problem.ts";
import type { SealedInput } from "../sealed-input.ts";

// What stands between the lines of a JSON file, as `JsonEncoder` shows, and how lines of rows are read.

export const TABLES_START = ',"tables":{';
export const TABLES_END = "\n}";
export const INDEX_START = ',\n"index":';
export const SEAL_START = ',\n"sha256":"';
export const SEAL_END = '"}\n';
export const DIGEST_DIGITS = 64;

const CHUNK_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;

/** Whether a line is a value and no object: the key of a row to delete, where it is one column. */
export function isBare(part: PartName, schema: Schema): boolean {
  return part === "deletes" && schema.fields.length === 1;
}

/** The rows of a part, as batches of some 1 MB of text. */
export async function* readRows(
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
      const children = columnsFromJson(schema, rows);
      const data = column(new arrow.Struct(schema.fields), rows.length, 0, { children });
      return new arrow.RecordBatch(schema, data as never);
    } catch (error) {
      if (error instanceof ValueProblem) {
        throw new Problem(`row ${first + error.index}: ${error.message}`, { cause: error });
      }
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
