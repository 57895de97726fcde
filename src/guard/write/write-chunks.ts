import { setImmediate } from "node:timers/promises";
import type { Connection, Table } from "@lancedb/lancedb";
import type { Data, Field, RecordBatch, Schema } from "apache-arrow";
import { arrow } from "../../arrow/arrow.ts";
import { nulls } from "../../arrow/codecs.ts";
import { newBatch } from "../../arrow/column.ts";
import { joinColumns } from "../../arrow/join-columns.ts";
import { writable } from "../../arrow/writable.ts";
import { ValidationError } from "../../errors.ts";
import { createTableIn } from "../../lance/lacking.ts";
import { bytesOf, type Part, PartReader } from "./row-parts.ts";
import type { Feed, Piece } from "./row-source.ts";
import type { Target } from "./target-table.ts";
import { UniqueKeys } from "./unique-keys.ts";
import type { HelperCall } from "./write-options.ts";
import { columnsToWrite, type WritePlan } from "./write-plan.ts";

export interface Written {
  readonly version: number;
  readonly insertedRows: number;
  readonly updatedRows: number;
}

/** Where and how chunks are written. */
export interface WriteJob {
  readonly db: Connection;
  readonly call: HelperCall;
  /** The table, where it exists. */
  readonly target: Target | undefined;
  readonly plan: WritePlan;
}

/** Writes every chunk with a commit of its own. Throws `LanceError`; what was written until then stays. */
export async function writeChunks(
  job: WriteJob,
  chunks: AsyncIterable<Chunk> | Iterable<Chunk>,
): Promise<Written> {
  const { call } = job;
  let table = job.target?.table;
  let first = true;
  let written = { version: job.target?.version ?? 0, insertedRows: 0, updatedRows: 0 };
  for await (const chunk of chunks) {
    call.signal?.throwIfAborted();
    const start = performance.now();
    const step = await call.lance(`write to the table "${call.id}"`, async () => {
      if (table !== undefined && !(first && job.plan.action === "recreate")) {
        return await writeTo(table, job.plan, chunk, first);
      }
      table = await createFrom(job, chunk);
      return { version: await table.version(), insertedRows: chunk.numRows, updatedRows: 0 };
    });
    first = false;
    written = {
      version: step.version,
      insertedRows: written.insertedRows + step.insertedRows,
      updatedRows: written.updatedRows + step.updatedRows,
    };
    call.logger.debug("rows written", {
      table: call.id,
      action: job.plan.action,
      rows: chunk.numRows,
      version: step.version,
      ms: Math.round(performance.now() - start),
    });
  }
  return written;
}

async function createFrom(job: WriteJob, chunk: Chunk): Promise<Table> {
  const mode = job.plan.action === "recreate" ? "overwrite" : "create";
  return await createTableIn(job.db, job.call.ref, toTable(chunk), { mode });
}

async function writeTo(table: Table, plan: WritePlan, chunk: Chunk, first: boolean): Promise<Written> {
  if (plan.action === "update" || plan.action === "keep") {
    const merge = table.mergeInsert([...plan.mergeOn]);
    const updating = plan.action === "update" ? merge.whenMatchedUpdateAll() : merge;
    const result = await updating.whenNotMatchedInsertAll().execute(toTable(chunk));
    return {
      version: result.version,
      insertedRows: result.numInsertedRows,
      updatedRows: result.numUpdatedRows,
    };
  }
  const mode = first && plan.action === "overwrite" ? "overwrite" : "append";
  const result = await table.add(toTable(chunk), { mode });
  return { version: result.version, insertedRows: chunk.numRows, updatedRows: 0 };
}

/** What is written with one commit: rows that all have the same columns, in one record batch. */
export type Chunk = RecordBatch;

/**
 * Bytes of a chunk. Measured with 128-dimension rows: appends and upserts in chunks of 4 to 32 MB take the
 * same time within a fifth, larger ones longer, and a chunk is held some four times over while it is written.
 */
const CHUNK_BYTES = 16 * 1024 * 1024;

