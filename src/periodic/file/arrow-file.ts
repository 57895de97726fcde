import { Buffer } from "node:buffer";
import type { RecordBatch, Schema } from "apache-arrow";
import { Problem } from "../../arrow/bad-value.ts";
import { decodeSchema, readBatch, verifyBatch } from "../../arrow/ipc-read.ts";
import { type StreamWriter, writeStream } from "../../arrow/ipc-write.ts";
import { schemaSignature } from "../../arrow/schemas.ts";
import {
  BATCH_BYTES,
  type Contents,
  type FileEncoder,
  type FileHead,
  FORMAT,
  MAX_BATCH_ROWS,
  MAX_INDEX_BYTES,
  type PartName,
  type RowKind,
  type TableContents,
  type TableHead,
} from "./backup-file.ts";
import {
  asObject,
  fileHeadJson,
  type Json,
  PARTS,
  type Part,
  type Parts,
  parseFileHead,
  parseForm,
  parseParts,
  parseTableHead,
  partOf,
  partSchema,
  tableHeadJson,
} from "./file-document.ts";
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
  #table: { readonly head: TableHead; readonly parts: Parts } | undefined;
  #part:
    | { readonly name: PartName; readonly offset: number; readonly stream: StreamWriter; rows: number }
    | undefined;

  constructor(output: SealedOutput) {
    this.#output = output;
  }

  async begin(head: FileHead): Promise<void> {
    this.#head = fileHeadJson(head, FORMAT);
    this.#output.push(containerHead());
  }

  async beginTable(head: TableHead): Promise<void> {
    this.#table = { head, parts: {} };
  }

  async beginPart(name: PartName): Promise<void> {
    if (this.#table === undefined) throw new TypeError("A part is in a table.");
    const offset = this.#output.position;
    const schema = partSchema(this.#table.head, name);
    const stream = writeStream(schema, MOST, (bytes) => this.#output.push(bytes));
    this.#part = { name, offset, stream, rows: 0 };
  }

  async write(batch: RecordBatch): Promise<void> {
    if (this.#part === undefined) throw new TypeError("A batch is in a part.");
    this.#part.stream.write(batch);
    this.#part.rows += batch.numRows;
    await this.#output.flush();
  }

  async endPart(): Promise<void> {
    if (this.#part === undefined || this.#table === undefined) throw new TypeError("No part was begun.");
    const { name, offset, stream, rows } = this.#part;
    stream.close();
    const part: Part = { offset, bytes: this.#output.position - offset, rows };
    this.#table.parts[name] = part;
    this.#part = undefined;
  }

  async endTable(): Promise<void> {
    if (this.#table === undefined) throw new TypeError("No table was begun.");
    const { head, parts } = this.#table;
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

/** Where the checksum stands, which is of everything before it. */
export function arrowSealAt(bytes: number): number {
  return bytes - DIGEST_BYTES;
}

export async function readArrowSeal(input: SealedInput): Promise<string> {
  const digest = await input.read(arrowSealAt(input.bytes), DIGEST_BYTES);
  return Buffer.from(digest).toString("hex");
}

/** The index, without a look at any table. */
export async function readArrowIndex(
  input: SealedInput,
): Promise<{ json: Json; head: FileHead; start: number }> {
  const lengthAt = arrowSealAt(input.bytes) - LENGTH_BYTES;
  if (lengthAt < HEAD_BYTES) throw input.corrupt("it is too short");
  const length = Number(Buffer.from(await input.read(lengthAt, LENGTH_BYTES)).readBigUInt64LE());
  if (length > MAX_INDEX_BYTES || length > lengthAt - HEAD_BYTES) {
    throw input.corrupt(`its index is said to have ${length} bytes`);
  }
  const start = lengthAt - length;
  const bytes = await input.read(start, length);
  return locating(input.path, "its index", () => {
    const json = asObject(JSON.parse(Buffer.from(bytes).toString()), "it");
    return { json, head: parseFileHead(json), start };
  });
}

export async function readArrowContents(input: SealedInput): Promise<Contents> {
  const { json, head, start } = await readArrowIndex(input);
  const tables: TableContents[] = [];
  const entries = locating(input.path, "its index", () =>
    Object.entries(asObject(json["tables"], '"tables"')),
  );
  for (const [name, entry] of entries) tables.push(await readTable(input, head, name, entry, start));
  return { head, tables };
}

async function readTable(
  input: SealedInput,
  file: FileHead,
  name: string,
  entry: unknown,
  end: number,
): Promise<TableContents> {
  const place = `table ${JSON.stringify(name)}`;
  const json = locating(input.path, place, () => asObject(entry, "its entry in the index"));
  const form = locating(input.path, place, () => parseForm(json, file.type));
  const parts = locating(input.path, place, () => parseParts(form, json, HEAD_BYTES, end));
  const streams: Partial<Record<PartName, Awaited<ReturnType<typeof readSchema>>>> = {};
  for (const part of PARTS[form]) {
    const found = parts[part];
    if (found !== undefined) streams[part] = await readSchema(input, found, `${place}, ${part}`);
  }
  const schema = (streams.rows ?? streams.upserts)?.schema;
  const head = locating(input.path, place, () => {
    const checked = parseTableHead(name, json, schema, file.type);
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
