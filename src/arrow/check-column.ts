import type { Data, DataType, Field, Float } from "apache-arrow";
import { arrow } from "./arrow.ts";
import { badValue, inside, type Place, Problem } from "./bad-value.ts";
import { fieldsIn, firstNull, isValid, itemsOf, rangeAt } from "./column.ts";
import { halfValue } from "./number-text.ts";
import { isFloatVector } from "./types.ts";

/**
 * What must hold for a column however it came: no null where the field allows none, and a finite number in
 * every place of a vector (LanceDB's `add` refuses NaN, its `createTable` and `mergeInsert` store it).
 * Throws `ValidationError` for the first value that breaks it.
 */
export function checkColumn(field: Field, data: Data, place: Place): void {
  if (!needsCheck(field)) return;
  if (!field.nullable) {
    const index = firstNull(data);
    if (index >= 0) throw badValue(place, index, "null, in a column that allows none");
  }
  checkInside(field.type, data, place, (index) => isValid(data, index));
}

function checkInside(type: DataType, data: Data, place: Place, live: (index: number) => boolean): void {
  if (isFloatVector(type)) checkVectors(type, data, place, live);
  else if (arrow.DataType.isStruct(type)) {
    for (const [at, field] of type.children.entries()) {
      const child = data.children[at];
      if (child === undefined || !needsCheck(field)) continue;
      checkNested(
        field,
        child,
        inside(place, `.${field.name}`, (index) => index),
        live,
      );
    }
  } else if (fieldsIn(type).length === 1 && !arrow.DataType.isDictionary(type)) {
    checkItems(type, data, place, live);
  }
}

function checkNested(field: Field, data: Data, place: Place, live: (index: number) => boolean): void {
  const here = (index: number) => live(index) && isValid(data, index);
  for (let index = 0; !field.nullable && index < data.length; index++) {
    if (live(index) && !isValid(data, index))
      throw badValue(place, index, "null, in a column that allows none");
  }
  checkInside(field.type, data, place, here);
}

function checkItems(type: DataType, data: Data, place: Place, live: (index: number) => boolean): void {
  const field: Field | undefined = fieldsIn(type)[0];
  if (field === undefined || !needsCheck(field)) return;
  const items = itemsOf(data);
  const parents = new Int32Array(items.length).fill(-1);
  for (let index = 0; index < data.length; index++) {
    if (live(index)) parents.fill(index, ...itemRange(type, data, index));
  }
  const within = inside(place, "[]", (item) => parents[item] ?? 0);
  checkNested(field, items, within, (item) => (parents[item] ?? -1) >= 0);
}

function checkVectors(type: DataType, data: Data, place: Place, live: (index: number) => boolean): void {
  const items = itemsOf(data);
  const values: ArrayLike<number> = items.values;
  const half = (items.type as Float).precision === arrow.Precision.HALF;
  const holes = firstNull(items) >= 0;
  for (let index = 0; index < data.length; index++) {
    if (!live(index)) continue;
    const [start, end] = itemRange(type, data, index);
    for (let item = start; item < end; item++) {
      const value = values[item] ?? Number.NaN;
      const finite = half ? (value & 0x7c00) !== 0x7c00 : value - value === 0;
      if (finite && !(holes && !isValid(items, item))) continue;
      const number = half ? halfValue(value) : value;
      const what = finite ? "null" : String(number);
      throw badValue(place, index, `${what} at place ${item - start} of a vector; LanceDB cannot search it`);
    }
  }
}

function itemRange(type: DataType, data: Data, index: number): [start: number, end: number] {
  if (!arrow.DataType.isFixedSizeList(type)) return rangeAt(data, index);
  return [index * type.listSize, (index + 1) * type.listSize];
}

function needsCheck(field: Field): boolean {
  if (!field.nullable || isFloatVector(field.type)) return true;
  return fieldsIn(field.type).some(needsCheck);
}

/** A column, or a part of one, and the name that it has in a message. */
interface Part {
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

function assertParts(whole: Part): void {
  const { type } = whole.data;
  if (arrow.DataType.isDictionary(type)) return;
  for (const [index, field] of fieldsIn(type).entries()) {
    const data = whole.data.children[index];
    if (data === undefined) continue;
    const part = { name: `${whole.name}.${field.name}`, data };
    if (mustNot(field, data)) assertUnder(whole.data, part);
    assertParts(part);
  }
}

/** Nulls of a part must lie under nulls of the whole. */
function assertUnder(whole: Data, part: Part): void {
  for (let row = 0; row < whole.length; row++) {
    if (!isValid(whole, row)) continue;
    const [start, end] = arrow.DataType.isStruct(whole.type)
      ? [row, row + 1]
      : itemRange(whole.type, whole, row);
    for (let at = start; at < end; at++) if (!isValid(part.data, at)) throw refused(part);
  }
}

function refused({ name }: Part): Problem {
  return new Problem(`the column ${JSON.stringify(name)} has nulls, which its type does not allow`);
}
