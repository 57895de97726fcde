import type { Schema } from "apache-arrow";
import { arrow } from "../../arrow/arrow.ts";
import { ValidationError } from "../../errors.ts";

/** Columns that LanceDB's merge makes for itself: a table with one of its own cannot be merged into. */
const TAKEN = /^(?:__action|__common_expr_\d+)$/;

const ADVICE =
  "Name another key with the option primaryKey, or leave the table out with the option tables (fulls alone need no key).";

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
      `LanceDB cannot merge rows of the table ${table} by the column ${JSON.stringify(odd)}, because of its name. ${ADVICE}`,
    );
  }
  const taken = schema.fields.find(({ name }) => TAKEN.test(name));
  if (taken === undefined) return;
  throw new ValidationError(
    `LanceDB cannot merge rows into the table ${table}, because of the name of its column ${JSON.stringify(taken.name)}. Rename it, or leave the table out with the option tables (fulls alone can hold it).`,
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
      `LanceDB cannot find rows of the table ${table} by its column ${JSON.stringify(name)}: it is a decimal of the scale ${type.scale}. ${ADVICE}`,
    );
  }
}
