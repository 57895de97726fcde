import { Buffer } from "node:buffer";
import type { RecordBatch, Schema } from "apache-arrow";
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
  fileHeadJson,
  type Json,
  MAX_LINE_BYTES,
  type PartName,
  type Parts,
  type TableHead,
  tableHeadJson,
} from "./backup-file.ts";
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
  #table = "";
  /** Of the part that is being written. */
  #rows = 0;
  #isBare = false;

  constructor(output: SealedOutput) {
    this.#output = output;
  }

  /** Where the next byte will be. */
  #position(): number {
    this.#output.push(Buffer.from(this.#text));
    this.#text = "";
    return this.#output.position;
  }

  begin(head: FileHead): void {
    this.#text = JSON.stringify(fileHeadJson(head, FORMAT)).slice(0, -1) + TABLES_START;
  }

  beginTable(head: TableHead): number {
    this.#text += Object.keys(this.#index).length === 0 ? "\n" : ",\n";
    const offset = this.#position();
    const json = { ...tableHeadJson(head), ...(head.schema && schemaJson(head.schema)) };
    this.#text += `${JSON.stringify(head.table)}:${JSON.stringify(json).slice(0, -1)}`;
    this.#table = head.table;
    return offset;
  }

  beginPart(name: PartName, schema: Schema): number {
    this.#text += `,${JSON.stringify(name)}:[\n`;
    this.#rows = 0;
    this.#isBare = isBare(name, schema);
    return this.#position();
  }

  async write(batch: RecordBatch): Promise<void> {
    const textOf = this.#rowTexts(batch);
    for (let row = 0; row < batch.numRows; row++) {
      if (this.#rows++ > 0) this.#text += ",\n";
      this.#text += textOf(row);
      if (this.#text.length > STEP) {
        this.#position();
        await this.#output.flush();
      }
    }
  }

  #rowTexts(batch: RecordBatch): (row: number) => string {
    const table = this.#table;
    try {
      const texts = batch.data.children.map(jsonTexts);
      const [only] = texts;
      if (this.#isBare && only) return (row) => lineOf(table, () => only(row));
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

  endPart(): number {
    if (this.#rows > 0) this.#text += "\n";
    const end = this.#position();
    this.#text = "]";
    return end;
  }

  endTable({ table }: TableHead, offset: number, parts: Parts): void {
    this.#index[table] = { offset, ...parts };
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
function schemaJson(schema: Schema): Json {
  const fields = schema.fields.map(({ name, type, nullable }) => ({
    name,
    type: typeSignature(type),
    nullable,
  }));
  return { fields, schema: Buffer.from(encodeSchema(schema)).toString("base64") };
}
