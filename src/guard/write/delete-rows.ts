import type { Connection } from "@lancedb/lancedb";
import type { Data, DataType, Field } from "apache-arrow";
import { arrow } from "../../arrow/arrow.ts";
import { badValue, type Place } from "../../arrow/bad-value.ts";
import { encodeColumn, valuesOf } from "../../arrow/codecs.ts";
import { firstNull } from "../../arrow/column.ts";
import { conform, sameLayout } from "../../arrow/conform.ts";
import { joinColumns } from "../../arrow/join-columns.ts";
import { isRecord } from "../../arrow/nested-codecs.ts";
import type { BatchLike } from "../../arrow/schemas.ts";
import { isScalar } from "../../arrow/types.ts";
import { whereIn } from "../../arrow/where-in.ts";
import { ValidationError } from "../../errors.ts";
import { deleteRows } from "../../lance/lacking.ts";
import { Feed, type KeysInput, lengthOf, openSource, type Piece } from "./row-source.ts";
import type { Target } from "./target-table.ts";
import { checkGuarded, GUARDED_OPTIONS, type GuardedOptions, HelperCall } from "./write-options.ts";

/** How `deleteRowsWithBackup` finds the rows. */
export interface DeleteRowsOptions extends GuardedOptions {
  readonly table: string;
  /** The column that rows are deleted by. Every row that holds one of the keys goes. */
  readonly key: string;
}

export interface DeleteRowsResult {
  /** A plain, unguarded connection to the database. */
  readonly connection: Connection;
  readonly table: string;
  /** The table's version after the delete. */
  readonly version: number;
  /** Rows that were there and are gone. */
  readonly deletedRows: number;
}

/**
 * Deletes the rows with these keys, all or none: whatever goes wrong, the table is put back as it was.
 *
 * `rows` is an array, or a sync or async iterable, of keys or of objects that hold the key in the column's
 * name, or an Arrow table with that column. Keys may be of any scalar type: strings, numbers, bigints,
 * booleans, Dates, Uint8Arrays; a Date, or a number of milliseconds, for timestamps, and a bigint for the
 * column's own unit. Keys that no row has are fine. Up to 100,000 keys are one commit. 0 and -0 are one key.
 * All keys are checked before the first row goes, so their text is held: 8 to 20 bytes for a number, 39 for a UUID.
 *
 * No keys at all is a success that deletes nothing, takes no backup, and returns the version as it is.
 *
 * Errors: `ValidationError` (nothing was written) for a table or column that does not exist, and for a key
 * that is null, missing, NaN, or no value of the column's type, naming the row, counted from 0; `LanceError`
 * with LanceDB's error as `cause`; those of `BackupManager.withBackup`; the signal's reason; errors of the
 * caller's iterable, unchanged.
 *
 * @example
 * ```ts
 * const { deletedRows } = await deleteRowsWithBackup(["a1", "a2"], {
 *   uri: "data/lancedb-table", table: "documents", key: "chunk_id",
 * });
 * ```
 */
export async function deleteRowsWithBackup(
  rows: KeysInput,
  options: DeleteRowsOptions,
): Promise<DeleteRowsResult> {
  const ref = checkGuarded("deleteRowsWithBackup", options?.table, options, {
    ...GUARDED_OPTIONS,
    table: true,
    key: true,
  });
  const { key, signal } = options;
  if (typeof key !== "string" || key === "") throw new ValidationError("The option key must name a column.");
  const call = new HelperCall(ref, options);
  signal?.throwIfAborted();
  const feed = await Feed.open(openSource(rows, "rows"), signal, call.logger);
  try {
    const { connection, target: before } = await call.lookAtExisting();
    const field = keyColumn(key, before.schema.fields);
    const filters = await filtersFor(feed, field, signal);
    const deleted =
      filters.length === 0
        ? { version: before.version, deletedRows: 0 }
        : await call.run(async (db) => {
            const target = await call.require(db);
            // It may have changed, or been recovered, between the check and the lock.
            if (!sameLayout(keyColumn(key, target.schema.fields).type, field.type)) {
              throw new ValidationError(`Column "${key}" changed its type meanwhile; call again.`);
            }
            return await deleteBy(filters, target, call);
          });
    call.tell("rows deleted", deleted);
    return { connection, table: ref.name, ...deleted };
  } finally {
    await feed.close();
  }
}

