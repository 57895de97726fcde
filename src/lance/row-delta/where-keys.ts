import type { Data, RecordBatch } from "apache-arrow";
import { arrow } from "../predicates/arrow.ts";
import { whereIn } from "../predicates/where-in.ts";
import { columnOf } from "./row-bytes.ts";
import { takeRows } from "./take-rows.ts";

/** Terms of one filter: a longer one takes LanceDB's parser too long, or too deep. */
const MOST_GROUPS = 200;

/**
 * Filters that together select exactly the rows with one of these keys; the batch holds the key columns.
 * One for a single column. Several columns become `(a = 1 AND b IN (…)) OR …`, in as many filters as keep
 * each short: 0.75 ms a group.
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
    yield terms.join(" OR ");
    terms = [];
  }
  if (terms.length > 0) yield terms.join(" OR ");
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
