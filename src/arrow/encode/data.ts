import type { Data, DataType, Vector } from "apache-arrow";
import { arrow } from "../arrow.ts";
import type { Validity } from "./validity.ts";

/** The buffers of one column; which of them there are depends on the type. */
export interface Buffers {
  readonly offsets?: Int32Array | BigInt64Array;
  readonly values?: ArrayBufferView;
  readonly children?: readonly Data[];
  readonly dictionary?: Vector;
}

/** An Arrow column from its buffers, as they are. (apache-arrow's `makeData` has one signature a type.) */
export function columnData(type: DataType, length: number, validity: Validity, buffers: Buffers): Data {
  const { offsets, values, children = [], dictionary } = buffers;
  const slots = [offsets, values, validity.nullBitmap ?? new Uint8Array(0)];
  return new arrow.Data(type, 0, length, validity.nullCount, slots as never, [...children], dictionary);
}

/** Offsets as wide as the type wants them, from ends that start with 0. */
export function offsetsFor(type: DataType, ends: ArrayLike<number>): Int32Array | BigInt64Array {
  const large = arrow.DataType.isLargeUtf8(type) || arrow.DataType.isLargeBinary(type);
  return large ? BigInt64Array.from(ends, BigInt) : Int32Array.from(ends);
}
