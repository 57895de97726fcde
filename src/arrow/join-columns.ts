import { types } from "node:util";
import type { Data, DataType } from "apache-arrow";
import { arrow } from "./arrow.ts";
import { column, hasLargeOffsets } from "./column.ts";
import { bytesIn, byteWidth, isValid, rangeAt } from "./column-read.ts";

/**
 * One column of the values of several, one after the other: a dictionary that grew comes in pieces. Flat
 * types only.
 */
export function joinColumns(type: DataType, pieces: readonly Data[]): Data {
  const [only] = pieces;
  if (only !== undefined && pieces.length === 1) return only;
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const validity = new Uint8Array((length + 7) >> 3);
  let nullCount = 0;
  let row = 0;
  for (const piece of pieces) {
    for (let index = 0; index < piece.length; index++, row++) {
      if (isValid(piece, index)) validity[row >> 3] = (validity[row >> 3] ?? 0) | (1 << (row & 7));
      else nullCount++;
    }
  }
  return column(type, length, nullCount, { validity, ...joinedValues(type, pieces, length) });
}

function joinedValues(type: DataType, pieces: readonly Data[], length: number) {
  const width = byteWidth(type);
  if (arrow.DataType.isBool(type)) return { values: joinBits(pieces, length) };
  if (width !== undefined) {
    const bytes = joinBytes(pieces.map((piece) => bytesIn(piece.values).subarray(0, piece.length * width)));
    return { values: new type.ArrayType(bytes.buffer) as ArrayBufferView };
  }
  const offsets = hasLargeOffsets(type) ? new BigInt64Array(length + 1) : new Int32Array(length + 1);
  let row = 0;
  let end = 0;
  const values = pieces.map((piece) => {
    const first = rangeAt(piece, 0)[0];
    const last = piece.length === 0 ? first : rangeAt(piece, piece.length - 1)[1];
    for (let index = 0; index < piece.length; index++) {
      const at = end + rangeAt(piece, index)[1] - first;
      row++;
      if (types.isInt32Array(offsets)) offsets[row] = at;
      else offsets[row] = BigInt(at);
    }
    end += last - first;
    return bytesIn(piece.values).subarray(first, last);
  });
  return { offsets, values: joinBytes(values) };
}

function joinBits(pieces: readonly Data[], length: number): Uint8Array {
  const bits = new Uint8Array((length + 7) >> 3);
  let row = 0;
  for (const piece of pieces) {
    const values = bytesIn(piece.values);
    for (let index = 0; index < piece.length; index++, row++) {
      const at = piece.offset + index;
      if (((values[at >> 3] ?? 0) & (1 << (at & 7))) !== 0)
        bits[row >> 3] = (bits[row >> 3] ?? 0) | (1 << (row & 7));
    }
  }
  return bits;
}

function joinBytes(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.byteLength, 0));
  let at = 0;
  for (const piece of pieces) {
    joined.set(piece, at);
    at += piece.byteLength;
  }
  return joined;
}
