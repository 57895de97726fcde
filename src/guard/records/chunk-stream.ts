import { setImmediate } from "node:timers/promises";
import { ValidationError } from "../../errors.ts";
import { bytesOf, type Part, PartReader } from "../write/row-parts.ts";
import type { Piece } from "../write/row-source.ts";
import { UniqueKeys } from "../write/unique-keys.ts";
import { columnsToWrite, type WritePlan } from "../write/write-plan.ts";
import { CHUNK_BYTES, type Chunk, ChunkBuilder, shapeOf } from "./chunks.ts";
import type { Feed } from "./feed.ts";

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
