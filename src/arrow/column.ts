import { Buffer, isUtf8 } from "node:buffer";
import type { Data, DataType, Vector } from "apache-arrow";
import { arrow } from "./arrow.ts";
import { Problem } from "./problem.ts";

/** What a column is made of; which parts there are is a matter of its type. */
export interface ColumnParts {
  readonly offsets?: Int32Array | BigInt64Array | undefined;
  readonly values?: ArrayBufferView | undefined;
  readonly validity?: Uint8Array | undefined;
  readonly children?: Data[] | undefined;
  readonly dictionary?: Vector | undefined;
}

/** A column from its buffers, as they are: apache-arrow's own `makeData` guesses lengths and null counts. */
export function column(type: DataType, length: number, nullCount: number, parts: ColumnParts): Data {
  const buffers = [parts.offsets, parts.values, parts.validity] as never;
  return new arrow.Data(type, 0, length, nullCount, buffers, parts.children ?? [], parts.dictionary);
}

export function isText(type: DataType): boolean {
  return arrow.DataType.isUtf8(type) || arrow.DataType.isLargeUtf8(type);
}

export function isBytes(type: DataType): boolean {
  return arrow.DataType.isBinary(type) || arrow.DataType.isLargeBinary(type);
}

/** Large strings and large binaries have 64-bit offsets. */
export function hasLargeOffsets(type: DataType): boolean {
  return arrow.DataType.isLargeUtf8(type) || arrow.DataType.isLargeBinary(type);
}

/** Holds text to UTF-8: the whole of it, and that no value starts or ends inside a character. */
export function assertUtf8(values: Uint8Array, offsets: Int32Array | BigInt64Array, length: number): void {
  const start = Number(offsets[0] ?? 0);
  const end = Number(offsets[length] ?? 0);
  if (!isUtf8(Buffer.from(values.buffer, values.byteOffset + start, end - start))) {
    throw new Problem("a string is not valid UTF-8");
  }
  for (let index = 1; index < length; index++) {
    const at = Number(offsets[index] ?? 0);
    if (at < end && ((values[at] ?? 0) & 0xc0) === 0x80) throw new Problem("a string is not valid UTF-8");
  }
}
