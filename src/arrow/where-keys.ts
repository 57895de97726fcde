import type { Data, RecordBatch } from "apache-arrow";
import { arrow } from "./arrow.ts";
import { columnOf } from "./row-digests.ts";
import { takeRows } from "./take-rows.ts";
import { whereIn } from "./where-in.ts";

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
