import { types } from "node:util";
import type { Data, Dictionary, FixedSizeList, Float, List, Map_, Null, Struct } from "apache-arrow";
import { arrow } from "./arrow.ts";
import { inside, Problem, show } from "./bad-value.ts";
import { type Building, type Codec, fill, isMissing, UNSEEN, type ValueAt } from "./codec.ts";
import { fieldsIn, itemField, itemsOf, newColumn, newFloats, offsetsFor, rangeAt } from "./column.ts";
import { halfBits } from "./number-text.ts";
import { isFloatVector } from "./types.ts";

export const nullCodec: Codec<Null> = {
  read: () => () => null,
  build(type, values, to) {
    fill(values, to, (value) => {
      throw new Problem(`${show(value)} in a column that holds only nulls`);
    });
    return newColumn(type, values.length, { nullCount: values.length });
  },
};

export const listCodec: Codec<List> = {
  read: (data, _type, _form, inner) => listsAt(data, inner(itemsOf(data))),
  build(type, values, to) {
    const lists = new Flattened(values, to, listOf);
    const child = to.inner(type.valueField, lists.items, lists.within("[]"));
    return newColumn(type, values.length, lists.validity, {
      offsets: offsetsFor(type, lists.ends),
      children: [child],
    });
  },
};

/** Lists that all have the column's length: never padded, never cut. The items of a null are zeros. */
export const fixedListCodec: Codec<FixedSizeList> = {
  read(data, { listSize }, _form, inner) {
    const item = inner(itemsOf(data));
    return (index) => {
      const list = new Array<unknown>(listSize);
      for (let at = 0; at < listSize; at++) list[at] = item(index * listSize + at);
      return list;
    };
  },
  build(type, values, to) {
    if (to.form === "rows" && isFloatVector(type))
      return buildVectors(type as FixedSizeList<Float>, values, to);
    const { listSize } = type;
    to.claim(values.reduce<number>((sum, value) => sum + (Array.isArray(value) ? 0 : listSize), 0) * 16);
    const items = new Array<unknown>(values.length * listSize).fill(UNSEEN);
    const validity = fill(values, to, (value, index) => {
      const list = listOfLength(value, listSize);
      for (let item = 0; item < listSize; item++) items[index * listSize + item] = list[item];
    });
    const place = inside(to.place, "[]", (item) => Math.floor(item / listSize));
    const child = to.inner(type.valueField, items, { place, nullable: false });
    return newColumn(type, values.length, validity, { children: [child] });
  },
};

/** Float vectors, the fast way: a number in every place. Whether they are finite is checked with the column. */
function buildVectors(type: FixedSizeList<Float>, values: readonly unknown[], to: Building): Data {
  const { listSize, valueType } = type;
  const numbers = newFloats(valueType, values.length * listSize);
  const half = types.isUint16Array(numbers);
  const validity = fill(values, to, (value, index) => {
    const list = listOfLength(value, listSize);
    const at = index * listSize;
    if (!half && (types.isFloat32Array(list) || types.isFloat64Array(list))) numbers.set(list, at);
    else {
      for (let item = 0; item < listSize; item++) {
        const number = list[item];
        if (typeof number !== "number")
          throw new Problem(`${show(number)} at place ${item} of a vector, which must hold numbers`);
        numbers[at + item] = half ? halfBits(number) : number;
      }
    }
  });
  const items = newColumn(valueType, numbers.length, { nullCount: 0 }, { values: numbers });
  return newColumn(type, values.length, validity, { children: [items] });
}

/** Objects with no other names than the column's. In rows a name left out is null; in JSON none is left out. */
export const structCodec: Codec<Struct> = {
  read(data, type, _form, inner) {
    const members = data.children.map((child, at) => [type.children[at]?.name ?? "", inner(child)] as const);
    return (index) => Object.fromEntries(members.map(([name, at]) => [name, at(index)]));
  },
  build(type, values, to) {
    const names = new Set(type.children.map(({ name }) => name));
    const validity = fill(values, to, (value) => {
      if (to.form === "json") {
        membersOf(value, type.children);
        return;
      }
      if (!isRecord(value)) throw new Problem(`${show(value)} is not an object`);
      for (const name of Object.keys(value)) {
        if (!names.has(name) && value[name] !== undefined) {
          throw new Problem(`the column has no field ${JSON.stringify(name)}`);
        }
      }
    });
    const children = type.children.map((child) => {
      const members = values.map((value) => (isRecord(value) ? value[child.name] : UNSEEN));
      const place = inside(to.place, `.${child.name}`, (index) => index);
      return to.inner(child, members, { place, nullable: child.nullable });
    });
    return newColumn(type, values.length, validity, { children });
  },
};

/** The members of an object in the order of the fields; none may be missing, and none be there that is no field. */
export function membersOf(value: unknown, fields: readonly { readonly name: string }[]): unknown[] {
  if (!isRecord(value)) throw new Problem("a value is no object");
  const members = fields.map(({ name }) => {
    if (!Object.hasOwn(value, name)) throw new Problem(`${JSON.stringify(name)} is missing`);
    return value[name];
  });
  if (Object.keys(value).length === fields.length) return members;
  throw new Problem("an object lacks members of its type");
}

