/** Arrow's null bitmap for a column of JavaScript values; `null` and `undefined` are null. */
export interface Validity {
  readonly nullCount: number;
  /** Absent where nothing is null. */
  readonly nullBitmap?: Uint8Array;
}

export function validityOf(values: readonly unknown[]): Validity {
  let nullBitmap: Uint8Array | undefined;
  let nullCount = 0;
  for (let index = 0; index < values.length; index++) {
    if (values[index] !== null && values[index] !== undefined) continue;
    nullBitmap ??= allValid(values.length);
    nullBitmap[index >> 3] = (nullBitmap[index >> 3] ?? 0) & ~(1 << (index & 7));
    nullCount++;
  }
  return nullBitmap === undefined ? { nullCount } : { nullCount, nullBitmap };
}

export function allValid(length: number): Uint8Array {
  return new Uint8Array(bitmapBytes(length)).fill(0xff);
}

/** Bytes of a bitmap of `length` bits. */
export function bitmapBytes(length: number): number {
  return (length + 7) >> 3;
}
