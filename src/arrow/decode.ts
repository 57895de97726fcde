import type { Data, DataType, Field } from "apache-arrow";
import { arrow } from "./arrow.ts";
import { bitAt, bytesIn, isValid, itemsOf, rangeAt } from "./column-read.ts";

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * The values of an Arrow column as plain JavaScript, exact, in the forms that `encodeColumn` takes back:
 * 64-bit integers and times as `bigint` in the column's unit, bytes as `Uint8Array`, decimals as their words.
 * (apache-arrow's own getters turn microseconds into fractions of milliseconds, and dates into numbers.)
 */
export function valuesOf(data: Data): unknown[] {
  const read = readerFor(data);
  return Array.from({ length: data.length }, (_, index) => (isValid(data, index) ? read(index) : null));
}

function readerFor(data: Data): (index: number) => unknown {
  const type: DataType = data.type;
  const { DataType: Is } = arrow;
  const { values, offset } = data;
  if (Is.isNull(type)) return () => null;
  if (Is.isBool(type)) return (index) => bitAt(values, offset + index);
  if (Is.isFloat(type) && type.precision === arrow.Precision.HALF) {
    return (index) => arrow.util.uint16ToFloat64(values[index]);
  }
  if (Is.isUtf8(type) || Is.isLargeUtf8(type)) return (index) => utf8.decode(bytesAt(data, index));
  if (Is.isBinary(type) || Is.isLargeBinary(type)) return (index) => bytesAt(data, index);
  if (Is.isFixedSizeBinary(type)) return cells(bytesIn(values), type.byteWidth);
  if (Is.isDecimal(type)) return cells(values, type.bitWidth / 32);
  if (Is.isDate(type)) return (index) => BigInt(values[index]);
  if (Is.isDictionary(type)) return dictionaryReader(data);
  if (Is.isStruct(type)) return structReader(type.children, data);
  if (Is.isMap(type))
    return listReader(data, (entries) => entries.map((entry) => Object.values(entry as object)));
  if (Is.isList(type)) return listReader(data, (items) => items);
  if (Is.isFixedSizeList(type)) {
    const items = valuesOf(itemsOf(data));
    return (index) => items.slice(index * type.listSize, (index + 1) * type.listSize);
  }
  return (index) => values[index];
}

function bytesAt(data: Data, index: number): Uint8Array {
  return bytesIn(data.values).subarray(...rangeAt(data, index));
}

function cells(values: Uint8Array | Uint32Array, width: number): (index: number) => unknown {
  return (index) => values.subarray(index * width, (index + 1) * width);
}

function dictionaryReader(data: Data): (index: number) => unknown {
  const distinct = (data.dictionary?.data ?? []).flatMap(valuesOf);
  return (index) => distinct[Number(data.values[index])];
}

function structReader(fields: readonly Field[], data: Data): (index: number) => unknown {
  const columns = fields.map((field, at) => {
    const child = data.children[at];
    return [field.name, child === undefined ? [] : valuesOf(child)] as const;
  });
  return (index) => Object.fromEntries(columns.map(([name, values]) => [name, values[index]]));
}

function listReader(data: Data, shape: (items: unknown[]) => unknown): (index: number) => unknown {
  const items = valuesOf(itemsOf(data));
  return (index) => shape(items.slice(...rangeAt(data, index)));
}
