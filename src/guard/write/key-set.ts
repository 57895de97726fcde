import { randomBytes } from "node:crypto";
import { KEY_BYTES } from "../../arrow/key-bytes.ts";

const WORDS = KEY_BYTES / 4;
/** Rows from here on share one number; it serves messages only. */
const LAST_ROW = 0xffff_ffff;

/**
 * A set of 16-byte keys, each with the row it came from. It lies in two flat buffers and takes 27 to 54
 * bytes a key, where a `Set` of strings takes over a hundred and ends at 16 million.
 */
export class KeySet {
  #keys: Uint32Array;
  /** The row plus one; 0 marks a free place. */
  #rows: Uint32Array;
  #size = 0;
  /** Makes the places of the keys unforeseeable, so that nobody can pile them up by choosing keys. */
  readonly #seed = randomBytes(4).readUInt32LE();
  readonly #words = new Uint32Array(WORDS);
  readonly #bytes = new Uint8Array(this.#words.buffer);

  /** `capacity` is a power of two; the set grows by itself. */
  constructor(capacity = 1024) {
    this.#keys = new Uint32Array(capacity * WORDS);
    this.#rows = new Uint32Array(capacity);
  }

  get size(): number {
    return this.#size;
  }

  /** Adds a key. Returns the row that had it before, or undefined where it is new. */
  add(key: Uint8Array, row: number): number | undefined {
    if (this.#size * 4 >= this.#rows.length * 3) this.#grow();
    this.#bytes.set(key);
    const at = this.#find(this.#words, 0);
    const before = this.#rows[at] ?? 0;
    if (before > 0) return before - 1;
    this.#keys.set(this.#words, at * WORDS);
    this.#rows[at] = Math.min(row + 1, LAST_ROW);
    this.#size++;
    return undefined;
  }

  /** The place of the key at `from` in `words`, or the free place where it belongs. */
  #find(words: Uint32Array, from: number): number {
    const mask = this.#rows.length - 1;
    let at = this.#hash(words, from) & mask;
    while (this.#rows[at] !== 0 && !this.#equals(at * WORDS, words, from)) at = (at + 1) & mask;
    return at;
  }

  #equals(at: number, words: Uint32Array, from: number): boolean {
    for (let word = 0; word < WORDS; word++) if (this.#keys[at + word] !== words[from + word]) return false;
    return true;
  }

  #hash(words: Uint32Array, from: number): number {
    let hash = this.#seed;
    for (let word = 0; word < WORDS; word++) {
      hash = Math.imul(hash ^ (words[from + word] ?? 0), 0x9e3779b1);
      hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
      hash ^= hash >>> 13;
    }
    return hash >>> 0;
  }

  #grow(): void {
    const [keys, rows] = [this.#keys, this.#rows];
    this.#keys = new Uint32Array(keys.length * 2);
    this.#rows = new Uint32Array(rows.length * 2);
    for (let old = 0; old < rows.length; old++) {
      const row = rows[old] ?? 0;
      if (row === 0) continue;
      const at = this.#find(keys, old * WORDS);
      this.#keys.set(keys.subarray(old * WORDS, (old + 1) * WORDS), at * WORDS);
      this.#rows[at] = row;
    }
  }
}
