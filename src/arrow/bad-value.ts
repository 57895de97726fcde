import { types } from "node:util";
import { ValidationError } from "../errors.ts";

/** What was read or given is not as it must be. Who knows file and place, or whose option it is, makes an error of it. */
export class Problem extends Error {}

/** Where the values of one column stand, so that an error can name the row that the caller wrote. */
export interface Place {
  /** The column, or for nested values its path: `address.city`, `tags[]`. */
  readonly column: string;
  /** The row, counted from 0 over the whole input, that the value at `index` belongs to. */
  rowOf(index: number): number;
  /** The error for a problem with a row's value. Default: a `ValidationError`. */
  readonly error?: ((row: number, problem: string, cause: unknown) => Error) | undefined;
}

/** The values inside another column's values: `parentOf` tells which of those the value at an index is in. */
export function inside(place: Place, suffix: string, parentOf: (index: number) => number): Place {
  return { ...place, column: `${place.column}${suffix}`, rowOf: (index) => place.rowOf(parentOf(index)) };
}

/** Bad input at one value. Rows count from 0. */
export function badValue(place: Place, index: number, problem: string, cause?: unknown): Error {
  const row = place.rowOf(index);
  if (place.error) return place.error(row, problem, cause);
  const { column } = place;
  return new ValidationError(`Row ${row}, column "${column}": ${problem} (rows count from 0).`, {
    row,
    column,
  });
}

/** A short, safe picture of a value for a message. */
export function show(value: unknown): string {
  if (typeof value === "string")
    return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value);
  if (typeof value === "bigint") return `${value}n`;
  if (types.isDate(value)) return Number.isNaN(value.getTime()) ? "an invalid Date" : value.toISOString();
  if (types.isUint8Array(value)) return `${value.length} bytes`;
  if (ArrayBuffer.isView(value) || Array.isArray(value)) return "an array";
  if (typeof value === "function" || typeof value === "symbol") return `a ${typeof value}`;
  if (typeof value === "object" && value !== null) return "an object";
  return String(value);
}
