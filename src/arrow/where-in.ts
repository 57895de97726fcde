import type { Data, DataType, RecordBatch } from "apache-arrow";
import { UnsupportedError } from "../errors.ts";
import { arrow } from "./arrow.ts";
import type { Literals } from "./codec.ts";
import { literalsOf } from "./codecs.ts";
import { columnOf } from "./column.ts";
import { type ColumnPath, quoteColumn } from "./column-path.ts";
import { floatAt } from "./number-codecs.ts";
import { takeRows } from "./take-rows.ts";

/**
 * A filter that selects exactly the rows whose `column` equals one of `keys`: `` `column` IN (…) ``.
 *
 * `keys` is an Arrow column of the very type of the table's column, of any scalar type, without nulls
 * (null equals nothing). NaN selects the rows that hold NaN; 0 and -0 are one key. `from` and `to` take a
 * part of the keys; without any, no row is selected. One list of 100,000 keys filters a million rows in 0.3
 * to 0.6 s; ten lists of 10,000 take longer.
 *
 * Throws `ValidationError` for a column name that LanceDB cannot quote, `UnsupportedError` for a type that
 * LanceDB cannot compare.
 */
export function whereIn(column: string | ColumnPath, keys: Data, from = 0, to: number = keys.length): string {
  if (to <= from) return "false";
  const name = quoteColumn(column);
  const type: DataType = keys.type;
  if (arrow.DataType.isFloat(type)) return whereFloatIn(name, type.precision, keys, from, to);
  const form = literalsFor(type, to - from);
  const literals: string[] = [];
  for (let index = from; index < to; index++) literals.push(form.literal(keys, index));
  return `${form.compared?.(name) ?? name} IN (${literals.join(",")})`;
}

/** How values are written in a filter. Throws `UnsupportedError` for a type that LanceDB cannot compare, and floats. */
export function literalsFor(type: DataType, count: number): Literals {
  const literals = literalsOf(type, count);
  if (literals !== undefined) return literals;
  throw new UnsupportedError(`LanceDB cannot compare columns of the type ${type} with keys.`);
}

function whereFloatIn(name: string, precision: number, keys: Data, from: number, to: number): string {
  const literals: string[] = [];
  let hasNaN = false;
  for (let index = from; index < to; index++) {
    const value = floatAt(keys, precision, index);
    if (Number.isNaN(value)) hasNaN = true;
    else if (value === 0) literals.push("0.0", "-0.0");
    else literals.push(Number.isFinite(value) ? value.toExponential() : `cast('${value}' as double)`);
  }
  // LanceDB takes no literals for halves; as floats they are the same numbers.
  const compared = precision === arrow.Precision.HALF ? `arrow_cast(${name},'Float32')` : name;
  const tests = hasNaN ? [`isnan(${compared})`] : [];
  if (literals.length > 0) tests.push(`${compared} IN (${literals.join(",")})`);
  return tests.length > 1 ? `(${tests.join(" OR ")})` : tests.join("");
}
/** Terms of one filter, as many as were tried. They cost 0.5 ms each in a deletion, 1.3 in a merge, however many. */
const MOST_GROUPS = 20_000;

/**
 * Filters that together select exactly the rows with one of these keys; the batch holds the key columns.
 * One for a single column. Several columns become `(a = 1 AND b IN (…)) OR …`, a filter for each 20,000 groups.
 */
export function* whereKeys(keys: RecordBatch, key: readonly string[]): Generator<string> {
  const [first, ...rest] = key;
  if (first === undefined || keys.numRows === 0) return;
  if (rest.length === 0) {
    yield whereIn(first, columnOf(keys, first));
    return;
  }
  let terms: string[] = [];
  for (const term of groupTerms(keys, first, rest)) {
    terms.push(term);
    if (terms.length < MOST_GROUPS) continue;
    yield anyOf(terms);
    terms = [];
  }
  if (terms.length > 0) yield anyOf(terms);
}

/** A filter for the rows that one of these selects; nested by halves, for parsers that go down a long chain. */
export function anyOf(filters: readonly string[]): string {
  if (filters.length < 3) return filters.join(" OR ");
  const half = filters.length >> 1;
  return `(${anyOf(filters.slice(0, half))}) OR (${anyOf(filters.slice(half))})`;
}

/** One term for each value of the first column and each group of the columns after it. */
function* groupTerms(keys: RecordBatch, first: string, rest: readonly string[]): Generator<string> {
  for (const rows of groupsOf(columnOf(keys, first))) {
    const group = takeRows(keys, [first, ...rest], rows);
    const equal = whereIn(first, columnOf(group, first), 0, 1);
    for (const inner of rest.length === 1
      ? whereKeys(group, rest)
      : groupTerms(group, rest[0] ?? "", rest.slice(1))) {
      yield `(${equal} AND ${inner})`;
    }
  }
}

/** Row numbers by value. */
function groupsOf(column: Data): Iterable<number[]> {
  const groups = new Map<unknown, number[]>();
  const vector = new arrow.Vector([column]);
  const literal = arrow.DataType.isBool(column.type) || arrow.DataType.isInt(column.type);
  for (let row = 0; row < column.length; row++) {
    const name: unknown = literal ? vector.get(row) : whereIn("k", column, row, row + 1);
    const group = groups.get(name);
    if (group) group.push(row);
    else groups.set(name, [row]);
  }
  return groups.values();
}
