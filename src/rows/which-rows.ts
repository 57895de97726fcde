import type { Data, Schema } from "apache-arrow";
import { encodeColumn } from "../arrow/codecs.ts";
import { joinColumns } from "../arrow/join-columns.ts";
import { assertKey } from "../arrow/row-key.ts";
import { whereIn } from "../arrow/where-in.ts";
import { ValidationError } from "../errors.ts";

/** Which rows of a table are meant: by a filter in SQL, or by their keys. */
export interface WhichRows {
  /** A filter as LanceDB takes it, on the table as the snapshot has it: `id in (1, 2)`, `author = 'me'`. */
  readonly rows?: string | undefined;
  /** Values of the key column, in place of a filter. */
  readonly keys?: readonly unknown[] | undefined;
  /** The column that tells rows apart. Default `id`. */
  readonly key?: string | undefined;
}

const KEYS_A_FILTER = 100_000;

/** @throws ValidationError, TypeError */
export function assertWhichRows({ rows, keys, key = "id" }: WhichRows): void {
  if ((rows === undefined) === (keys === undefined)) {
    throw new ValidationError("Say which rows: by a filter (rows), or by their keys (keys); not both.");
  }
  if (rows !== undefined && typeof rows !== "string") throw new TypeError("rows must be a filter, a string.");
  if (rows?.trim() === "") throw new ValidationError("rows is empty: give a filter such as id in (1, 2).");
  if (keys !== undefined && !Array.isArray(keys)) throw new TypeError("keys must be an array of keys.");
  if (keys?.length === 0) throw new ValidationError("keys is empty: name one row at least.");
  if (typeof key !== "string" || key === "") throw new ValidationError("The option key must name a column.");
}

/**
 * Filters that together select the rows.
 *
 * @throws ValidationError for a key that is no value of the column's type, naming its place; where the column cannot be a key.
 */
export function filtersOf(
  table: string,
  schema: Schema,
  { rows, keys = [], key = "id" }: WhichRows,
): string[] {
  assertKey(table, schema, [key]);
  if (rows !== undefined) return [rows];
  const field = schema.fields.find(({ name }) => name === key);
  if (!field) throw new ValidationError(`The table ${table} has no column ${key}.`);
  const missing = keys.findIndex((value) => value === null || value === undefined);
  if (missing >= 0) throw new ValidationError(`Key ${missing} is missing (keys count from 0).`);
  const filters: string[] = [];
  for (let from = 0; from < keys.length; from += KEYS_A_FILTER) {
    const part = keys.slice(from, from + KEYS_A_FILTER);
    const place = { column: key, rowOf: (index: number) => from + index };
    const data: Data = joinColumns(field.type, [encodeColumn(field, part, place)]);
    filters.push(whereIn(key, data));
  }
  return filters;
}
