import type { Data, DataType } from "apache-arrow";
import { arrow } from "./arrow.ts";
import { encodeColumn, nulls, valuesOf } from "./codecs.ts";
import {
  bitAt,
  bitmapBytes,
  bytesIn,
  fieldsIn,
  isValid,
  itemField,
  itemsOf,
  newColumn,
  offsetsFor,
  rangeAt,
  rangeOf,
  setBit,
  validityOf,
} from "./column.ts";
import { byteWidth, layoutOf } from "./types.ts";

/**
 * Columns of one layout, one after the other, as a single column of `type` in buffers of its own.
 * The copy is on purpose: apache-arrow's writer loses data where two columns share a buffer, and its
 * slices of bitmaps, fixed-size lists and structs carry offsets that not every reader honours.
 */
export function joinColumns(type: DataType, parts: readonly Data[]): Data {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const layout = layoutOf(type);
  if (layout === "null") return newColumn(type, length, { nullCount: length });
  if (layout === "dictionary") return joinDictionaries(type, parts);
  const validity = joinedValidity(parts, length);
  switch (layout) {
    case "bits":
      return newColumn(type, length, validity, { values: joinBits(parts, length) });
    case "fixed": {
      const width = byteWidth(type) ?? 0;
      const bytes = joinBytes(parts.map((part) => bytesIn(part.values).subarray(0, part.length * width)));
      return newColumn(type, length, validity, { values: new type.ArrayType(bytes.buffer) });
    }
    case "bytes": {
      const values = joinBytes(parts.map((part) => bytesIn(part.values).subarray(...rangeOf(part))));
      return newColumn(type, length, validity, { offsets: joinOffsets(type, parts, length), values });
    }
    case "list": {
      const items = joinColumns(
        itemField(type).type,
        parts.map((part) => between(itemsOf(part), ...rangeOf(part))),
      );
      return newColumn(type, length, validity, {
        offsets: joinOffsets(type, parts, length),
        children: [items],
      });
    }
    case "vector":
      return newColumn(type, length, validity, { children: [joinItems(type, parts)] });
    case "struct": {
      const children = fieldsIn(type).map((field, index) =>
        joinColumns(
          field.type,
          parts.map((part) => between(part.children[index] ?? nulls(field, part.length), 0, part.length)),
        ),
      );
      return newColumn(type, length, validity, { children });
    }
  }
}

function joinedValidity(parts: readonly Data[], length: number) {
  if (parts.every((part) => part.nullCount === 0)) return validityOf(length, undefined);
  let [piece, start] = [0, 0];
  return validityOf(length, (index) => {
    while (index - start >= (parts[piece]?.length ?? Number.POSITIVE_INFINITY))
      start += parts[piece++]?.length ?? 0;
    const part = parts[piece];
    return part !== undefined && isValid(part, index - start);
  });
}

function joinBits(parts: readonly Data[], length: number): Uint8Array {
  const bits = new Uint8Array(bitmapBytes(length));
  let at = 0;
  for (const part of parts) {
    for (let index = 0; index < part.length; index++, at++) {
      if (bitAt(part.values, part.offset + index)) setBit(bits, at);
    }
  }
  return bits;
}

function joinOffsets(type: DataType, parts: readonly Data[], length: number) {
  const ends = new Float64Array(length + 1);
  let at = 0;
  for (const part of parts) {
    for (let index = 0; index < part.length; index++, at++) {
      const [start, end] = rangeAt(part, index);
      ends[at + 1] = (ends[at] ?? 0) + (end - start);
    }
  }
  return offsetsFor(type, ends);
}

function joinItems(type: DataType, parts: readonly Data[]): Data {
  const { listSize } = type as import("apache-arrow").FixedSizeList;
  const items = itemField(type);
  const children = parts.flatMap((part) => {
    const child = between(itemsOf(part), 0, part.length * listSize);
    const missing = part.length * listSize - child.length;
    // A builder of apache-arrow leaves out the items of nulls at the end.
    return missing > 0 ? [child, nulls(items, missing)] : [child];
  });
  return joinColumns(items.type, children);
}

function joinDictionaries(type: DataType, parts: readonly Data[]): Data {
  const place = { column: "", rowOf: (index: number) => index };
  return encodeColumn(new arrow.Field("", type, true), parts.flatMap(valuesOf), place);
}

function between(data: Data, start: number, end: number): Data {
  return start === 0 && end === data.length ? data : data.slice(start, Math.min(end, data.length) - start);
}

function joinBytes(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
