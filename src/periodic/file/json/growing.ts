/** Whether each value of a column is there; no bitmap is made before the first null. */
export class Validity {
  #bits: Uint8Array<ArrayBuffer> | undefined;
  #length = 0;
  nullCount = 0;

  get length(): number {
    return this.#length;
  }

  push(valid: boolean): void {
    const at = this.#length++;
    if (!valid) this.nullCount++;
    else if (this.#bits === undefined) return;
    this.#bits = grown(this.#bits ?? allSet(at), (at >> 3) + 1);
    if (valid) this.#bits[at >> 3] = (this.#bits[at >> 3] ?? 0) | (1 << (at & 7));
  }

  /** The same as so many valid ones. */
  pushValid(count: number): void {
    if (this.#bits === undefined) this.#length += count;
    else for (let index = 0; index < count; index++) this.push(true);
  }

  bitmap(): Uint8Array | undefined {
    return this.#bits?.subarray(0, (this.#length + 7) >> 3);
  }
}

function allSet(length: number): Uint8Array<ArrayBuffer> {
  const bits = new Uint8Array(Math.max(64, (length + 7) >> 3)).fill(0xff, 0, length >> 3);
  bits[length >> 3] = (1 << (length & 7)) - 1;
  return bits;
}

/** The same bytes with room for `needed`, twice as large where they must move. */
export function grown(bytes: Uint8Array<ArrayBuffer>, needed: number): Uint8Array<ArrayBuffer> {
  if (needed <= bytes.byteLength) return bytes;
  const larger = new Uint8Array(Math.max(needed, bytes.byteLength * 2, 64));
  larger.set(bytes);
  return larger;
}
