import { Problem } from "../problem.ts";

/** Holds the indices of a dictionary column to its dictionary. */
export function assertIndices(values: ArrayBufferView, validity: Uint8Array | undefined, size: number): void {
  const indices = values as unknown as ArrayLike<number | bigint>;
  for (let row = 0; row < indices.length; row++) {
    if (validity !== undefined && ((validity[row >> 3] ?? 0) & (1 << (row & 7))) === 0) continue;
    const index = indices[row] ?? 0;
    if (index < 0 || index >= size)
      throw new Problem(`a value refers to entry ${index} of a dictionary of ${size}`);
  }
}
