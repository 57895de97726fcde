import { Buffer } from "node:buffer";
import type { Data } from "apache-arrow";
import { arrow } from "../arrow.ts";
import { assertUtf8, isBytes, isText } from "../column.ts";
import { bitAt, bytesIn, itemsOf, rangeAt } from "../column-read.ts";
import { decimalText, unscaledAt } from "./decimal-text.ts";
import { shortFloat32, specialText } from "./float-text.ts";
import { halfNumber, halfValue } from "./float16.ts";
import { temporalText } from "./temporal-text.ts";

/** What `JSON.stringify` is to write for the value at an index. */
export type JsonAt = (index: number) => unknown;

/** The values of a column for JSON (docs/formats.md, "Periodic files"), from its buffers. @throws Problem */
export function jsonValues(data: Data): JsonAt {
  if (arrow.DataType.isNull(data.type)) return () => null;
  const present = presentValues(data);
  const bitmap: Uint8Array | undefined = data.nullBitmap;
  if (bitmap === undefined || bitmap.byteLength === 0 || data.nullCount === 0) return present;
  return (index) => (bitAt(bitmap, data.offset + index) ? present(index) : null);
}

function presentValues(data: Data): JsonAt {
  const { DataType: Is } = arrow;
  const { type, values } = data;
  const bytes = bytesIn(values);
  const base64 = (start: number, end: number) =>
    Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("base64");
  if (Is.isBool(type)) return (index) => bitAt(bytes, data.offset + index);
  if (Is.isInt(type)) {
    return type.bitWidth === 64 ? (index) => wholeNumber(values[index]) : (index) => values[index];
  }
  if (Is.isFloat(type)) return floatValues(data, type.precision);
  if (isText(type)) {
    assertUtf8(bytes, data.valueOffsets, data.length);
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return (index) => text.toString("utf8", ...rangeAt(data, index));
  }
  if (isBytes(type)) return (index) => base64(...rangeAt(data, index));
  if (Is.isFixedSizeBinary(type)) {
    return (index) => base64(index * type.byteWidth, (index + 1) * type.byteWidth);
  }
  if (Is.isDecimal(type)) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const width = type.bitWidth / 8;
    return (index) => decimalText(unscaledAt(view, index * width, width), type.scale);
  }
  if (Is.isDuration(type)) return (index) => wholeNumber(values[index]);
  if (Is.isDate(type) || Is.isTime(type) || Is.isTimestamp(type)) {
    return (index) => temporalText(type, BigInt(values[index]));
  }
  if (Is.isDictionary(type)) return dictionaryValues(data);
  return nestedValues(data);
}

/** A number where a double holds it, else its digits. */
function wholeNumber(value: bigint): number | string {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}

function floatValues(data: Data, precision: number): JsonAt {
  const bytes = bytesIn(data.values);
  const isPlain = (value: number) => Number.isFinite(value) && !Object.is(value, -0);
  if (precision === arrow.Precision.HALF) {
    const bits: Uint16Array = data.values;
    return (index) => {
      const own = bits[index] ?? 0;
      const value = halfValue(own);
      return isPlain(value) ? halfNumber(own) : specialText(value, () => BigInt(own), 16);
    };
  }
  if (precision === arrow.Precision.SINGLE) {
    const values: Float32Array = data.values;
    const bits = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2);
    return (index) => {
      const value = values[index] ?? 0;
      return isPlain(value) ? shortFloat32(value) : specialText(value, () => BigInt(bits[index] ?? 0), 32);
    };
  }
  const values: Float64Array = data.values;
  const bits = new BigUint64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 3);
  return (index) => {
    const value = values[index] ?? 0;
    return isPlain(value) ? value : specialText(value, () => bits[index] ?? 0n, 64);
  };
}

function dictionaryValues(data: Data): JsonAt {
  const pieces = (data.dictionary?.data ?? []).map((piece) => ({
    size: piece.length,
    at: jsonValues(piece),
  }));
  return (index) => {
    let entry = Number(data.values[index]);
    for (const piece of pieces) {
      if (entry < piece.size) return piece.at(entry);
      entry -= piece.size;
    }
    throw new TypeError(`A dictionary has no entry ${Number(data.values[index])}.`);
  };
}

function nestedValues(data: Data): JsonAt {
  const { DataType: Is } = arrow;
  const { type } = data;
  if (Is.isStruct(type)) {
    const members = data.children.map((child, at) => ({
      name: type.children[at]?.name ?? "",
      at: jsonValues(child),
    }));
    return (index) => {
      const object = Object.create(null); // so that a member may be called __proto__
      for (const { name, at } of members) object[name] = at(index);
      return object;
    };
  }
  if (Is.isMap(type)) {
    const pair = itemsOf(data).children.map(jsonValues);
    return listsOf((at) => pair.map((value) => value(at)), data);
  }
  return listsOf(jsonValues(itemsOf(data)), data);
}

function listsOf(item: JsonAt, data: Data): JsonAt {
  const { type } = data;
  if (arrow.DataType.isFixedSizeList(type)) return vectorsOf(item, type.listSize);
  return (index) => {
    const [start, end] = rangeAt(data, index);
    const list = new Array<unknown>(end - start);
    for (let at = start; at < end; at++) list[at - start] = item(at);
    return list;
  };
}

function vectorsOf(item: JsonAt, size: number): JsonAt {
  return (index) => {
    const list = new Array<unknown>(size);
    for (let at = 0; at < size; at++) list[at] = item(index * size + at);
    return list;
  };
}
