import { Buffer } from "node:buffer";
import type { RecordBatch, Schema } from "apache-arrow";
import { Problem } from "../../arrow/bad-value.ts";
import { decodeSchema, readBatch, verifyBatch } from "../../arrow/ipc-read.ts";
import { type StreamWriter, writeStream } from "../../arrow/ipc-write.ts";
import { schemaSignature } from "../../arrow/schemas.ts";
import type { Fields } from "../../fs/fields.ts";
import {
  BATCH_BYTES,
  type FileDecoder,
  type FileEncoder,
  type FileHead,
  FORMAT,
  fieldsOf,
  fileHeadJson,
  type Json,
  MAX_BATCH_ROWS,
  MAX_INDEX_BYTES,
  PARTS,
  type Part,
  type PartName,
  type Parts,
  parseFileHead,
  parseForm,
  parseParts,
  parseTableHead,
  partOf,
  partSchema,
  type RowKind,
  type TableHead,
  type TableReader,
  tableHeadJson,
} from "./backup-file.ts";
import { locating, type SealedInput } from "./sealed-input.ts";
import type { SealedOutput } from "./sealed-output.ts";

/**
 * The container (docs/formats.md): head; Arrow IPC streams, one a part; index as JSON; its length, u64 LE;
 * SHA-256 of everything before it. The head: these 8 bytes, the format's number and a zero, u32 LE each.
 */
export const MAGIC = Buffer.from("LANCEBAK");
const HEAD_BYTES = 16;
const LENGTH_BYTES = 8;
const DIGEST_BYTES = 32;

/** Of what ends an Arrow IPC stream. */
const END_BYTES = 8;

/** What one batch of a stream holds at most. */
const MOST = { rows: MAX_BATCH_ROWS, bytes: BATCH_BYTES };

function containerHead(): Uint8Array {
  const head = Buffer.alloc(HEAD_BYTES);
  MAGIC.copy(head);
  head.writeUInt32LE(FORMAT, MAGIC.byteLength);
  return head;
}

function lengthBytes(length: number): Uint8Array {
  const bytes = Buffer.alloc(LENGTH_BYTES);
  bytes.writeBigUInt64LE(BigInt(length));
  return bytes;
}

/** Writes the container of Arrow IPC streams; the buffers of a batch go to the disk without being copied. */
export class ArrowEncoder implements FileEncoder {
  readonly #output: SealedOutput;
  readonly #tables: Record<string, Json> = Object.create(null);
  #head: Json = {};
  #stream: StreamWriter | undefined;

  constructor(output: SealedOutput) {
    this.#output = output;
  }

  begin(head: FileHead): void {
    this.#head = fileHeadJson(head, FORMAT);
    this.#output.push(containerHead());
  }

  beginTable(): number {
    return this.#output.position;
  }

  beginPart(_name: PartName, schema: Schema): number {
    const offset = this.#output.position;
    this.#stream = writeStream(schema, MOST, (bytes) => this.#output.push(bytes));
    return offset;
  }

  async write(batch: RecordBatch): Promise<void> {
    this.#stream?.write(batch);
    await this.#output.flush();
  }

  endPart(): number {
    this.#stream?.close();
    return this.#output.position;
  }

  endTable(head: TableHead, _offset: number, parts: Parts): void {
    this.#tables[head.table] = { ...tableHeadJson(head), ...parts };
  }

