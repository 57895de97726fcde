import { Buffer } from "node:buffer";
import type { RecordBatch } from "apache-arrow";
import { UnsupportedError } from "../../../errors.ts";
import { fileHeadJson, type Json, tableHeadJson } from "../document.ts";
import type { FileEncoder } from "../encoder.ts";
import { encodeSchema } from "../ipc/schema-message.ts";
import { FORMAT } from "../limits.ts";
import type { PartName, Parts } from "../parts.ts";
import { Problem } from "../problem.ts";
import { typeSignature } from "../schema/signature.ts";
import type { SealedOutput } from "../sealed-output.ts";
import type { FileHead, TableHead } from "../types.ts";
import { encodeObject } from "./encode-column.ts";
import { INDEX_START, SEAL_END, SEAL_START, TABLES_END, TABLES_START } from "./layout.ts";
import { JsonOutput } from "./output.ts";

const FLUSH_BYTES = 512 * 1024;
const COMMA = 0x2c;

/** Writes JSON, a row a line. */
export class JsonEncoder implements FileEncoder {
  readonly #output: SealedOutput;
  readonly #out = new JsonOutput();
  readonly #index: Record<string, Json> = Object.create(null);
  #table: { readonly head: TableHead; readonly offset: number; readonly parts: Parts } | undefined;
  #part: { readonly name: PartName; readonly offset: number; rows: number } | undefined;

  constructor(output: SealedOutput) {
    this.#output = output;
  }

  get #position(): number {
    return this.#output.position + this.#out.length;
  }

  #text(text: string): void {
    this.#out.raw(Buffer.from(text));
  }

  async begin(head: FileHead): Promise<void> {
    this.#text(`${JSON.stringify(fileHeadJson(head, FORMAT)).slice(0, -1)}${TABLES_START}`);
  }

  async beginTable(head: TableHead): Promise<void> {
    this.#text(Object.keys(this.#index).length === 0 ? "\n" : ",\n");
    this.#table = { head, offset: this.#position, parts: {} };
    const json = { ...tableHeadJson(head), ...(head.schema && schemaJson(head)) };
    this.#text(`${JSON.stringify(head.table)}:${JSON.stringify(json).slice(0, -1)}`);
  }

  async beginPart(name: PartName): Promise<void> {
    this.#text(`,${JSON.stringify(name)}:[`);
    this.#out.endLine();
    this.#part = { name, offset: this.#position, rows: 0 };
  }

  async write(batch: RecordBatch): Promise<void> {
    if (this.#part === undefined) throw new TypeError("A batch is in a part.");
    const encode = this.#rowEncoder(batch);
    for (let row = 0; row < batch.numRows; row++) {
      if (this.#part.rows++ > 0) {
        this.#out.byte(COMMA);
        this.#out.endLine();
      }
      encode(row);
      if (this.#out.length > FLUSH_BYTES) await this.#flush();
    }
  }

  #rowEncoder(batch: RecordBatch) {
    const names = batch.schema.fields.map((field) => field.name);
    try {
      return encodeObject(names, batch.data.children, this.#out);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const table = this.#table?.head.table;
      throw new UnsupportedError(
        `Table ${table} cannot be written as JSON: ${error.message}; use the format "arrow".`,
        {
          cause: error,
        },
      );
    }
  }

  async #flush(): Promise<void> {
    this.#output.push(this.#out.bytes());
    await this.#output.flush();
    this.#out.clear();
  }

  async endPart(): Promise<void> {
    if (this.#part === undefined || this.#table === undefined) throw new TypeError("No part was begun.");
    const { name, offset, rows } = this.#part;
    if (rows > 0) this.#out.endLine();
    this.#table.parts[name] = { offset, bytes: this.#position - offset, rows };
    this.#part = undefined;
    this.#text("]");
  }

  async endTable(): Promise<void> {
    if (this.#table === undefined) throw new TypeError("No table was begun.");
    const { head, offset, parts } = this.#table;
    this.#index[head.table] = { offset, ...parts };
    this.#text("}");
  }

  async end(): Promise<void> {
    this.#text(`${TABLES_END}${INDEX_START}${JSON.stringify(this.#index)}${SEAL_START}`);
    await this.#flush();
  }

  seal(digest: Buffer): Uint8Array {
    return Buffer.from(digest.toString("hex") + SEAL_END);
  }
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