/** `Map`s, arrays of pairs, or plain objects; in JSON and as they are read, arrays of pairs. */
export const mapCodec: Codec<Map_> = {
  read(data, _type, _form, inner) {
    const [key, value] = itemsOf(data).children.map(inner);
    return listsAt(data, (index) => [key?.(index), value?.(index)]);
  },
  build(type, values, to) {
    const entries = new Flattened(values, to, (value) => pairsOf(value, to.form === "json"));
    const { type: pair } = itemField(type);
    const children = fieldsIn(pair).map((field, at) => {
      const members = entries.items.map((entry) => (entry as readonly unknown[])[at]);
      return to.inner(field, members, { ...entries.within(`{}.${field.name}`), nullable: field.nullable });
    });
    const child = newColumn(pair, entries.items.length, { nullCount: 0 }, { children });
    return newColumn(type, values.length, entries.validity, {
      offsets: offsetsFor(type, entries.ends),
      children: [child],
    });
  },
};

const MINUS_ZERO = Symbol("-0");

/** Dictionary columns take plain values; each distinct value is kept once. */
export const dictionaryCodec: Codec<Dictionary> = {
  read(data, _type, _form, inner) {
    const pieces = (data.dictionary?.data ?? []).map((piece) => ({ size: piece.length, at: inner(piece) }));
    return (index) => {
      let entry = Number(data.values[index]);
      for (const { size, at } of pieces) {
        if (entry < size) return at(entry);
        entry -= size;
      }
      throw new TypeError("A dictionary column came without its dictionary.");
    };
  },
  build(type, values, to) {
    const { bitWidth, isSigned }: { bitWidth: number; isSigned: boolean } = type.indices;
    const limit = Math.min(2 ** 31, 2 ** (isSigned ? bitWidth - 1 : bitWidth));
    const known = new Map<unknown, number>();
    const entries: unknown[] = [];
    const firstUse: number[] = [];
    const indices = values.map((value, index) => {
      if (isMissing(value) || (value === UNSEEN && to.nullable)) return null;
      const key = Object.is(value, -0) ? MINUS_ZERO : value; // a Map takes -0 for 0
      let entry = known.get(key);
      if (entry === undefined) {
        entry = entries.push(value) - 1;
        if (entry >= limit) to.claim(Number.POSITIVE_INFINITY);
        firstUse.push(index);
        known.set(key, entry);
      }
      return entry;
    });
    const distinct = to.inner(new arrow.Field("", type.dictionary, true), entries, {
      place: inside(to.place, "", (entry) => firstUse[entry] ?? 0),
      nullable: false,
    });
    const packed = to.inner(new arrow.Field("", type.indices, true), indices, {
      place: inside(to.place, " (its dictionary)", (index) => index),
      nullable: true,
    });
    const validity = { nullCount: packed.nullCount, bitmap: packed.nullBitmap };
    const parts = { values: packed.values, dictionary: new arrow.Vector([distinct]) };
    return newColumn(type, values.length, validity, parts);
  },
};

/** The items of all lists of a column, one after the other. */
class Flattened {
  readonly items: unknown[] = [];
  readonly ends: Float64Array;
  readonly validity;
  readonly #to: Building;

  constructor(
    values: readonly unknown[],
    to: Building,
    itemsOfValue: (value: unknown) => ArrayLike<unknown>,
  ) {
    this.#to = to;
    this.ends = new Float64Array(values.length + 1);
    const sizes = new Float64Array(values.length);
    this.validity = fill(values, to, (value, index) => {
      const list = itemsOfValue(value);
      for (let item = 0; item < list.length; item++) this.items.push(list[item]);
      sizes[index] = list.length;
    });
    for (const [index, size] of sizes.entries()) this.ends[index + 1] = (this.ends[index] ?? 0) + size;
  }

  /** Where the items are, for those that are built of them. */
  within(suffix: string) {
    const place = inside(this.#to.place, suffix, (item) => this.ends.findIndex((end) => end > item) - 1);
    return { place, nullable: true };
  }
}

/** Lists by their offsets. */
function listsAt(data: Data, item: ValueAt): ValueAt {
  return (index) => {
    const [start, end] = rangeAt(data, index);
    const list = new Array<unknown>(end - start);
    for (let at = start; at < end; at++) list[at - start] = item(at);
    return list;
  };
}

function listOf(value: unknown): ArrayLike<unknown> {
  const list = elementsOf(value);
  if (list === undefined) throw new Problem(`${show(value)} is not an array`);
  return list;
}

function listOfLength(value: unknown, size: number): ArrayLike<unknown> {
  const list = listOf(value);
  if (list.length === size) return list;
  throw new Problem(`${list.length} values where the column holds ${size}`);
}

function pairsOf(value: unknown, onlyPairs: boolean): ArrayLike<readonly unknown[]> {
  if (Array.isArray(value) && value.every((pair) => Array.isArray(pair) && pair.length === 2)) return value;
  if (!onlyPairs && types.isMap(value)) return [...value.entries()];
  if (!onlyPairs && isRecord(value)) return Object.entries(value);
  throw new Problem(`${show(value)} is not a Map, an array of pairs, or an object`);
}

/** The items of a list value: an array, a typed array, or anything else that iterates (an Arrow vector, a Set). */
export function elementsOf(value: unknown): ArrayLike<unknown> | undefined {
  if (Array.isArray(value)) return value;
  if (typeof value !== "object" || value === null || types.isMap(value)) return undefined;
  if (ArrayBuffer.isView(value)) return types.isDataView(value) ? undefined : (value as Uint8Array);
  return isIterable(value) ? Array.from(value) : undefined;
}

function isIterable(value: object): value is Iterable<unknown> {
  return Symbol.iterator in value && typeof value[Symbol.iterator] === "function";
}

/** An object of named values: what a struct, or a row, can be read from. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    !ArrayBuffer.isView(value) &&
    !(types.isDate(value) || types.isMap(value) || types.isSet(value) || types.isRegExp(value)) &&
    !types.isArrayBuffer(value)
  );
}
