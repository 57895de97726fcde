import { Buffer } from "node:buffer";
import type { Data, DataType } from "apache-arrow";
import { arrow } from "../../../lance/predicates/arrow.ts";
import { bitAt, bytesIn, itemsOf, rangeAt } from "../../../lance/predicates/column-read.ts";
import { assertUtf8, isBytes, isText } from "../column.ts";
import { decimalText, unscaledAt } from "./decimal.ts";
import { encodeTemporal, isTemporal } from "./encode-temporal.ts";
import { specialText, writeFloat32, writeFloat64 } from "./floats.ts";
import { halfText, halfValue } from "./half.ts";
import type { JsonOutput } from "./output.ts";

/** Writes the value at an index as JSON. */
export type EncodeValue = (index: number) => void;

const NULL = Buffer.from("null");
const TRUE = Buffer.from("true");
const FALSE = Buffer.from("false");
const COMMA = 0x2c;
const [LIST_START, LIST_END, OBJECT_START, OBJECT_END] = [0x5b, 0x5d, 0x7b, 0x7d];

/** How to write the values of a column, from its buffers. */
function encodeColumn(data: Data, out: JsonOutput): EncodeValue {
  if (arrow.DataType.isNull(data.type)) return () => out.raw(NULL);
  const encode = encodePresent(data, out);
  const bitmap: Uint8Array | undefined = data.nullBitmap;
  if (bitmap === undefined || bitmap.byteLength === 0 || data.nullCount === 0) return encode;
  return (index) => {
    if (bitAt(bitmap, data.offset + index)) encode(index);
    else out.raw(NULL);
  };
}

function encodePresent(data: Data, out: JsonOutput): EncodeValue {
  const { DataType: Is } = arrow;
  const { type } = data;
  if (Is.isBool(type)) {
    const bits = bytesIn(data.values);
    return (index) => out.raw(bitAt(bits, data.offset + index) ? TRUE : FALSE);
  }
  if (Is.isInt(type)) {
    const { values } = data;
    return type.bitWidth === 64
      ? (index) => out.quoted(String(values[index]))
      : (index) => out.integer(values[index] as number);
  }
  if (Is.isFloat(type)) return encodeFloat(data, type.precision, out);
  if (isText(type)) {
    const bytes = bytesIn(data.values);
    assertUtf8(bytes, data.valueOffsets, data.length);
    return (index) => out.utf8(bytes, ...rangeAt(data, index));
  }
  if (isBytes(type)) {
    const bytes = bytesIn(data.values);
    return (index) => out.base64(bytes.subarray(...rangeAt(data, index)));
  }
  if (isTemporal(type)) return encodeTemporal(data, type, out);
  if (Is.isFixedSizeBinary(type)) {
    const bytes = bytesIn(data.values);
    return (index) => out.base64(bytes.subarray(index * type.byteWidth, (index + 1) * type.byteWidth));
  }
  if (Is.isDecimal(type)) {
    const bytes = bytesIn(data.values);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const width = type.bitWidth / 8;
    return (index) => out.quoted(decimalText(unscaledAt(view, index * width, width), type.scale));
  }
  if (Is.isDictionary(type)) return encodeDictionary(data, out);
  return encodeNested(data, type, out);
}

function encodeNested(data: Data, type: DataType, out: JsonOutput): EncodeValue {
  const { DataType: Is } = arrow;
  if (Is.isStruct(type)) {
    const object = encodeObject(
      type.children.map((field) => field.name),
      data.children,
      out,
    );
    return object;
  }
  if (Is.isMap(type)) {
    const [key, value] = itemsOf(data).children;
    if (key === undefined || value === undefined) throw new TypeError("A map has keys and values.");
    const pair = [encodeColumn(key, out), encodeColumn(value, out)] as const;
    const encode: EncodeValue = (index) => {
      out.byte(LIST_START);
      pair[0](index);
      out.byte(COMMA);
      pair[1](index);
      out.byte(LIST_END);
    };
    return (index) => encodeItems(encode, ...rangeAt(data, index), out);
  }
  const encode = encodeColumn(itemsOf(data), out);
  if (Is.isFixedSizeList(type)) {
    const size = type.listSize;
    return (index) => encodeItems(encode, index * size, (index + 1) * size, out);
  }
  return (index) => encodeItems(encode, ...rangeAt(data, index), out);
}

function encodeItems(encode: EncodeValue, start: number, end: number, out: JsonOutput): void {
  out.byte(LIST_START);
  for (let index = start; index < end; index++) {
    if (index > start) out.byte(COMMA);
    encode(index);
  }
  out.byte(LIST_END);
}

/** Objects with a member for each column, in their order. */
export function encodeObject(
  names: readonly string[],
  columns: readonly Data[],
  out: JsonOutput,
): EncodeValue {
  const members = columns.map((column, index) => ({
    name: Buffer.from(`${index === 0 ? "" : ","}${JSON.stringify(names[index])}:`),
    encode: encodeColumn(column, out),
  }));
  return (index) => {
    out.byte(OBJECT_START);
    for (const member of members) {
      out.raw(member.name);
      member.encode(index);
    }
    out.byte(OBJECT_END);
  };
}

function encodeFloat(data: Data, precision: number, out: JsonOutput): EncodeValue {
  const bytes = bytesIn(data.values);
  if (precision === arrow.Precision.HALF) {
    const bits: Uint16Array = data.values;
    return (index) => {
      const own = bits[index] ?? 0;
      const value = halfValue(own);
      if (Number.isFinite(value)) out.ascii(halfText(own));
      else out.quoted(specialText(value, () => BigInt(own), 16));
    };
  }
  if (precision === arrow.Precision.SINGLE) {
    const values: Float32Array = data.values;
    const bits = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2);
    return (index) => {
      const value = values[index] ?? 0;
      if (Number.isFinite(value)) writeFloat32(out, value, bits[index] ?? 0);
      else out.quoted(specialText(value, () => BigInt(bits[index] ?? 0), 32));
    };
  }
  const values: Float64Array = data.values;
  const bits = new BigUint64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 3);
  return (index) => {
    const value = values[index] ?? 0;
    if (Number.isFinite(value)) writeFloat64(out, value);
    else out.quoted(specialText(value, () => bits[index] ?? 0n, 64));
  };
}

function encodeDictionary(data: Data, out: JsonOutput): EncodeValue {
  const pieces = (data.dictionary?.data ?? []).map((piece) => ({
    size: piece.length,
    encode: encodeColumn(piece, out),
  }));
  const { values } = data;
  return (index) => {
    let entry = Number(values[index]);
    for (const piece of pieces) {
      if (entry < piece.size) return piece.encode(entry);
      entry -= piece.size;
    }
    throw new TypeError(`A dictionary has no entry ${Number(values[index])}.`);
  };
}
