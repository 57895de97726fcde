import { isRecord } from "../../arrow/encode/elements.ts";
import { show } from "../../arrow/place.ts";
import { ValidationError } from "../../errors.ts";

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

export function toRecord(value: unknown, row: number): Record<string, unknown> {
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
