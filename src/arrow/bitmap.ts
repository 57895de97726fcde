/** `length` bits of a bitmap from bit `offset` on, moved to the front. Bits behind them are undefined. */
export function bitsFrom(bitmap: Uint8Array, offset: number, length: number): Uint8Array {
  const first = offset >> 3;
  const size = (length + 7) >> 3;
  const shift = offset & 7;
  if (shift === 0) return bitmap.subarray(first, first + size);
  const moved = new Uint8Array(size);
  for (let index = 0; index < size; index++) {
    const low = bitmap[first + index] ?? 0;
    const high = bitmap[first + index + 1] ?? 0;
    moved[index] = (low >> shift) | (high << (8 - shift));
  }
  return moved;
}

/** How many of the first `length` bits are set. */
export function countBits(bitmap: Uint8Array, length: number): number {
  const whole = length >> 3;
  let count = 0;
  for (let index = 0; index < whole; index++) count += ones(bitmap[index] ?? 0);
  if ((length & 7) !== 0) count += ones((bitmap[whole] ?? 0) & ((1 << (length & 7)) - 1));
  return count;
}

function ones(byte: number): number {
  const pairs = byte - ((byte >> 1) & 0x55);
  const nibbles = (pairs & 0x33) + ((pairs >> 2) & 0x33);
  return (nibbles + (nibbles >> 4)) & 0x0f;
}