  async end(): Promise<void> {
    const index = Buffer.from(JSON.stringify({ ...this.#head, tables: this.#tables }));
    this.#output.push(index);
    this.#output.push(lengthBytes(index.byteLength));
  }

  seal(digest: Buffer): Uint8Array {
    return digest;
  }
}

const sealAt = (bytes: number) => bytes - DIGEST_BYTES;

export const arrowDecoder: FileDecoder<SealedInput> = {
  sealAt,
  async readSeal(input) {
    return Buffer.from(await input.read(sealAt(input.bytes), DIGEST_BYTES)).toString("hex");
  },
  readHead: async (input) => (await readIndex(input)).head,
  async readContents(input) {
    const { index, head, start } = await readIndex(input);
    const entries = locating(input.path, "its index", () => Object.entries(index.record("tables")));
    const tables: TableReader[] = [];
    for (const [name, entry] of entries) tables.push(await readTable(input, head, name, entry, start));
    return { head, tables };
  },
};

async function readIndex(input: SealedInput): Promise<{ index: Fields; head: FileHead; start: number }> {
  const lengthAt = sealAt(input.bytes) - LENGTH_BYTES;
  if (lengthAt < HEAD_BYTES) throw input.corrupt("it is too short");
  const length = Number(Buffer.from(await input.read(lengthAt, LENGTH_BYTES)).readBigUInt64LE());
  if (length > MAX_INDEX_BYTES || length > lengthAt - HEAD_BYTES) {
    throw input.corrupt(`its index is said to have ${length} bytes`);
  }
  const start = lengthAt - length;
  const bytes = await input.read(start, length);
  return locating(input.path, "its index", () => {
    const index = fieldsOf(JSON.parse(Buffer.from(bytes).toString()), "index");
    return { index, head: parseFileHead(index), start };
  });
}

async function readTable(
  input: SealedInput,
  file: FileHead,
  name: string,
  entry: unknown,
  end: number,
): Promise<TableReader> {
  const place = `table ${JSON.stringify(name)}`;
  const { fields, form, parts } = locating(input.path, place, () => {
    const fields = fieldsOf(entry, "entry");
    const form = parseForm(fields, file.type);
    return { fields, form, parts: parseParts(form, fields, HEAD_BYTES, end) };
  });
  const streams: Partial<Record<PartName, Awaited<ReturnType<typeof readSchema>>>> = {};
  for (const part of PARTS[form]) {
    const found = parts[part];
    if (found !== undefined) streams[part] = await readSchema(input, found, `${place}, ${part}`);
  }
  const schema = (streams.rows ?? streams.upserts)?.schema;
  const head = locating(input.path, place, () => {
    const checked = parseTableHead(name, fields, schema, file.type);
    for (const part of PARTS[form]) {
      const own = streams[part]?.schema;
      if (own === undefined || schemaSignature(own) !== schemaSignature(partSchema(checked, part))) {
        throw new Problem(`its ${part} have other columns`);
      }
    }
    return checked;
  });
  return {
    head,
    upserts: (parts.rows ?? parts.upserts)?.rows ?? 0,
    deletes: parts.deletes?.rows ?? 0,
    async *batches(kind: RowKind): AsyncGenerator<RecordBatch> {
      const part = partOf(form, kind);
      const [found, stream] = part === undefined ? [] : [parts[part], streams[part]];
      if (found === undefined || stream === undefined) return;
      yield* readBatches(input, found, stream, `${place}, ${part}`);
    },
  };
}

/** The schema at the front of a part, and where its batches begin. */
interface PartStart {
  readonly schema: Schema;
  readonly start: number;
}

async function readSchema(input: SealedInput, part: Part, place: string): Promise<PartStart> {
  const message = await readMessage(input, part, part.offset, place);
  if (message === undefined) throw input.corrupt(`${place}: it has no schema`);
  const schema = locating(input.path, place, () => decodeSchema(message));
  return { schema, start: part.offset + message.byteLength };
}

/** The batches of a part, one in memory at a time. */
async function* readBatches(
  input: SealedInput,
  part: Part,
  { schema, start }: PartStart,
  place: string,
): AsyncGenerator<RecordBatch> {
  const schemaMessage = await input.read(part.offset, start - part.offset);
  /** The messages of dictionaries, each with its body, by number. */
  const dictionaries = new Map<number, readonly Uint8Array[]>();
  let rows = 0;
  for (let position = start; ; ) {
    const where = `${place}, at byte ${position}`;
    const head = await readMessage(input, part, position, where);
    if (head === undefined) break;
    position += head.byteLength;
    const left = part.offset + part.bytes - position;
    const message = locating(input.path, where, () => {
      const found = verifyBatch(head.subarray(8), schema);
      const { bodyBytes } = found;
      if (bodyBytes <= left && bodyBytes % 8 === 0) return found;
      throw new Problem(`a batch has ${bodyBytes} bytes, and ${left} are left`);
    });
    const body = await input.read(position, message.bodyBytes);
    position += message.bodyBytes;
    if (message.dictionary !== undefined) {
      dictionaries.set(message.dictionary, [head, body]);
      continue;
    }
    rows += message.rows;
    yield locating(input.path, where, () => {
      if (message.rows > MAX_BATCH_ROWS || rows > part.rows)
        throw new Problem(`a batch has ${message.rows} rows`);
      return readBatch(schema, message.rows, [
        schemaMessage,
        ...[...dictionaries.values()].flat(),
        head,
        body,
      ]);
    });
  }
  if (rows !== part.rows)
    throw input.corrupt(`${place}: it has ${rows} rows where ${part.rows} are announced`);
}

/** The message at `position` but for its body, or undefined for the end of the stream, which must be that of the part. */
async function readMessage(
  input: SealedInput,
  part: Part,
  position: number,
  place: string,
): Promise<Uint8Array | undefined> {
  const left = part.offset + part.bytes - position;
  if (left < END_BYTES) throw input.corrupt(`${place}: its stream has no end`);
  const view = new DataView((await input.read(position, 8)).buffer);
  const size = view.getInt32(4, true);
  if (view.getInt32(0, true) !== -1 || size < 0 || size % 8 !== 0 || size > left - 8) {
    throw input.corrupt(`${place}: no Arrow message of a size that fits is there`);
  }
  if (size > 0) return input.read(position, 8 + size);
  if (left !== END_BYTES) throw input.corrupt(`${place}: its stream ends too early`);
  return undefined;
}
