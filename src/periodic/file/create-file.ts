import type { RecordBatch, Schema } from "apache-arrow";
import { arrow } from "../../arrow/arrow.ts";
import { newBatch } from "../../arrow/column.ts";
import { assertColumns, numberDictionaries, schemaSignature } from "../../arrow/schemas.ts";
import { ValidationError } from "../../errors.ts";
import { ArrowEncoder } from "./arrow-file.ts";
import {
  type BackupFileWriter,
  type FileEncoder,
  type FileFormat,
  type FileHead,
  FORMAT,
  fieldsOf,
  fileHeadJson,
  PARTS,
  type PartName,
  type Parts,
  parseFileHead,
  parseTableHead,
  partOf,
  partSchema,
  type RowKind,
  type TableHead,
} from "./backup-file.ts";
import { JsonEncoder } from "./json-encoder.ts";
import { validating } from "./sealed-input.ts";
import { SealedOutput } from "./sealed-output.ts";

/**
 * Begins a backup file. It appears under `path` when `finish` has written and synced it whole; until then,
 * and after `abort` or a death, there is at most `.<name>.<process>.<random>.tmp` beside it, which may be deleted.
 *
 * @throws ValidationError where `path` exists (now, or at `finish`), and for names and heads that no file can have.
 * @throws IoError where the directory is missing or the disk refuses.
 */
export async function createBackupFile(
  path: string,
  format: FileFormat,
  head: FileHead,
): Promise<BackupFileWriter> {
  const checked = validating("The head of a backup file", () =>
    parseFileHead(fieldsOf(fileHeadJson(head, FORMAT), "head")),
  );
  const output = await SealedOutput.create(path);
  const encoder = format === "json" ? new JsonEncoder(output) : new ArrowEncoder(output);
  encoder.begin(checked);
  return new CheckedWriter(output, encoder, checked.type);
}

interface OpenTable {
  readonly head: TableHead;
  /** Where it begins. */
  readonly offset: number;
  /** Where its parts lie that are done. */
  readonly parts: Parts;
  /** Parts not yet begun. */
  readonly waiting: PartName[];
  part?: OpenPart | undefined;
}

interface OpenPart {
  readonly name: PartName;
  readonly schema: Schema;
  /** The schema in words. */
  readonly columns: string;
  readonly offset: number;
  rows: number;
}

/** Holds a caller to the order of a file and to what can be read back, whatever the format. */
class CheckedWriter implements BackupFileWriter {
  readonly #output: SealedOutput;
  readonly #encoder: FileEncoder;
  readonly #type: FileHead["type"];
  readonly #names = new Set<string>();
  #table: OpenTable | undefined;
  #ended = false;

  constructor(output: SealedOutput, encoder: FileEncoder, type: FileHead["type"]) {
    this.#output = output;
    this.#encoder = encoder;
    this.#type = type;
  }

  async beginTable(head: TableHead): Promise<void> {
    if (this.#ended || this.#table !== undefined)
      throw new TypeError("beginTable comes after endTable, before finish.");
    const checked = validating(`Table ${head.table}`, () => {
      if (head.schema !== undefined) assertColumns(head.schema);
      const schema = head.schema && numberDictionaries(head.schema);
      return parseTableHead(head.table, fieldsOf({ ...head }, "head"), schema, this.#type);
    });
    if (this.#names.has(checked.table))
      throw new ValidationError(`Table ${checked.table} is in the file already.`);
    this.#names.add(checked.table);
    const offset = this.#encoder.beginTable(checked);
    this.#table = { head: checked, offset, parts: {}, waiting: [...PARTS[checked.form]] };
    this.#nextPart(this.#table);
  }

  async write(kind: RowKind, batch: RecordBatch): Promise<void> {
    const table = this.#openTable("write");
    const name = partOf(table.head.form, kind);
    if (name === undefined) throw new TypeError(`A table of the form ${table.head.form} has no ${kind}.`);
    while (table.part?.name !== name) {
      if (!table.waiting.includes(name)) throw new TypeError("A table's upserts come before its deletes.");
      this.#nextPart(table);
    }
    if (batch.numRows === 0) return;
    table.part.rows += batch.numRows;
    await this.#encoder.write(this.#fitted(table, table.part, batch));
  }

  async endTable(): Promise<void> {
    const table = this.#openTable("endTable");
    while (table.part !== undefined) this.#nextPart(table);
    this.#encoder.endTable(table.head, table.offset, table.parts);
    this.#table = undefined;
  }

  async finish(): Promise<{ sha256: string; bytes: number }> {
    if (this.#ended || this.#table !== undefined) throw new TypeError("finish comes once, after endTable.");
    this.#ended = true;
    try {
      await this.#encoder.end();
      return await this.#output.publish((digest) => this.#encoder.seal(digest));
    } catch (error) {
      await this.#output.discard();
      throw error;
    }
  }

  async abort(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await this.#output.discard();
  }

  #openTable(method: string): OpenTable {
    if (this.#table === undefined) throw new TypeError(`${method} comes after beginTable.`);
    return this.#table;
  }

  #nextPart(table: OpenTable): void {
    const { head, parts, part, waiting } = table;
    if (part !== undefined) {
      const { offset, rows } = part;
      parts[part.name] = { offset, bytes: this.#encoder.endPart() - offset, rows };
    }
    const name = waiting.shift();
    table.part = undefined;
    if (name === undefined) return;
    const schema = partSchema(head, name);
    const offset = this.#encoder.beginPart(name, schema);
    table.part = { name, schema, columns: schemaSignature(schema), offset, rows: 0 };
  }

  /** The batch under the file's own schema, its columns in that order. */
  #fitted(table: OpenTable, { schema, columns }: OpenPart, batch: RecordBatch): RecordBatch {
    const children = schema.fields.map((field) => {
      const index = batch.schema.fields.findIndex((own) => own.name === field.name);
      const data = batch.data.children[index];
      if (data === undefined)
        throw new ValidationError(`A batch of table ${table.head.table} has no column ${field.name}.`);
      return data;
    });
    const own = new arrow.Schema(children.map((data, index) => renamed(schema, index, data.type)));
    if (children.length !== batch.schema.fields.length || schemaSignature(own) !== columns) {
      throw new ValidationError(
        `A batch of table ${table.head.table} has the columns ${schemaSignature(batch.schema)}; the table has ${columns}.`,
      );
    }
    return newBatch(schema, batch.numRows, children);
  }
}

function renamed(schema: Schema, index: number, type: Schema["fields"][number]["type"]) {
  return new arrow.Field(schema.fields[index]?.name ?? "", type, true);
}
