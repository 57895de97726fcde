import type { RecordBatch, Schema } from "apache-arrow";
import { type BatchMessage, decodeBatch } from "../../../arrow/ipc/batch-message.ts";
import { type Dictionaries, loadBatch, loadColumns } from "../../../arrow/ipc/load.ts";
import { decodeSchema } from "../../../arrow/ipc/schema-message.ts";
import { Problem } from "../../../arrow/problem.ts";
import { MAX_BATCH_ROWS } from "../limits.ts";
import type { Part } from "../parts.ts";
import { locating } from "../problem.ts";
import type { SealedInput } from "../sealed-input.ts";
import { END_OF_STREAM } from "./container.ts";

/** The schema at the front of a part, and where its batches begin. */
export async function readSchema(
  input: SealedInput,
  part: Part,
  place: string,
): Promise<{ readonly schema: Schema; readonly start: number }> {
  const message = await readMessage(input, part, part.offset, place);
  if (message === undefined) throw input.corrupt(`${place}: it has no schema`);
  const whole = await input.read(part.offset, message.bytes);
  const schema = locating(input.path, place, () => decodeSchema(whole));
  return { schema, start: part.offset + message.bytes };
}

/** The batches of a part, one in memory at a time. */
export async function* readBatches(
  input: SealedInput,
  part: Part,
  schema: Schema,
  start: number,
  place: string,
): AsyncGenerator<RecordBatch> {
  const dictionaries: Dictionaries = new Map();
  let rows = 0;
  for (let position = start; ; ) {
    const where = `${place}, at byte ${position}`;
    const found = await readMessage(input, part, position, where);
    if (found === undefined) break;
    const message = locating(input.path, where, () =>
      checked(decodeBatch(found.metadata), part, position + found.bytes),
    );
    const body = await input.read(position + found.bytes, message.bodyBytes);
    position += found.bytes + message.bodyBytes;
    const { dictionary } = message;
    if (dictionary !== undefined) {
      locating(input.path, where, () => {
        const type = schema.dictionaries.get(dictionary);
        if (type === undefined) throw new Problem(`no column has the dictionary ${dictionary}`);
        const [data] = loadColumns([type], message, body, dictionaries);
        if (data !== undefined) dictionaries.set(dictionary, data);
      });
      continue;
    }
    const batch = locating(input.path, where, () => {
      rows += message.rows;
      if (message.rows > MAX_BATCH_ROWS || rows > part.rows)
        throw new Problem(`a batch has ${message.rows} rows`);
      return loadBatch(schema, message, body, dictionaries);
    });
    yield batch;
  }
  if (rows !== part.rows)
    throw input.corrupt(`${place}: it has ${rows} rows where ${part.rows} are announced`);
}

interface FoundMessage {
  readonly metadata: Uint8Array;
  /** Of marker, length and metadata. */
  readonly bytes: number;
}

/** The message at `position`, or undefined for the end of the stream, which must be that of the part. */
async function readMessage(
  input: SealedInput,
  part: Part,
  position: number,
  place: string,
): Promise<FoundMessage | undefined> {
  const left = part.offset + part.bytes - position;
  if (left < END_OF_STREAM.byteLength) throw input.corrupt(`${place}: its stream has no end`);
  const prefix = await input.read(position, 8);
  const view = new DataView(prefix.buffer);
  const size = view.getInt32(4, true);
  if (view.getInt32(0, true) !== -1 || size < 0 || size % 8 !== 0 || size > left - 8) {
    throw input.corrupt(`${place}: no Arrow message of a size that fits is there`);
  }
  if (size > 0) return { metadata: await input.read(position + 8, size), bytes: 8 + size };
  if (left !== END_OF_STREAM.byteLength) throw input.corrupt(`${place}: its stream ends too early`);
  return undefined;
}

function checked(message: BatchMessage, part: Part, bodyStart: number): BatchMessage {
  const left = part.offset + part.bytes - bodyStart;
  if (message.bodyBytes > left || message.bodyBytes % 8 !== 0) {
    throw new Problem(`a batch has ${message.bodyBytes} bytes, and ${left} are left`);
  }
  return message;
}