async function deleteBy(
  filters: readonly string[],
  { table, version }: Target,
  call: HelperCall,
): Promise<{ version: number; deletedRows: number }> {
  let deleted = { version, deletedRows: 0 };
  for (const filter of filters) {
    call.signal?.throwIfAborted();
    const start = performance.now();
    const step = await call.lance(`delete from the table "${call.id}"`, () => deleteRows(table, filter));
    deleted = { version: step.version, deletedRows: deleted.deletedRows + step.deleted };
    const ms = Math.round(performance.now() - start);
    call.logger.debug("rows deleted", {
      table: call.id,
      rows: step.deleted,
      version: step.version,
      ms,
    });
  }
  return deleted;
}

/** Keys that one delete gets, and with it one commit. Measured: lists of 100,000 are as fast as smaller ones. */
const KEYS_A_DELETE = 100_000;
/** Keys that are converted at once. */
const KEYS_A_PART = 4096;
/** Characters of one filter, for keys that are long. */
const MOST_CHARACTERS = 16 * 1024 * 1024;

/** The column that rows are deleted by. Throws `ValidationError` where the table lacks it, or it cannot serve. */
function keyColumn(name: string, fields: readonly Field[]): Field {
  const field = fields.find((candidate) => candidate.name === name);
  if (field === undefined) throw new ValidationError(`The table has no column "${name}" to delete by.`);
  if (isScalar(field.type)) return field;
  throw new ValidationError(`Column "${name}" has the type ${field.type}, by which rows cannot be deleted.`);
}

/**
 * Filters that together select exactly the rows with one of the keys. Throws `ValidationError`, naming the
 * row, for a key that is null, missing, NaN, or no value of the column's type.
 */
async function filtersFor(feed: Feed, field: Field, signal: AbortSignal | undefined): Promise<string[]> {
  const filters: string[] = [];
  let parts: Data[] = [];
  let count = 0;
  const flush = () => {
    const keys = joinColumns(field.type, parts);
    if (keys.length > 0) filters.push(...split(field.name, keys, 0, keys.length));
    parts = [];
    count = 0;
  };
  for await (const piece of feed.pieces()) {
    for (const keys of keysOf(piece, field)) {
      signal?.throwIfAborted();
      if (count + keys.length > KEYS_A_DELETE) flush();
      parts.push(keys);
      count += keys.length;
    }
  }
  flush();
  return filters;
}

function split(column: string, keys: Data, from: number, to: number): string[] {
  const filter = whereIn(column, keys, from, to);
  if (filter.length <= MOST_CHARACTERS || to - from === 1) return [filter];
  const middle = (from + to) >> 1;
  return [...split(column, keys, from, middle), ...split(column, keys, middle, to)];
}

function* keysOf(piece: Piece, field: Field): Generator<Data> {
  const total = lengthOf(piece);
  for (let at = 0; at < total; at += KEYS_A_PART) {
    const end = Math.min(at + KEYS_A_PART, total);
    const place = { column: field.name, rowOf: (index: number) => piece.from + at + index };
    const keys =
      piece.kind === "rows"
        ? rowKeys(piece.rows.slice(at, end), field, place)
        : batchKeys(piece, at, end, field, place);
    refuseNoKeys(keys, place);
    yield keys;
  }
}

function rowKeys(rows: readonly unknown[], field: Field, place: Place): Data {
  const values = rows.map((row) => (isRecord(row) ? row[field.name] : row));
  return encodeColumn(field, values, place);
}

function batchKeys(piece: { batch: BatchLike }, at: number, end: number, field: Field, place: Place): Data {
  const index = piece.batch.schema.fields.findIndex((candidate) => candidate.name === field.name);
  const column = piece.batch.data.children[index];
  if (column === undefined) throw new ValidationError(`The data has no column "${field.name}" to delete by.`);
  return conform(column.slice(at, end - at), field, place);
}

/** Null equals nothing, and a NaN is more often a mistake than meant: neither deletes rows in silence. */
function refuseNoKeys(keys: Data, place: Place): void {
  const missing = firstNull(keys);
  if (missing >= 0) throw badValue(place, missing, "null, or missing, and it is the key to delete by");
  const type: DataType = keys.type;
  if (!arrow.DataType.isFloat(type)) return;
  const index = valuesOf(keys).findIndex(Number.isNaN);
  if (index >= 0) throw badValue(place, index, "NaN, and it is the key to delete by");
}
