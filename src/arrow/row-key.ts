import type { Data, DataType, RecordBatch, Schema } from "apache-arrow";
import { ValidationError } from "../errors.ts";
import { type Advice, advice } from "../hint.ts";
import { arrow } from "./arrow.ts";
import { columnOf, firstNull } from "./column.ts";
import { quoteColumn } from "./column-path.ts";
import { floatAt } from "./number-codecs.ts";
import { isKeyType } from "./types.ts";

/**
 * Holds that these columns can be a table's key: there, and of a scalar type that a filter can compare.
 *
 * @param lead what to do where it is not there, if the caller has an option for that.
 * @throws ValidationError naming table and column.
 */
export function assertKey(table: string, schema: Schema, key: readonly string[], lead?: Advice): void {
  if (key.length === 0) throw new ValidationError(`No key is given for the table ${table}.`);
  for (const name of key) {
    const field = schema.fields.find((candidate) => candidate.name === name);
    if (field === undefined) {
      const columns = schema.fields.map((candidate) => candidate.name).join(", ");
      const what = advice`The table ${table} has no column ${JSON.stringify(name)} to tell its rows apart by; it has ${columns}.`;
      throw new ValidationError(lead ? advice`${what} ${lead}` : what);
    }
    quoteColumn(name);
    if (isKeyType(field.type)) continue;
    throw new ValidationError(
      `The column ${JSON.stringify(name)} of the table ${table} has the type ${field.type}, which cannot be a key.`,
    );
  }
}

/**
 * The first row whose key cannot name it: null equals nothing, and of NaN and -0 filter and merge think
 * differently. Undefined where all can. (0 can where no row has -0 for a key: `proveKeys` looks.)
 */
export function firstUnusableKey(batch: RecordBatch, key: readonly string[]): number | undefined {
  for (const name of key) {
    const data = columnOf(batch, name);
    const row = Math.max(firstNull(data), firstOddFloat(data));
    if (row >= 0) return row;
  }
  return undefined;
}

function firstOddFloat(data: Data): number {
  const type: DataType = data.type;
  if (!arrow.DataType.isFloat(type)) return -1;
  const { precision } = type;
  for (let row = 0; row < data.length; row++) {
    const value = floatAt(data, precision, row);
    if (Number.isNaN(value) || Object.is(value, -0)) return row;
  }
  return -1;
}

/** A row's key in words for a message. */
export function describeKey(batch: RecordBatch, key: readonly string[], row: number): string {
  const parts = key.map((name) => {
    const value: unknown = batch.getChild(name)?.get(row);
    return `${name} = ${typeof value === "string" ? JSON.stringify(value) : String(value)}`;
  });
  return parts.join(", ");
}

/** Columns that LanceDB's merge makes for itself: a table with one of its own cannot be merged into. */
const TAKEN = /^(?:__action|__common_expr_\d+)$/;

const NAME_ANOTHER = advice`Name another key ${{ options: { primaryKey: null } }}, or leave the table out ${{ options: { tables: null } }} (fulls alone need no key).`;

/**
 * Holds that LanceDB can put rows into a table by this key: what it makes of the names in a merge is not always
 * what they are.
 *
 * @throws ValidationError naming table and column.
 */
export function assertMergeable(table: string, schema: Schema, key: readonly string[]): void {
  const odd = key.find((name) => name === "*" || name.includes('"'));
  if (odd !== undefined) {
    throw new ValidationError(
      advice`LanceDB cannot merge rows of the table ${table} by the column ${JSON.stringify(odd)}, because of its name. ${NAME_ANOTHER}`,
    );
  }
  const taken = schema.fields.find(({ name }) => TAKEN.test(name));
  if (taken === undefined) return;
  throw new ValidationError(
    advice`LanceDB cannot merge rows into the table ${table}, because of the name of its column ${JSON.stringify(taken.name)}. Rename it, or leave the table out ${{ options: { tables: null } }} (fulls alone can hold it).`,
  );
}

/**
 * Holds that a filter can name rows by this key.
 *
 * @throws ValidationError naming table and column.
 */
export function assertFilterable(table: string, schema: Schema, key: readonly string[]): void {
  for (const { name, type } of schema.fields) {
    if (!key.includes(name) || !arrow.DataType.isDecimal(type) || type.scale >= 0) continue;
    throw new ValidationError(
      advice`LanceDB cannot find rows of the table ${table} by its column ${JSON.stringify(name)}: it is a decimal with the scale ${type.scale}. ${NAME_ANOTHER}`,
    );
  }
}
