import { Buffer, isUtf8 } from "node:buffer";
import type { RecordBatch, Schema } from "apache-arrow";
import { MAX_LINE_BYTES } from "../limits.ts";
import type { Part } from "../parts.ts";
import { locating, Problem } from "../problem.ts";
import type { SealedInput } from "../sealed-input.ts";
import { buildBatches, RowProblem } from "./build-batch.ts";

const CHUNK_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;

/** The rows of a part, as batches of some 1 MB of text. */
export async function* readRows(
  input: SealedInput,
  part: Part,
  schema: Schema,
  place: string,
): AsyncGenerator<RecordBatch> {
  let rows = 0;
  for await (const lines of readLines(input, part, place)) {
    const first = rows + 1;
    const values = locating(input.path, `${place}, rows from ${first} on`, () => parseLines(lines));
    rows += values.length;
    yield* locatingRows(input.path, place, first, buildBatches(schema, values));
  }
  if (rows !== part.rows)
    throw input.corrupt(`${place}: it has ${rows} rows where ${part.rows} are announced`);
}

/** Whole lines, many at a time, without the newline after the last. */
async function* readLines(input: SealedInput, part: Part, place: string): AsyncGenerator<Uint8Array> {
  const end = part.offset + part.bytes;
  let chunkBytes = CHUNK_BYTES;
  for (let position = part.offset; position < end; ) {
    const chunk = await input.read(position, Math.min(chunkBytes, end - position));
    const last = chunk.lastIndexOf(NEWLINE);
    if (last >= 0) {
      yield chunk.subarray(0, last);
      position += last + 1;
      chunkBytes = CHUNK_BYTES;
      continue;
    }
    if (position + chunk.byteLength === end)
      throw input.corrupt(`${place}: its last line, at byte ${position}, has no end`);
    if (chunkBytes > MAX_LINE_BYTES)
      throw input.corrupt(`${place}: the line at byte ${position} is too long`);
    chunkBytes *= 4;
  }
}

/** The values of lines that each hold one, with a comma after all but a part's last. */
function parseLines(lines: Uint8Array): unknown[] {
  const text = Buffer.from(lines.buffer, lines.byteOffset, lines.byteLength);
  if (!isUtf8(text)) throw new Problem("its text is not valid UTF-8");
  const end = text.at(-1) === 0x2c ? text.byteLength - 1 : text.byteLength;
  const values: unknown = JSON.parse(`[${text.toString("utf8", 0, end)}]`);
  if (!Array.isArray(values)) throw new Problem("its text is no list of rows");
  return values;
}

function* locatingRows(
  path: string,
  place: string,
  first: number,
  batches: Iterator<RecordBatch>,
): Generator<RecordBatch> {
  for (;;) {
    const { value, done } = locating(path, place, () => {
      try {
        return batches.next();
      } catch (error) {
        if (error instanceof RowProblem)
          throw new Problem(`row ${first + error.row}: ${error.message}`, { cause: error });
        throw error;
      }
    });
    if (done) return;
    yield value;
  }
}
