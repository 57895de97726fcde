import { Buffer } from "node:buffer";
import type { Data, RecordBatch, Schema } from "apache-arrow";
import { type Assembled, assemble, assembleColumns } from "../../arrow/ipc/assemble.ts";
import { type BatchMessage, decodeBatch, encodeBatch } from "../../arrow/ipc/batch-message.ts";
import { type Dictionaries, loadBatch, loadColumns } from "../../arrow/ipc/load.ts";
import { decodeSchema, encodeSchema } from "../../arrow/ipc/schema-message.ts";
import { Problem } from "../../arrow/problem.ts";
import { schemaSignature } from "../../arrow/signature.ts";
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

/** What ends an Arrow IPC stream. */
const END_OF_STREAM = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0);

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

const PADDING = new Uint8Array(8);

/** Writes the container of Arrow IPC streams; the buffers of a batch go to the disk without being copied. */
export class ArrowEncoder implements FileEncoder {
  readonly #output: SealedOutput;
  readonly #tables: Record<string, Json> = Object.create(null);
  #head: Json = {};
  #table: { readonly head: TableHead; readonly parts: Parts } | undefined;
  #part: { readonly name: PartName; readonly offset: number; rows: number } | undefined;
  /** The dictionaries that the stream has, by number. */
  #dictionaries: Data[] = [];

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
    this.#part = { name, offset: this.#output.position, rows: 0 };
    this.#dictionaries = [];
    this.#output.push(encodeSchema(partSchema(this.#table.head, name)));
  }

  async write(batch: RecordBatch): Promise<void> {
    if (this.#part === undefined) throw new TypeError("A batch is in a part.");
    const rows = batch.numRows;
    const assembled = assemble(batch);
    if (rows > 1 && (rows > MAX_BATCH_ROWS || assembled.bodyBytes > BATCH_BYTES)) {
      const half = rows >> 1;
      await this.write(batch.slice(0, half));
      await this.write(batch.slice(half, rows));
      return;
    }
    assembled.dictionaries.forEach((dictionary, id) => {
      if (this.#dictionaries[id] === dictionary) return;
      this.#dictionaries[id] = dictionary;
      this.#push(assembleColumns([dictionary], dictionary.length), id);
    });
    this.#push(assembled);
    this.#part.rows += rows;
    await this.#output.flush();
  }

  #push(assembled: Assembled, dictionary?: number): void {
    this.#output.push(encodeBatch(assembled.layout, assembled.bodyBytes, dictionary));
    for (const buffer of assembled.buffers) {
      this.#output.push(buffer);
      this.#output.push(PADDING.subarray(0, -buffer.byteLength & 7));
    }
  }

  async endPart(): Promise<void> {
    if (this.#part === undefined || this.#table === undefined) throw new TypeError("No part was begun.");
    this.#output.push(END_OF_STREAM);
    const { name, offset, rows } = this.#part;
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
      yield* readBatches(input, found, stream.schema, stream.start, `${place}, ${part}`);
    },
  };
}

/** The schema at the front of a part, and where its batches begin. */
async function readSchema(
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
async function* readBatches(
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
