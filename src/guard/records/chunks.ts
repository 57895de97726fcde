import type { Data, Field, RecordBatch, Schema } from "apache-arrow";
import { arrow } from "../../arrow/arrow.ts";
import { nulls, pack } from "../../arrow/pack.ts";
import { writable } from "../../arrow/writable.ts";
import { bytesOf, type Part } from "../write/row-parts.ts";

/** What is written with one commit: rows that all have the same columns, in one record batch. */
export type Chunk = RecordBatch;

/**
 * Bytes of a chunk. Measured with 128-dimension rows: appends and upserts in chunks of 4 to 32 MB take the
 * same time within a fifth, larger ones longer, and a chunk is held some four times over while it is written.
 */
export const CHUNK_BYTES = 16 * 1024 * 1024;

/** Gathers parts into chunks, by the columns that they have. */
export class ChunkBuilder {
  readonly #schema: Schema;
  readonly #allColumns: boolean;
  #groups = new Map<string, Part[]>();
  #bytes = 0;

  /** `allColumns`: columns that the rows leave out are written as nulls, instead of left to LanceDB. */
  constructor(schema: Schema, allColumns: boolean) {
    this.#schema = schema;
    this.#allColumns = allColumns;
  }

  /** Adds a part. Returns chunks to write where enough has come together, else nothing. */
  add(part: Part, shape: string): Chunk[] {
    const group = this.#groups.get(shape);
    if (group === undefined) this.#groups.set(shape, [part]);
    else group.push(part);
    this.#bytes += bytesOf(part);
    return this.#bytes >= CHUNK_BYTES ? this.finish() : [];
  }

  /** What is left, as chunks. */
  finish(): Chunk[] {
    const chunks = [...this.#groups.values()].map((parts) => this.#chunk(parts));
    this.#groups = new Map();
    this.#bytes = 0;
    return chunks;
  }

  #chunk(parts: readonly Part[]): Chunk {
    const all = this.#schema.fields;
    const named = all.filter((field) => parts.some((part) => part.columns.has(field.name)));
    // Rows that name no column at all are rows of nulls.
    const fields = this.#allColumns || named.length === 0 ? all : named;
    const columns = fields.map((field) => packColumn(field, parts));
    return toBatch(new arrow.Schema(fields, this.#schema.metadata), columns);
  }
}

/** The columns that a part has, as a name for its shape. */
export function shapeOf(part: Part): string {
  return [...part.columns.keys()].sort().join("\0");
}

function packColumn(field: Field, parts: readonly Part[]): Data {
  const columns = parts.map((part) => part.columns.get(field.name) ?? nulls(field, part.length));
  return writable(pack(field.type, columns));
}

function toBatch(schema: Schema, columns: Data[]): RecordBatch {
  const type = new arrow.Struct(schema.fields);
  const length = columns[0]?.length ?? 0;
  return new arrow.RecordBatch(schema, new arrow.Data(type, 0, length, 0, [] as never, columns));
}

/** A chunk as the table that LanceDB's write calls take. */
export function toTable(chunk: Chunk): import("apache-arrow").Table {
  return new arrow.Table(chunk.schema, [chunk]);
}
