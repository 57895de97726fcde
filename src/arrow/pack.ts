import type { Data, DataType, Dictionary, Field } from "apache-arrow";
import { ValidationError } from "../errors.ts";
import { arrow } from "./arrow.ts";
import { bitAt, bytesIn, byteWidth, isValid, itemsOf, rangeAt } from "./column-read.ts";
import { valuesOf } from "./decode.ts";
import { columnData, offsetsFor } from "./encode/data.ts";
import { encodeColumn } from "./encode/encode-column.ts";
import { allValid, bitmapBytes, type Validity } from "./encode/validity.ts";

/**
 * Columns of one layout, one after the other, as a single column of `type` in buffers of its own.
 * The copy is on purpose: apache-arrow's writer loses data where two columns share a buffer, and its
 * slices of bitmaps, fixed-size lists and structs carry offsets that not every reader honours.
 */
export function pack(type: DataType, parts: readonly Data[]): Data {
  const { DataType: Is } = arrow;
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  if (Is.isNull(type)) return columnData(type, length, { nullCount: length }, {});
  const validity = packValidity(parts, length);
  if (Is.isBool(type)) return columnData(type, length, validity, { values: packBits(parts, length) });
  const width = byteWidth(type);
  if (width !== undefined)
    return columnData(type, length, validity, { values: packFixed(type, width, parts, length) });
  if (Is.isDictionary(type)) return packDictionary(type, parts);
  if (Is.isFixedSizeList(type))
    return columnData(type, length, validity, { children: [packFixedItems(type, parts)] });
  if (Is.isStruct(type))
    return columnData(type, length, validity, { children: packFields(type.children, parts) });
  if (Is.isList(type) || Is.isMap(type)) {
    const children = parts.map((part) => between(itemsOf(part), ...extent(part)));
    return columnData(type, length, validity, {
      offsets: offsetsFor(type, packEnds(parts, length)),
      children: [pack(fieldAt(type, 0).type, children)],
    });
  }
  if (Is.isUtf8(type) || Is.isLargeUtf8(type) || Is.isBinary(type) || Is.isLargeBinary(type)) {
    const bytes = parts.map((part) => bytesIn(part.values).subarray(...extent(part)));
    return columnData(type, length, validity, {
      offsets: offsetsFor(type, packEnds(parts, length)),
      values: join(bytes),
    });
  }
  throw new ValidationError(`Columns of the type ${type} cannot be written from here.`);
}

function packValidity(parts: readonly Data[], length: number): Validity {
  if (parts.every((part) => part.nullCount === 0)) return { nullCount: 0 };
  const nullBitmap = allValid(length);
  let nullCount = 0;
  let at = 0;
  for (const part of parts) {
    for (let index = 0; index < part.length; index++, at++) {
      if (isValid(part, index)) continue;
      nullBitmap[at >> 3] = (nullBitmap[at >> 3] ?? 0) & ~(1 << (at & 7));
      nullCount++;
    }
  }
  return nullCount === 0 ? { nullCount } : { nullCount, nullBitmap };
}

function packBits(parts: readonly Data[], length: number): Uint8Array {
  const bits = new Uint8Array(bitmapBytes(length));
  let at = 0;
  for (const part of parts) {
    for (let index = 0; index < part.length; index++, at++) {
      if (bitAt(part.values, part.offset + index)) bits[at >> 3] = (bits[at >> 3] ?? 0) | (1 << (at & 7));
    }
  }
  return bits;
}

function packFixed(type: DataType, width: number, parts: readonly Data[], length: number): ArrayBufferView {
  const bytes = new Uint8Array(length * width);
  let at = 0;
  for (const part of parts) {
    bytes.set(bytesIn(part.values).subarray(0, part.length * width), at);
    at += part.length * width;
  }
  return new type.ArrayType(bytes.buffer);
}

function packEnds(parts: readonly Data[], length: number): Float64Array {
  const ends = new Float64Array(length + 1);
  let at = 0;
  for (const part of parts) {
    for (let index = 0; index < part.length; index++, at++) {
      const [start, end] = rangeAt(part, index);
      ends[at + 1] = (ends[at] ?? 0) + (end - start);
    }
  }
  return ends;
}

/** Where the values of a column begin and end in its value buffer or items. */
function extent(part: Data): [start: number, end: number] {
  return part.length === 0 ? [0, 0] : [rangeAt(part, 0)[0], rangeAt(part, part.length - 1)[1]];
}

function packFixedItems(type: DataType, parts: readonly Data[]): Data {
  const size = (type as import("apache-arrow").FixedSizeList).listSize;
  const items = fieldAt(type, 0);
  const children = parts.flatMap((part) => {
    const child = between(itemsOf(part), 0, part.length * size);
    const missing = part.length * size - child.length;
    // A builder of apache-arrow leaves out the items of nulls at the end.
    return missing > 0 ? [child, nulls(items, missing)] : [child];
  });
  return pack(items.type, children);
}

function packFields(fields: readonly Field[], parts: readonly Data[]): Data[] {
  return fields.map((field, index) =>
    pack(
      field.type,
      parts.map((part) => between(part.children[index] ?? nulls(field, part.length), 0, part.length)),
    ),
  );
}

function packDictionary(type: Dictionary, parts: readonly Data[]): Data {
  const place = { column: "", rowOf: (index: number) => index };
  return encodeColumn(new arrow.Field("", type, true), parts.flatMap(valuesOf), place);
}

/** A column of nulls, with all the buffers that its type has. */
export function nulls(field: Field, length: number): Data {
  return encodeColumn(field, new Array(length).fill(null), { column: field.name, rowOf: (index) => index });
}

function between(data: Data, start: number, end: number): Data {
  return start === 0 && end === data.length ? data : data.slice(start, Math.min(end, data.length) - start);
}

function fieldAt(type: DataType, index: number): Field {
  const field: Field | undefined = type.children?.[index];
  if (field === undefined) throw new TypeError(`The type ${type} has no field ${index}.`);
  return field;
}

function join(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
