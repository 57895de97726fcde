import { types } from "node:util";
import type { Data, Dictionary, Field, Map_, Struct } from "apache-arrow";
import { arrow } from "../arrow.ts";
import { badValue, inside, type Place, show } from "../place.ts";
import { columnData, offsetsFor } from "./data.ts";
import { isRecord } from "./elements.ts";
import { encodeColumn } from "./encode-column.ts";
import { encodeInts } from "./numbers.ts";
import { bytesOf } from "./text.ts";
import { validityOf } from "./validity.ts";

/** Objects with no other names than the column's. A name left out is null. */
export function encodeStructs(type: Struct, values: readonly unknown[], place: Place): Data {
  const names = new Set(type.children.map((child) => child.name));
  const records = values.map((value, index) => {
    if (value === null || value === undefined) return undefined;
    if (!isRecord(value)) throw badValue(place, index, `${show(value)} is not an object`);
    for (const name of Object.keys(value)) {
      if (!names.has(name) && value[name] !== undefined) {
        throw badValue(place, index, `the column has no field ${JSON.stringify(name)}`);
      }
    }
    return value;
  });
  const children = type.children.map((child) => {
    const within = inside(place, `.${child.name}`, (index) => index);
    return encodeColumn(
      child,
      records.map((record) => record?.[child.name]),
      within,
    );
  });
  return columnData(type, values.length, validityOf(values), { children });
}

/** Blob columns take bytes, or a string that is a URI, or `{ data }` or `{ uri }`. */
export function encodeBlobs(field: Field<Struct>, values: readonly unknown[], place: Place): Data {
  const records = values.map((value) => {
    const bytes = bytesOf(value);
    if (bytes !== undefined) return { data: bytes };
    return typeof value === "string" ? { uri: value } : value;
  });
  for (const [index, record] of records.entries()) {
    if (!isRecord(record)) continue;
    const given = [record["data"], record["uri"]].filter(
      (part) => part !== null && part !== undefined && part !== "",
    );
    if (given.length !== 1) throw badValue(place, index, "a blob has either data or a uri");
  }
  return encodeStructs(field.type, records, place);
}

/** `Map`s, arrays of pairs, or plain objects. */
export function encodeMaps(type: Map_, values: readonly unknown[], place: Place): Data {
  const entries: unknown[] = [];
  const parents: number[] = [];
  const ends = new Float64Array(values.length + 1);
  const [key, item] = (type.children[0] as Field<Struct>).type.children as [Field, Field];
  for (let index = 0; index < values.length; index++) {
    for (const pair of pairsAt(values, index, place)) {
      entries.push({ [key.name]: pair[0], [item.name]: pair[1] });
      parents.push(index);
    }
    ends[index + 1] = entries.length;
  }
  const within = inside(place, "{}", (entry) => parents[entry] ?? 0);
  const child = encodeColumn(type.children[0] as Field, entries, within);
  return columnData(type, values.length, validityOf(values), {
    offsets: offsetsFor(type, ends),
    children: [child],
  });
}

function pairsAt(values: readonly unknown[], index: number, place: Place): Iterable<readonly unknown[]> {
  const value = values[index];
  if (value === null || value === undefined) return [];
  if (types.isMap(value)) return value.entries();
  if (Array.isArray(value) && value.every((pair) => Array.isArray(pair) && pair.length === 2)) return value;
  if (isRecord(value)) return Object.entries(value);
  throw badValue(place, index, `${show(value)} is not a Map, an array of pairs, or an object`);
}

/** Dictionary columns take plain values; each distinct value is kept once. */
export function encodeDictionary(type: Dictionary, values: readonly unknown[], place: Place): Data {
  const codes = new Map<unknown, number>();
  const firstUse: number[] = [];
  const indices = values.map((value, index) => {
    if (value === null || value === undefined) return null;
    const known = codes.get(value);
    if (known !== undefined) return known;
    firstUse.push(index);
    codes.set(value, codes.size);
    return codes.size - 1;
  });
  const uses = inside(place, "", (code) => firstUse[code] ?? 0);
  const distinct = encodeColumn(new arrow.Field("", type.dictionary, true), [...codes.keys()], uses);
  const packed = encodeInts(
    type.indices,
    indices,
    inside(place, " (its dictionary)", (index) => index),
  );
  const dictionary = new arrow.Vector([distinct]);
  return columnData(type, values.length, validityOf(values), { values: packed.values, dictionary });
}
