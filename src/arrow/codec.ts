import type { Data, DataType, Field } from "apache-arrow";
import { badValue, type Place, Problem } from "./bad-value.ts";
import { bitmapBytes, type Validity } from "./column.ts";

/**
 * Whose values they are. `rows`: what programs hand over and get, plain JavaScript, exact; 64-bit integers and times
 * are `bigint`s in the column's unit. `json`: what `JSON.parse` and `JSON.stringify` have for the lines of a periodic
 * file (docs/formats.md).
 */
export type Form = "rows" | "json";

/** The value at an index, which is there. */
export type ValueAt = (index: number) => unknown;

/** How the values of a type are read and written. What its buffers are is in `types.ts`. */
export interface Codec<T extends DataType = DataType> {
  /** @param inner reads the columns inside; it answers null for what is not there. */
  read(data: Data, type: T, form: Form, inner: (data: Data) => ValueAt): ValueAt;
  /** A column of these values. What is none of its type is refused, by its place; nothing is rounded, cut or padded. */
  build(type: T, values: readonly unknown[], to: Building): Data;
  /** How the values of a key are written in a filter, `count` of them. Undefined where LanceDB cannot compare them. */
  literals?(type: T, count: number): Literals | undefined;
}

export interface Literals {
  literal(keys: Data, index: number): string;
  /** What is compared, where it is not the column itself. */
  compared?(name: string): string;
}

/** What columns are built for. */
export interface Building {
  readonly form: Form;
  readonly place: Place;
  /** Whether what nobody sees is null; else it is the type's zero. */
  readonly nullable: boolean;
  /** Asks for this much memory beside that of the values themselves; throws where it is too much for one column. */
  claim(bytes: number): void;
  /** Builds a column inside. */
  inner(field: Field, values: readonly unknown[], to: { place: Place; nullable: boolean }): Data;
}

/** A value that nobody sees, since what holds it is null. */
export const UNSEEN = Symbol("unseen");

/** Hands each value that is there to `store`; a `Problem` that it throws becomes an error that names the row. */
export function fill(
  values: readonly unknown[],
  { place, nullable }: Pick<Building, "place" | "nullable">,
  store: (value: unknown, index: number) => void,
): Validity {
  let bitmap: Uint8Array | undefined;
  let nullCount = 0;
  let index = 0;
  try {
    for (; index < values.length; index++) {
      const value = values[index];
      if (isMissing(value) || (value === UNSEEN && nullable)) {
        bitmap ??= new Uint8Array(bitmapBytes(values.length)).fill(0xff);
        bitmap[index >> 3] = (bitmap[index >> 3] ?? 0) & ~(1 << (index & 7));
        nullCount++;
      } else if (value !== UNSEEN) store(value, index);
    }
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    throw badValue(place, index, error.message, error);
  }
  return { nullCount, bitmap };
}

/** Null, and what an object leaves out. */
export function isMissing(value: unknown): boolean {
  return value === null || value === undefined;
}
