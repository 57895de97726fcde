import type { Data, Field } from "apache-arrow";
import { arrow } from "./arrow.ts";
import { isValid, rangeAt } from "./column-read.ts";
import { Problem } from "./problem.ts";

/** A column, or a part of one, and the name that it has in a message. */
interface Place {
  readonly name: string;
  readonly data: Data;
}

/**
 * Holds columns and their parts that must not have nulls to that: LanceDB would refuse them when others are
 * written already. What lies under a null of the whole is nobody's.
 */
export function assertNulls(fields: readonly Field[], columns: readonly Data[]): void {
  for (const [index, field] of fields.entries()) {
    const data = columns[index];
    if (data === undefined) continue;
    const place = { name: field.name, data };
    if (mustNot(field, data)) throw refused(place);
    assertParts(place);
  }
}

function mustNot({ nullable, type }: Field, data: Data): boolean {
  return !nullable && !arrow.DataType.isNull(type) && data.nullCount > 0;
}

function assertParts(whole: Place): void {
  const { type } = whole.data;
  if (arrow.DataType.isDictionary(type)) return;
  for (const [index, field] of (type.children ?? []).entries()) {
    const data = whole.data.children[index];
    if (data === undefined) continue;
    const part = { name: `${whole.name}.${field.name}`, data };
    if (mustNot(field, data)) assertUnder(whole.data, part);
    assertParts(part);
  }
}

/** Nulls of a part must lie under nulls of the whole. */
function assertUnder(whole: Data, part: Place): void {
  for (let row = 0; row < whole.length; row++) {
    if (!isValid(whole, row)) continue;
    const [start, end] = partOf(whole, row);
    for (let at = start; at < end; at++) if (!isValid(part.data, at)) throw refused(part);
  }
}

function partOf(whole: Data, row: number): [start: number, end: number] {
  const { type } = whole;
  if (arrow.DataType.isStruct(type)) return [row, row + 1];
  if (arrow.DataType.isFixedSizeList(type)) return [row * type.listSize, (row + 1) * type.listSize];
  return rangeAt(whole, row);
}

function refused({ name }: Place): Problem {
  return new Problem(`the column ${JSON.stringify(name)} has nulls, which its type does not allow`);
}
