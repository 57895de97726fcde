import type { Connection } from "@lancedb/lancedb";
import { assertKnown, assertOneOf } from "../../checks.ts";
import { ValidationError } from "../../errors.ts";
import type { Embedding } from "./embed-rows.ts";
import { Feed, openSource, type RecordsInput } from "./row-source.ts";
import { requireNamespace, type Target } from "./target-table.ts";
import { checkAhead, chunksOf, type Written, writeChunks } from "./write-chunks.ts";
import { checkGuarded, GUARDED_OPTIONS, type GuardedOptions, HelperCall } from "./write-options.ts";
import { planWrite, samePlan, type WriteIntent } from "./write-plan.ts";

/** How `insertRecordsWithBackup` writes. */
export interface InsertRecordsOptions extends GuardedOptions {
  readonly table: string;
  /**
   * Upsert on these columns, which must tell the rows apart: rows whose key the table has are updated, or
   * kept (`whenMatched`), the others inserted. Without it the rows are appended, or make the table.
   */
  readonly mergeOn?: string | readonly string[] | undefined;
  /**
   * What an upsert does to a row that the table has. `"update"` (default) writes the columns that the new
   * row names, and leaves those that it does not name. `"keep"` leaves the row as it is.
   */
  readonly whenMatched?: "update" | "keep" | undefined;
  /**
   * Without `mergeOn`. `"append"` (default), or `"overwrite"`: the rows replace all there were. The table's
   * columns then stay, unless an Arrow table with other columns is given, whose columns it takes. As in
   * LanceDB, its indices are gone afterwards; make them anew.
   */
  readonly mode?: "append" | "overwrite" | undefined;
  /** Makes the vectors of rows that lack one. In a new table it is registered, so that `search("text")` works. */
  readonly embedding?: Embedding | undefined;
}

export interface InsertRecordsResult {
  /** A plain, unguarded connection to the database. */
  readonly connection: Connection;
  readonly table: string;
  /** The table's version after the last write; 0 where nothing was given and there is no table. */
  readonly version: number;
  readonly insertedRows: number;
  readonly updatedRows: number;
}

/**
 * Inserts, upserts or overwrites rows, all or none: whatever goes wrong, the table is put back as it was.
 *
 * `data` is an array of objects, an Arrow table, record batches, or a sync or async iterable of objects,
 * arrays of objects, tables or batches. An iterable is read as it is written, some 16 MB at a time, and
 * never held whole, but for the keys of an upsert (25 to 50 bytes a row); arrays and tables are checked whole
 * before a backup is even taken.
 *
 * Every value is stored as it is or refused with row and column: vectors of a wrong length or not finite,
 * keys that are null, missing, NaN or repeated, columns that the table lacks, values of a wrong type, or
 * out of range. `Date`s and numbers of milliseconds fill timestamps; a `bigint` counts in the column's own
 * unit. A row that leaves a column out has null there. -0 as a key counts, and is stored, as 0.
 *
 * No rows at all (an empty array, Arrow table or iterable) is a success with zero counts that writes
 * nothing: an `"overwrite"` with no rows leaves the table as it is, and no table is made.
 *
 * Errors: `ValidationError` for bad input; `LanceError` with LanceDB's error as `cause`; those of
 * `BackupManager.withBackup` (`ConflictError`, `LockedError`, `RestoreError`, `IoError`, …); the signal's
 * reason; errors of the caller's iterable and embedding function, unchanged. Rows count from 0.
 *
 * @example
 * ```ts
 * const { insertedRows, updatedRows } = await insertRecordsWithBackup(chunks, {
 *   uri: "data/lancedb-table", table: "documents", mergeOn: "chunk_id",
 * });
 * ```
 */
export async function insertRecordsWithBackup(
  data: RecordsInput,
  options: InsertRecordsOptions,
): Promise<InsertRecordsResult> {
  const ref = checkGuarded("insertRecordsWithBackup", options?.table, options, {
    ...GUARDED_OPTIONS,
    table: true,
    mergeOn: true,
    whenMatched: true,
    mode: true,
    embedding: true,
  });
  const intent = checkIntent(options);
  const call = new HelperCall(ref, options);
  call.signal?.throwIfAborted();
  const feed = await Feed.open(openSource(data), call.signal, call.logger);
  try {
    const { connection, target: before } = await call.look();
    if (before === undefined && !feed.isEmpty) await requireNamespace(connection, ref, call.signal);
    const written = feed.isEmpty
      ? { version: before?.version ?? 0, insertedRows: 0, updatedRows: 0 }
      : await insertGuarded(call, before, feed, intent);
    call.tell("rows inserted", written);
    return { connection, table: ref.name, ...written };
  } finally {
    await feed.close();
  }
}

async function insertGuarded(
  call: HelperCall,
  before: Target | undefined,
  feed: Feed,
  intent: WriteIntent,
): Promise<Written> {
  const { lancedb } = call.manager;
  const plan = await planWrite(lancedb, before, feed, intent);
  const ready = await checkAhead(feed, plan, call.signal);
  return await call.run(async (db) => {
    // The table may have changed, or been recovered, between the check and the lock.
    const target = await call.find(db);
    const same = samePlan(before, target);
    const actual = same ? plan : await planWrite(lancedb, target, feed, intent);
    const chunks = same && ready !== undefined ? ready : chunksOf(feed.pieces(), actual, call.signal);
    return await writeChunks({ db, call, target, plan: actual }, chunks);
  });
}

function checkIntent(options: InsertRecordsOptions): WriteIntent {
  const { whenMatched = "update", mode = "append", embedding } = options;
  const mergeOn = typeof options.mergeOn === "string" ? [options.mergeOn] : (options.mergeOn ?? []);
  if (!Array.isArray(mergeOn) || !mergeOn.every((name) => typeof name === "string" && name !== "")) {
    throw new ValidationError("The option mergeOn must be a column's name, or an array of names.");
  }
  if (options.mergeOn !== undefined && mergeOn.length === 0)
    throw new ValidationError("The option mergeOn names no column.");
  if (new Set(mergeOn).size < mergeOn.length)
    throw new ValidationError("The option mergeOn names a column twice.");
  assertOneOf(whenMatched, "whenMatched", ["update", "keep"]);
  assertOneOf(mode, "mode", ["append", "overwrite"]);
  if (mergeOn.length > 0 && mode === "overwrite") {
    throw new ValidationError('The options mergeOn and mode: "overwrite" cannot be used together.');
  }
  if (embedding !== undefined)
    assertKnown(embedding, "embedding", { function: true, source: true, vector: true });
  if (embedding !== undefined && typeof embedding?.function?.computeSourceEmbeddings !== "function") {
    throw new ValidationError(
      "The option embedding.function must be an EmbeddingFunction of LanceDB's kind.",
    );
  }
  if (embedding !== undefined && typeof embedding.source !== "string") {
    throw new ValidationError("The option embedding.source must name the column to embed.");
  }
  return { mergeOn, whenMatched, mode, embedding };
}
