import { types } from "node:util";
import type { RecordBatch } from "apache-arrow";

/** The column in which LanceDB tells a row's place: fragment id * 2^32 + offset. */
export const ADDRESS = "_rowaddr";

const WORD_BITS = 32;

/** A set of row addresses: a bitmap a fragment, so a bit a row that was ever in it. */
export class AddressSet {
  readonly #fragments = new Map<number, Uint32Array>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(fragment: number, offset: number): void {
    const word = offset >>> 5;
    let bits = this.#fragments.get(fragment);
    if (bits === undefined || word >= bits.length) {
      const wider = new Uint32Array(Math.max(WORD_BITS, (word + 1) * 2));
      if (bits) wider.set(bits);
      this.#fragments.set(fragment, wider);
      bits = wider;
    }
    const mask = 1 << (offset & 31);
    const before = bits[word] ?? 0;
    if ((before & mask) !== 0) return;
    bits[word] = before | mask;
    this.#size++;
  }

  has(fragment: number, offset: number): boolean {
    const word = this.#fragments.get(fragment)?.[offset >>> 5] ?? 0;
    return (word & (1 << (offset & 31))) !== 0;
  }

  /** The ids of the fragments, ascending. */
  fragments(): number[] {
    return [...this.#fragments.keys()].sort((a, b) => a - b);
  }

  /** Fragment and offset of each address, ascending. */
  *[Symbol.iterator](): Generator<readonly [fragment: number, offset: number]> {
    for (const fragment of this.fragments()) {
      const bits = this.#fragments.get(fragment) ?? new Uint32Array();
      for (const [index, word] of bits.entries()) {
        if (word === 0) continue;
        for (let bit = 0; bit < WORD_BITS; bit++) {
          if ((word & (1 << bit)) !== 0) yield [fragment, index * WORD_BITS + bit];
        }
      }
    }
  }
}

/** The addresses of a batch's rows, as pairs of offset and fragment: no BigInt a row. */
export function addressesOf(batch: RecordBatch): Uint32Array {
  const values: unknown = batch.getChild(ADDRESS)?.data[0]?.values;
  if (!types.isBigUint64Array(values)) throw new TypeError(`The batch has no column ${ADDRESS}.`);
  return new Uint32Array(values.buffer, values.byteOffset, values.length * 2);
}

/** An address as the number that a filter takes. */
export function addressLiteral(fragment: number, offset: number): string {
  return String((BigInt(fragment) << 32n) + BigInt(offset));
}

/** A filter for all rows of some fragments; neighbours make one range. */
export function whereInFragments(ids: Iterable<number>): string {
  const ranges: string[] = [];
  const sorted = [...ids].sort((a, b) => a - b);
  for (let at = 0; at < sorted.length; ) {
    const start = sorted[at] ?? 0;
    let end = start + 1;
    while (sorted[++at] === end) end++;
    ranges.push(`(${ADDRESS} >= ${addressLiteral(start, 0)} AND ${ADDRESS} < ${addressLiteral(end, 0)})`);
  }
  return ranges.length === 0 ? "false" : ranges.join(" OR ");
}
