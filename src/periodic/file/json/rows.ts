import { isUtf8 } from "node:buffer";
import type { RecordBatch, Schema } from "apache-arrow";
import { MAX_LINE_BYTES } from "../limits.ts";
import type { Part } from "../parts.ts";
import { locating, Problem } from "../problem.ts";
import type { SealedInput } from "../sealed-input.ts";
import { buildBatches, RowProblem, type RowSource } from "./build-batch.ts";
import { RowParser } from "./parse-row.ts";

const CHUNK_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;
const COMMA = 0x2c;

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
    const source = locating(input.path, `${place}, rows from ${first} on`, () => {
      if (!isUtf8(lines)) throw new Problem("its text is not valid UTF-8");
      return new Lines(schema, lines, part.rows - rows);
    });
    rows += source.length;
    yield* locatingRows(input.path, place, first, buildBatches(schema, source));
  }
  if (rows !== part.rows)
    throw input.corrupt(`${place}: it has ${rows} rows where ${part.rows} are announced`);
}

/** Whole lines, many at a time. The bytes are used again for the next ones. */
async function* readLines(input: SealedInput, part: Part, place: string): AsyncGenerator<Uint8Array> {
  const end = part.offset + part.bytes;
  let memory = new Uint8Array(Math.min(CHUNK_BYTES, part.bytes));
  for (let position = part.offset; position < end; ) {
    const chunk = memory.subarray(0, Math.min(memory.byteLength, end - position));
    await input.readInto(chunk, position);
    const last = chunk.lastIndexOf(NEWLINE);
    if (last >= 0) {
      yield chunk.subarray(0, last + 1);
      position += last + 1;
      if (memory.byteLength > CHUNK_BYTES) memory = new Uint8Array(CHUNK_BYTES);
      continue;
    }
    if (position + chunk.byteLength === end)
      throw input.corrupt(`${place}: its last line, at byte ${position}, has no end`);
    if (memory.byteLength > MAX_LINE_BYTES)
      throw input.corrupt(`${place}: the line at byte ${position} is too long`);
    memory = new Uint8Array(Math.min(memory.byteLength * 4, end - position));
  }
}

/** Lines that each hold a row, with a comma after all but the part's last. */
class Lines implements RowSource {
  readonly #lines: Uint8Array;
  readonly #parser: RowParser;
  /** Where each line begins; behind them, where the next would. */
  readonly #starts: number[] = [0];
  readonly #expected: number;

  /** @param expected how many rows the part still has, these included. */
  constructor(schema: Schema, lines: Uint8Array, expected: number) {
    this.#parser = new RowParser(schema.fields, lines);
    this.#expected = expected;
    this.#lines = lines;
    for (let at = lines.indexOf(NEWLINE); at >= 0; at = lines.indexOf(NEWLINE, at + 1))
      this.#starts.push(at + 1);
  }

  get length(): number {
    return this.#starts.length - 1;
  }

  membersAt(row: number): readonly unknown[] {
    const start = this.#starts[row] ?? 0;
    const end = (this.#starts[row + 1] ?? 0) - 1;
    const isLast = row + 1 === this.#expected;
    if (isLast) return this.#parser.parse(start, end);
    if (this.#lines[end - 1] !== COMMA) throw new Problem("it ends without a comma");
    return this.#parser.parse(start, end - 1);
  }
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
