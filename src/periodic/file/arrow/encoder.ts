import { Buffer } from "node:buffer";
import type { Data, RecordBatch } from "apache-arrow";
import { type Assembled, assemble, assembleColumns } from "../../../arrow/ipc/assemble.ts";
import { encodeBatch } from "../../../arrow/ipc/batch-message.ts";
import { encodeSchema } from "../../../arrow/ipc/schema-message.ts";
import { fileHeadJson, type Json, tableHeadJson } from "../document.ts";
import type { FileEncoder } from "../encoder.ts";
import { BATCH_BYTES, FORMAT, MAX_BATCH_ROWS } from "../limits.ts";
import { type Part, type PartName, type Parts, partSchema } from "../parts.ts";
import type { SealedOutput } from "../sealed-output.ts";
import type { FileHead, TableHead } from "../types.ts";
import { containerHead, END_OF_STREAM, lengthBytes } from "./container.ts";

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
