import type { embedding } from "@lancedb/lancedb";
import type { Data, Field, FixedSizeList, Float, Schema } from "apache-arrow";
import { arrow } from "../../arrow/arrow.ts";
import { checkColumn } from "../../arrow/check-column.ts";
import { encodeColumn, valuesOf } from "../../arrow/codecs.ts";
import { isValid, itemsOf } from "../../arrow/column.ts";
import { byteWidth, isFloatVector } from "../../arrow/types.ts";
import { ValidationError } from "../../errors.ts";
import type { LanceDB } from "../../lance/which-lancedb.ts";
import { abortable } from "../../util/abortable.ts";
import type { Part } from "./row-parts.ts";
import { callLance } from "./target-table.ts";

/** Which vectors are made from which column. */
export interface Embedding {
  /** LanceDB's own kind: an instance of a class that extends `EmbeddingFunction`. */
  readonly function: embedding.EmbeddingFunction;
  /** The column that the vectors are made from. */
  readonly source: string;
  /** The vector column. Default `"vector"`. */
  readonly vector?: string | undefined;
}

/** Values that one call of an embedding function gets at most; hosted ones limit it to about 2,000. */
const VALUES_A_CALL = 1000;

/** Fills the vectors that rows lack. */
export class Embedder {
  readonly vector: string;
  readonly source: string;
  /** Bytes of one vector. */
  readonly vectorBytes: number;
  readonly #function: embedding.EmbeddingFunction;
  readonly #field: Field;

  /** Throws `ValidationError` where the table lacks a column, or its vectors have another dimension. */
  constructor(option: Embedding, schema: Schema) {
    this.vector = option.vector ?? "vector";
    this.source = option.source;
    this.#function = option.function;
    const field = schema.fields.find((candidate) => candidate.name === this.vector);
    if (field === undefined || !isFloatVector(field.type)) {
      throw new ValidationError(`The table has no vector column "${this.vector}" for the embedding.`);
    }
    if (!schema.fields.some((candidate) => candidate.name === this.source)) {
      throw new ValidationError(`The table has no column "${this.source}" to embed.`);
    }
    const size = (field.type as FixedSizeList).listSize;
    const dimensions = option.function.ndims();
    if (dimensions !== undefined && dimensions !== size) {
      throw new ValidationError(
        `The embedding function makes vectors of ${dimensions} numbers, column "${this.vector}" holds ${size}.`,
      );
    }
    this.#field = field;
    this.vectorBytes = size * (byteWidth((field.type as FixedSizeList).valueType) ?? 4);
  }

  /**
   * The part with a vector for each row that has a source value and no vector. Errors of the function come
   * out unchanged; vectors of a wrong length, or not finite, raise `ValidationError` naming the row.
   */
  async fill(part: Part, signal: AbortSignal | undefined): Promise<Part> {
    const source = part.columns.get(this.source);
    const vectors = part.columns.get(this.vector);
    const lacking = source === undefined ? [] : rowsToEmbed(source, vectors);
    const place = { column: this.vector, rowOf: part.rowOf };
    if (source === undefined || lacking.length === 0) {
      if (vectors !== undefined) checkColumn(this.#field, vectors, place);
      else if (!this.#field.nullable)
        throw new ValidationError(`Row ${part.rowOf(0)}: no vector, and nothing to embed.`);
      return part;
    }
    const values = vectors === undefined ? new Array(part.length).fill(null) : vectorValues(vectors);
    const texts = valuesOf(source);
    for (let at = 0; at < lacking.length; at += VALUES_A_CALL) {
      const rows = lacking.slice(at, at + VALUES_A_CALL);
      const given = rows.map((row) => texts[row]);
      const made = await abortable(() => this.#function.computeSourceEmbeddings(given), signal);
      if (made?.length !== rows.length) {
        throw new ValidationError(
          `The embedding function made ${made?.length} vectors of ${rows.length} values.`,
        );
      }
      for (const [index, row] of rows.entries()) values[row] = made[index];
    }
    const data = encodeColumn(this.#field, values, place);
    checkColumn(this.#field, data, place);
    return { ...part, columns: new Map(part.columns).set(this.vector, data), rowOf: part.rowOf };
  }
}

function rowsToEmbed(source: Data, vectors: Data | undefined): number[] {
  const rows: number[] = [];
  for (let index = 0; index < source.length; index++) {
    if (isValid(source, index) && (vectors === undefined || !isValid(vectors, index))) rows.push(index);
  }
  return rows;
}

function vectorValues(vectors: Data): unknown[] {
  const items = itemsOf(vectors);
  const size = (vectors.type as FixedSizeList).listSize;
  if ((items.type as Float).precision === arrow.Precision.HALF) return valuesOf(vectors);
  return Array.from({ length: vectors.length }, (_, index) =>
    isValid(vectors, index) ? items.values.subarray(index * size, (index + 1) * size) : null,
  );
}

/**
 * A new table's schema with the vector column that an embedding makes, and, where the function's class is
 * registered with LanceDB, the metadata by which LanceDB finds it again to embed a search's text.
 */
export async function withEmbedding(
  lancedb: LanceDB,
  schema: Schema,
  option: Embedding,
  sample: readonly unknown[],
): Promise<Schema> {
  const vector = option.vector ?? "vector";
  let fields = schema.fields;
  if (!fields.some((field) => field.name === vector)) {
    const item = new arrow.Field("item", floatType(option.function), true);
    const size = option.function.ndims() ?? (await probe(option, sample));
    fields = [...fields, new arrow.Field(vector, new arrow.FixedSizeList(size, item), true)];
  }
  const metadata = new Map(schema.metadata);
  const config = { function: option.function, sourceColumn: option.source, vectorColumn: vector };
  const { embedding } = await lancedb.api();
  const registry = embedding.getRegistry();
  const name: unknown = registry.functionToMetadata(config)["name"];
  if (typeof name === "string" && registry.get(name) !== undefined) {
    for (const [key, value] of registry.getTableMetadata([config])) metadata.set(key, value);
  }
  return new arrow.Schema(fields, metadata);
}

/** The element type of the vectors that a function makes. */
export function floatType(made: embedding.EmbeddingFunction): Float {
  return new arrow.Float(made.embeddingDataType().precision);
}

async function probe(option: Embedding, sample: readonly unknown[]): Promise<number> {
  const first = sample.find((value) => value !== null && value !== undefined);
  if (first === undefined) {
    throw new ValidationError(
      `No row has a value in column "${option.source}", so the vectors' length is unknown.`,
    );
  }
  const [vector] = await option.function.computeSourceEmbeddings([first]);
  if (vector !== undefined && vector.length > 0) return vector.length;
  throw new ValidationError("The embedding function made no vector.");
}

/**
 * The embeddings that the table itself declares in its metadata. Throws `LanceError` where their classes
 * are not registered in this process: LanceDB then refuses every write to the table.
 */
export async function declaredEmbeddings(lancedb: LanceDB, schema: Schema): Promise<Embedding[]> {
  if (!schema.metadata.has(EMBEDDINGS_KEY)) return [];
  const { embedding } = await lancedb.api();
  const configs = await callLance("load the table's embedding functions", undefined, () =>
    embedding.getRegistry().parseFunctions(schema.metadata),
  );
  return [...configs.values()].map((config) => ({
    function: config.function,
    source: config.sourceColumn,
    vector: config.vectorColumn,
  }));
}

/** Where LanceDB keeps a table's embedding functions in the schema's metadata. */
export const EMBEDDINGS_KEY = "embedding_functions";
