import { types } from "node:util";
import type { DataType, Field, Float, Schema } from "apache-arrow";
import { arrow } from "../../arrow/arrow.ts";
import { show } from "../../arrow/bad-value.ts";
import { elementsOf, isRecord } from "../../arrow/nested-codecs.ts";
import { ValidationError } from "../../errors.ts";
import { reasonOf } from "../../fs/io.ts";
import type { LanceDBApi } from "../../lance/which-lancedb.ts";

/**
 * The schema that LanceDB gives a new table of these rows: numbers are Float64, bigints Int64, `Buffer`s
 * Binary, arrays lists, and arrays in a column named like a vector (or in `vectors`) vectors of Float32.
 * LanceDB refuses `Date`s; here they become timestamps in milliseconds, UTC. Only the first row that tells
 * each column's type is shown to LanceDB; whether the others fit is found when they are written.
 * Throws `ValidationError` where a column's type cannot be told.
 */
export function inferSchema(
  { makeArrowTable }: Pick<LanceDBApi, "makeArrowTable">,
  rows: readonly unknown[],
  vectors: ReadonlyMap<string, Float> = new Map(),
): Schema {
  const witnesses = new Witnesses();
  for (const [number, row] of rows.entries()) witnesses.see(row, number);
  const vectorColumns = Object.fromEntries(
    [["vector", new arrow.Float32()] as const, ...vectors].map(([name, type]) => [name, { type }]),
  );
  try {
    const schema = makeArrowTable(witnesses.rows(), { vectorColumns }).schema;
    return new arrow.Schema(schema.fields.map((field: Field) => withDates(field, witnesses.dates)));
  } catch (error) {
    throw new ValidationError(`The columns' types cannot be told from the rows: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

/** The few rows, cut down to the columns they are needed for, that show every column's type. */
class Witnesses {
  /** Paths of dates, which stand in for LanceDB as bigints. */
  readonly dates = new Set<string>();
  readonly #known = new Set<string>();
  /** Columns that were null so far, and the row that named them first. */
  readonly #open = new Map<string, number>();
  readonly #rows: Record<string, unknown>[] = [];

  see(row: unknown, number: number): void {
    const telling = this.#telling(toRecord(row, number), [], number);
    if (telling !== undefined) this.#rows.push(telling);
  }

  rows(): Record<string, unknown>[] {
    const [open] = this.#open;
    if (open !== undefined) {
      throw new Error(
        `column ${JSON.stringify(open[0])}, named first by row ${open[1]}, holds nothing but nulls or empty lists; leave it out, or give an Arrow table`,
      );
    }
    return this.#rows;
  }

  /** The part of a row that tells the type of a column not known so far. */
  #telling(
    row: Record<string, unknown>,
    path: readonly string[],
    number: number,
  ): Record<string, unknown> | undefined {
    const telling: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(row)) {
      const here = [...path, name];
      const key = here.join(".");
      if (value === undefined || this.#known.has(key)) continue;
      if (isRecord(value)) {
        this.#open.delete(key);
        const inner = this.#telling(value, here, number);
        if (inner !== undefined) telling[name] = inner;
      } else if (tellsType(value)) {
        this.#known.add(key);
        this.#open.delete(key);
        telling[name] = this.#stand(value, key);
      } else if (!this.#open.has(key)) this.#open.set(key, number);
    }
    return Object.keys(telling).length > 0 ? telling : undefined;
  }

  #stand(value: unknown, key: string): unknown {
    if (types.isDate(value)) {
      this.dates.add(key);
      return 0n;
    }
    return Array.isArray(value) ? value.map((item) => this.#stand(item, key)) : value;
  }
}

function tellsType(value: unknown): boolean {
  if (value === null) return false;
  const items = typeof value === "object" && !ArrayBuffer.isView(value) ? elementsOf(value) : undefined;
  return items === undefined || Array.from(items).some(tellsType);
}

function withDates(field: Field, dates: ReadonlySet<string>, path = field.name): Field {
  if (dates.size === 0) return field;
  const type = dated(field.type, dates, path);
  return type === field.type ? field : new arrow.Field(field.name, type, field.nullable, field.metadata);
}

function dated(type: DataType, dates: ReadonlySet<string>, path: string): DataType {
  const { DataType: Is } = arrow;
  if (Is.isStruct(type)) {
    return new arrow.Struct(type.children.map((child) => withDates(child, dates, `${path}.${child.name}`)));
  }
  if (!dates.has(path)) return type;
  if (Is.isList(type)) {
    const item = type.valueField;
    return new arrow.List(new arrow.Field(item.name, dated(item.type, dates, path), item.nullable));
  }
  return new arrow.Timestamp(arrow.TimeUnit.MILLISECOND, "UTC");
}

/** Rows that are converted together. */
export interface RowGroup {
  /** The columns that at least one of them names. */
  readonly names: Set<string>;
  readonly rows: Record<string, unknown>[];
  /** Where each stands in the input, from 0. */
  readonly numbers: number[];
}

/**
 * Rows as one group, or with `split` as one for each set of columns that they name (a name whose value is
 * `undefined` is not named). Throws `ValidationError` for what is no object, or names an unknown column.
 */
export function groupRows(
  rows: readonly unknown[],
  from: number,
  known: { has(name: string): boolean },
  split: boolean,
): RowGroup[] {
  const groups = new Map<string, RowGroup>();
  for (const [index, value] of rows.entries()) {
    const row = toRecord(value, from + index);
    const names = namesIn(row, from + index, known);
    const shape = split ? names.sort().join("\0") : "";
    const group = groups.get(shape) ?? { names: new Set<string>(), rows: [], numbers: [] };
    groups.set(shape, group);
    for (const name of names) group.names.add(name);
    group.rows.push(row);
    group.numbers.push(from + index);
  }
  return [...groups.values()];
}

/** Throws `ValidationError` for a row that names a column which the table lacks. */
export function unknownColumn(row: number, name: string): ValidationError {
  return new ValidationError(
    `Row ${row}, column ${JSON.stringify(name)}: the table has no such column (rows count from 0).`,
  );
}

function toRecord(value: unknown, row: number): Record<string, unknown> {
  if (isRecord(value)) return value;
  throw new ValidationError(`Row ${row} is not an object but ${show(value)} (rows count from 0).`);
}

function namesIn(
  row: Record<string, unknown>,
  number: number,
  known: { has(name: string): boolean },
): string[] {
  const names: string[] = [];
  for (const name of Object.keys(row)) {
    if (row[name] === undefined) continue;
    if (!known.has(name)) throw unknownColumn(number, name);
    names.push(name);
  }
  return names;
}
