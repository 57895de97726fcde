import { types } from "node:util";
import type { Data, FixedSizeList, Float, List } from "apache-arrow";
import { arrow } from "../arrow.ts";
import { badValue, inside, type Place, show } from "../place.ts";
import { columnData, offsetsFor } from "./data.ts";
import { elementsOf } from "./elements.ts";
import { encodeColumn } from "./encode-column.ts";
import { narrow } from "./numbers.ts";
import { validityOf } from "./validity.ts";

export function encodeLists(type: List, values: readonly unknown[], place: Place): Data {
  const items: unknown[] = [];
  const parents: number[] = [];
  const ends = new Float64Array(values.length + 1);
  for (let index = 0; index < values.length; index++) {
    const list = itemsAt(values, index, place);
    for (let item = 0; item < list.length; item++) {
      items.push(list[item]);
      parents.push(index);
    }
    ends[index + 1] = items.length;
  }
  const within = inside(place, "[]", (item) => parents[item] ?? 0);
  const child = encodeColumn(type.valueField, items, within);
  return columnData(type, values.length, validityOf(values), {
    offsets: offsetsFor(type, ends),
    children: [child],
  });
}

/** Lists that all have the column's length: never padded, never cut. */
export function encodeFixedLists(type: FixedSizeList, values: readonly unknown[], place: Place): Data {
  const size = type.listSize;
  const items: unknown[] = new Array(values.length * size).fill(null);
  for (let index = 0; index < values.length; index++) {
    if (isMissing(values[index])) continue;
    const list = itemsOfLength(size, values, index, place);
    for (let item = 0; item < size; item++) items[index * size + item] = list[item];
  }
  const within = inside(place, "[]", (item) => Math.floor(item / size));
  const child = encodeColumn(type.valueField, items, within);
  return columnData(type, values.length, validityOf(values), { children: [child] });
}

/** Float vectors, the fast way: a number in every place. Whether they are finite is checked with the column. */
export function encodeVectors(type: FixedSizeList<Float>, values: readonly unknown[], place: Place): Data {
  const size = type.listSize;
  const single = type.valueType.precision === arrow.Precision.SINGLE;
  const numbers = single ? new Float32Array(values.length * size) : new Float64Array(values.length * size);
  for (let index = 0; index < values.length; index++) {
    if (isMissing(values[index])) continue;
    const list = itemsOfLength(size, values, index, place);
    if (types.isFloat32Array(list) || types.isFloat64Array(list)) numbers.set(list, index * size);
    else copyNumbers(list, numbers, index * size, (problem) => badValue(place, index, problem));
  }
  const items = columnData(
    type.valueType,
    numbers.length,
    { nullCount: 0 },
    { values: narrow(type.valueType, numbers) },
  );
  return columnData(type, values.length, validityOf(values), { children: [items] });
}

function copyNumbers(
  list: ArrayLike<unknown>,
  numbers: Float32Array | Float64Array,
  at: number,
  bad: (problem: string) => Error,
): void {
  for (let item = 0; item < list.length; item++) {
    const number = list[item];
    if (typeof number !== "number")
      throw bad(`${show(number)} at place ${item} of a vector, where a number is wanted`);
    numbers[at + item] = number;
  }
}

function itemsOfLength(
  size: number,
  values: readonly unknown[],
  index: number,
  place: Place,
): ArrayLike<unknown> {
  const list = itemsAt(values, index, place);
  if (list.length === size) return list;
  throw badValue(place, index, `${list.length} values where the column holds ${size}`);
}

function itemsAt(values: readonly unknown[], index: number, place: Place): ArrayLike<unknown> {
  const value = values[index];
  if (isMissing(value)) return [];
  const items = elementsOf(value);
  if (items === undefined) throw badValue(place, index, `${show(value)} is not an array`);
  return items;
}

function isMissing(value: unknown): boolean {
  return value === null || value === undefined;
}