/** Gathers parts into chunks, by the columns that they have. */
class ChunkBuilder {
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
    return newBatch(new arrow.Schema(fields, this.#schema.metadata), columns[0]?.length ?? 0, columns);
  }
}

/** The columns that a part has, as a name for its shape. */
function shapeOf(part: Part): string {
  return [...part.columns.keys()].sort().join("\0");
}

function packColumn(field: Field, parts: readonly Part[]): Data {
  const columns = parts.map((part) => part.columns.get(field.name) ?? nulls(field, part.length));
  return writable(joinColumns(field.type, columns));
}

/** A chunk as the table that LanceDB's write calls take. */
function toTable(chunk: Chunk): import("apache-arrow").Table {
  return new arrow.Table(chunk.schema, [chunk]);
}

/** Pieces as chunks, every value and key checked, missing vectors made. Throws `ValidationError` for the first bad row. */
export async function* chunksOf(
  pieces: AsyncIterable<Piece> | Iterable<Piece>,
  plan: WritePlan,
  signal: AbortSignal | undefined,
): AsyncGenerator<Chunk, void, undefined> {
  yield* packed(checkedParts(pieces, plan, signal), plan, signal);
}

/**
 * Checks what is in memory: all of an array or table, the beginning of a stream. Data in memory that makes
 * one chunk comes back as that, so that it is converted once, and embedded before the table is locked;
 * otherwise nothing comes back, and the data is read again when it is written.
 */
export async function checkAhead(
  feed: Feed,
  plan: WritePlan,
  signal: AbortSignal | undefined,
): Promise<Chunk[] | undefined> {
  let parts: Part[] | undefined = feed.held ? [] : undefined;
  let bytes = 0;
  for await (const part of checkedParts(feed.head, plan, signal)) {
    bytes += bytesOf(part);
    for (const embedder of plan.embedders) bytes += embedder.vectorBytes * part.length;
    if (bytes > CHUNK_BYTES) parts = undefined;
    parts?.push(part);
  }
  if (parts === undefined) return undefined;
  const chunks: Chunk[] = [];
  for await (const chunk of packed(parts, plan, signal)) chunks.push(chunk);
  return chunks;
}

async function* checkedParts(
  pieces: AsyncIterable<Piece> | Iterable<Piece>,
  plan: WritePlan,
  signal: AbortSignal | undefined,
): AsyncGenerator<Part, void, undefined> {
  const keys = plan.mergeOn.length > 0 ? new UniqueKeys(plan.mergeOn) : undefined;
  const reader = new PartReader({
    fields: plan.schema.fields,
    splitByColumns: plan.action === "update",
    filledLater: new Set(plan.embedders.map((embedder) => embedder.vector)),
  });
  for await (const piece of pieces) {
    for (const part of reader.read(piece)) {
      // Long inputs must not keep timers, and with them abort signals, waiting.
      await setImmediate();
      signal?.throwIfAborted();
      keys?.add(part);
      yield part;
    }
  }
}

async function* packed(
  parts: AsyncIterable<Part> | Iterable<Part>,
  plan: WritePlan,
  signal: AbortSignal | undefined,
): AsyncGenerator<Chunk, void, undefined> {
  const columns = columnsToWrite(plan);
  const builder = new ChunkBuilder(plan.schema, columns === "all");
  for await (const checked of parts) {
    let part = checked;
    for (const embedder of plan.embedders) part = await embedder.fill(part, signal);
    if (plan.action === "update" && plan.declaresEmbeddings) requireAllColumns(part, plan);
    yield* builder.add(part, columns === "each row's" ? shapeOf(part) : "");
  }
  yield* builder.finish();
}

/** LanceDB fills columns left out with null on tables with an embedding function: an update would lose values. */
function requireAllColumns(part: Part, plan: WritePlan): void {
  const missing = plan.schema.fields.find((field) => !part.columns.has(field.name));
  if (missing === undefined) return;
  throw new ValidationError(
    `Row ${part.rowOf(0)}, column "${missing.name}": missing. The table declares an embedding function, and LanceDB would set the column to null; give its value (rows count from 0).`,
  );
}
