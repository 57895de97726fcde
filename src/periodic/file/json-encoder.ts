import { Buffer } from "node:buffer";
import type { RecordBatch } from "apache-arrow";
import { Problem } from "../../arrow/bad-value.ts";
import { jsonTexts } from "../../arrow/codecs.ts";
import { encodeSchema } from "../../arrow/ipc-write.ts";
import { typeSignature } from "../../arrow/types.ts";
import { UnsupportedError } from "../../errors.ts";
import { isError } from "../../fs/io.ts";
import {
  type FileEncoder,
  type FileHead,
  FORMAT,
  MAX_LINE_BYTES,
  type PartName,
  type TableHead,
} from "./backup-file.ts";
import { fileHeadJson, type Json, type Parts, tableHeadJson } from "./file-document.ts";
import { INDEX_START, isBare, SEAL_END, SEAL_START, TABLES_END, TABLES_START } from "./json-contents.ts";
import type { SealedOutput } from "./sealed-output.ts";

/** Characters of text that become bytes in one step. */
const STEP = 512 * 1024;

/**
 * Writes JSON, a row a line (docs/formats.md):
 *
 * ```
 * {"type":…,"format":2,…,"tables":{
 * "<table>":{…,"rows":[
 * {…},
 * {…}
 * ]},
 * "<table>":{…}
 * },
 * "index":{…},
 * "sha256":"<64 hex digits>"}
 * ```
 */
export class JsonEncoder implements FileEncoder {
  readonly #output: SealedOutput;
  readonly #index: Record<string, Json> = Object.create(null);
  /** Text that is no bytes yet. */
  #text = "";
  #table: { readonly head: TableHead; readonly offset: number; readonly parts: Parts } | undefined;
  #part: { readonly name: PartName; readonly offset: number; rows: number } | undefined;

  constructor(output: SealedOutput) {
    this.#output = output;
  }

  /** Where the next byte will be. */
  #position(): number {
    this.#output.push(Buffer.from(this.#text));
    this.#text = "";
    return this.#output.position;
  }

  async begin(head: FileHead): Promise<void> {
    this.#text = JSON.stringify(fileHeadJson(head, FORMAT)).slice(0, -1) + TABLES_START;
  }

  async beginTable(head: TableHead): Promise<void> {
    this.#text += Object.keys(this.#index).length === 0 ? "\n" : ",\n";
    this.#table = { head, offset: this.#position(), parts: {} };
    const json = { ...tableHeadJson(head), ...(head.schema && schemaJson(head)) };
    this.#text += `${JSON.stringify(head.table)}:${JSON.stringify(json).slice(0, -1)}`;
  }

  async beginPart(name: PartName): Promise<void> {
    this.#text += `,${JSON.stringify(name)}:[\n`;
    this.#part = { name, offset: this.#position(), rows: 0 };
  }

  async write(batch: RecordBatch): Promise<void> {
    if (this.#part === undefined) throw new TypeError("A batch is in a part.");
    const textOf = this.#rowTexts(batch, this.#part.name);
    for (let row = 0; row < batch.numRows; row++) {
      if (this.#part.rows++ > 0) this.#text += ",\n";
      this.#text += textOf(row);
      if (this.#text.length > STEP) {
        this.#position();
        await this.#output.flush();
      }
    }
  }

  #rowTexts(batch: RecordBatch, part: PartName): (row: number) => string {
    const table = this.#table?.head.table ?? "";
    try {
      const texts = batch.data.children.map(jsonTexts);
      const [only] = texts;
      if (isBare(part, batch.schema) && only) return (row) => lineOf(table, () => only(row));
      const names = batch.schema.fields.map(({ name }) => JSON.stringify(name));
      return (row) =>
        lineOf(table, () => `{${texts.map((textOf, at) => `${names[at]}:${textOf(row)}`).join(",")}}`);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      throw new UnsupportedError(
        `Table ${table} cannot be written as JSON: ${error.message}; use the format "arrow".`,
        { cause: error },
      );
    }
  }

  async endPart(): Promise<void> {
    if (this.#part === undefined || this.#table === undefined) throw new TypeError("No part was begun.");
    const { name, offset, rows } = this.#part;
    if (rows > 0) this.#text += "\n";
    this.#table.parts[name] = { offset, bytes: this.#position() - offset, rows };
    this.#part = undefined;
    this.#text = "]";
  }

  async endTable(): Promise<void> {
    if (this.#table === undefined) throw new TypeError("No table was begun.");
    const { head, offset, parts } = this.#table;
    this.#index[head.table] = { offset, ...parts };
    this.#text += "}";
  }

  async end(): Promise<void> {
    this.#text += `${TABLES_END}${INDEX_START}${JSON.stringify(this.#index)}${SEAL_START}`;
    this.#position();
    await this.#output.flush();
  }

  seal(digest: Buffer): Uint8Array {
    return Buffer.from(digest.toString("hex") + SEAL_END);
  }
}

/** @throws UnsupportedError where the row is too long for a reader */
function lineOf(table: string, textOf: () => string): string {
  let cause: unknown;
  try {
    const text = textOf();
    const isShort = text.length <= MAX_LINE_BYTES / 3; // a character has 3 bytes at most
    if (isShort || Buffer.byteLength(text) <= MAX_LINE_BYTES) return text;
  } catch (error) {
    if (!isError(error) || error.name !== "RangeError") throw error; // longer than any string can be
    cause = error;
  }
  throw new UnsupportedError(
    `A row of table ${table} has more than ${MAX_LINE_BYTES / 1024 / 1024} MB as JSON; write this table with the format "arrow".`,
    { cause },
  );
}

/** The schema for people, and as an Arrow IPC message for programs. */
function schemaJson({ schema }: TableHead): Json {
  if (schema === undefined) return {};
  const fields = schema.fields.map(({ name, type, nullable }) => ({
    name,
    type: typeSignature(type),
    nullable,
  }));
  return { fields, schema: Buffer.from(encodeSchema(schema)).toString("base64") };
}
