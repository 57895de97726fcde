import type { Data, DataType, Field } from "apache-arrow";
import type { BatchLike } from "../../arrow/adopt.ts";
import { arrow } from "../../arrow/arrow.ts";
import { firstNull } from "../../arrow/column-read.ts";
import { conform } from "../../arrow/conform.ts";
import { valuesOf } from "../../arrow/decode.ts";
import { isRecord } from "../../arrow/encode/elements.ts";
import { encodeColumn } from "../../arrow/encode/encode-column.ts";
import { pack } from "../../arrow/pack.ts";
import { badValue, type Place } from "../../arrow/place.ts";
import { isScalar } from "../../arrow/types.ts";
import { whereIn } from "../../arrow/where-in.ts";
import { ValidationError } from "../../errors.ts";
import { lengthOf, type Piece } from "../write/row-source.ts";
import type { Feed } from "./feed.ts";

/** Keys that one delete gets, and with it one commit. Measured: lists of 100,000 are as fast as smaller ones. */
const KEYS_A_DELETE = 100_000;
/** Keys that are converted at once. */
const KEYS_A_PART = 4096;
/** Characters of one filter, for keys that are long. */
const MOST_CHARACTERS = 16 * 1024 * 1024;

/** The column that rows are deleted by. Throws `ValidationError` where the table lacks it, or it cannot serve. */
export function keyColumn(name: string, fields: readonly Field[]): Field {
  const field = fields.find((candidate) => candidate.name === name);
  if (field === undefined) throw new ValidationError(`The table has no column "${name}" to delete by.`);
  if (isScalar(field.type)) return field;
  throw new ValidationError(`Column "${name}" has the type ${field.type}, by which rows cannot be deleted.`);
}

/**
 * Filters that together select exactly the rows with one of the keys. Throws `ValidationError`, naming the
 * row, for a key that is null, missing, NaN, or no value of the column's type.
 */
export async function filtersFor(
  feed: Feed,
  field: Field,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const filters: string[] = [];
  let parts: Data[] = [];
  let count = 0;
  const flush = () => {
    const keys = pack(field.type, parts);
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
