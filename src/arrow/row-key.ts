import type { Data, DataType, RecordBatch, Schema } from "apache-arrow";
import { ValidationError } from "../errors.ts";
import { arrow } from "./arrow.ts";
import { quoteColumn } from "./column-path.ts";
import { firstNull } from "./column-read.ts";
import { halfAt } from "./literals.ts";
import { columnOf } from "./row-digests.ts";

/**
 * Holds that these columns can be a table's key: there, and of a scalar type that a filter can compare.
 *
 * @throws ValidationError naming table and column.
 */
export function assertKey(table: string, schema: Schema, key: readonly string[]): void {
  if (key.length === 0) throw new ValidationError(`No key is given for the table ${table}.`);
  for (const name of key) {
    const field = schema.fields.find((candidate) => candidate.name === name);
    if (field === undefined) {
      const columns = schema.fields.map((candidate) => candidate.name).join(", ");
      throw new ValidationError(
        `The table ${table} has no column ${JSON.stringify(name)} to tell its rows apart by; it has ${columns}. Name its key with the option primaryKey, or leave the table out with the option tables.`,
      );
    }
    quoteColumn(name);
    if (isKeyType(field.type)) continue;
    throw new ValidationError(
      `The column ${JSON.stringify(name)} of the table ${table} has the type ${field.type}, which cannot be a key.`,
    );
  }
}

/** Whether a column of this type can be part of a key. */
export function isKeyType(type: DataType): boolean {
  const { DataType: Is } = arrow;
  if (Is.isDecimal(type)) return type.bitWidth === 128;
  return (
    Is.isInt(type) ||
    Is.isFloat(type) ||
    Is.isBool(type) ||
    Is.isUtf8(type) ||
    Is.isLargeUtf8(type) ||
    Is.isBinary(type) ||
    Is.isLargeBinary(type) ||
    Is.isFixedSizeBinary(type) ||
    Is.isDate(type) ||
    Is.isTime(type) ||
    Is.isTimestamp(type) ||
    Is.isDuration(type)
  );
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
  const half = type.precision === arrow.Precision.HALF;
  for (let row = 0; row < data.length; row++) {
    const value = half ? halfAt(data, row) : Number(data.values[row]);
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
