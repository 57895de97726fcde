import { randomBytes } from "node:crypto";

/** Bytes of a digest; long enough that no two rows ever share one by accident. */
export const DIGEST_BYTES = 16;
const WORDS = DIGEST_BYTES / 4;

const FULLEST = 0.8;

/**
 * A table of 16-byte digests, each with some numbers of 32 bits, in one flat buffer: 25 bytes an entry with one number and
 * 35 with three, where a `Map` of strings takes over a hundred and ends at 16 million. A slot is free where its last
 * number is 0.
 */
class FlatTable {
  protected slots: Uint32Array;
  protected readonly slot: number;
  #capacity: number;
  #filled = 0;
  /** Makes the places unforeseeable, so that nobody can pile digests up by choosing rows. */
  readonly #seed = randomBytes(4).readUInt32LE();
  readonly #words = new Uint32Array(WORDS);
  readonly #bytes = new Uint8Array(this.#words.buffer);

  /** @param expected entries that are sure to come; it grows by itself beyond. */
  constructor(numbers: number, expected: number) {
    this.slot = WORDS + numbers;
    this.#capacity = Math.max(16, Math.ceil(expected / FULLEST) + 1);
    this.slots = new Uint32Array(this.#capacity * this.slot);
  }

  /** Where the last number of a digest's slot is; it is 0 where the digest is not there. */
  protected lookUp(digest: Uint8Array): number {
    this.#bytes.set(digest);
    return this.#find(this.#words, 0);
  }

  /** The same for a digest that is to be added: the slot of a new one is kept for it. */
  protected claim(digest: Uint8Array): number {
    if (this.#filled >= this.#capacity * FULLEST) this.#grow();
    const last = this.lookUp(digest);
    if (this.slots[last] === 0) {
      this.slots.set(this.#words, last + 1 - this.slot);
      this.#filled++;
    }
    return last;
  }

  #find(words: Uint32Array, from: number): number {
    let hash = this.#seed;
    for (let word = 0; word < WORDS; word++) {
      hash = Math.imul(hash ^ (words[from + word] ?? 0), 0x9e3779b1);
      hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
      hash ^= hash >>> 13;
    }
    let at = ((hash >>> 0) % this.#capacity) * this.slot;
    while (this.slots[at + this.slot - 1] !== 0 && !this.#equals(at, words, from)) {
      at += this.slot;
      if (at === this.slots.length) at = 0;
    }
    return at + this.slot - 1;
  }

  #equals(at: number, words: Uint32Array, from: number): boolean {
    for (let word = 0; word < WORDS; word++) {
      if (this.slots[at + word] !== words[from + word]) return false;
    }
    return true;
  }

  #grow(): void {
    const old = this.slots;
    this.#capacity *= 2;
    this.slots = new Uint32Array(this.#capacity * this.slot);
    for (let from = 0; from < old.length; from += this.slot) {
      if (old[from + this.slot - 1] === 0) continue;
      const last = this.#find(old, from);
      this.slots.set(old.subarray(from, from + this.slot), last + 1 - this.slot);
    }
  }
}

/** What is left of a digest: the row it first came from, and how often it is there. */
interface Leftover {
  readonly fragment: number;
  readonly offset: number;
  readonly count: number;
}

/** A multiset of digests, each with the row address it first came from. The last number is one more than how often it is held. */
export class DigestTable extends FlatTable {
  constructor(expected = 0) {
    super(3, expected);
  }

  /** Adds an entry. Answers whether its digest is new. */
  add(digest: Uint8Array, fragment = 0, offset = 0): boolean {
    const at = this.claim(digest);
    const held = this.slots[at] ?? 0;
    if (held === 0) {
      this.slots[at - 2] = fragment;
      this.slots[at - 1] = offset;
    }
    this.slots[at] = held === 0 ? 2 : held + 1;
    return held < 2;
  }

  has(digest: Uint8Array): boolean {
    return (this.slots[this.lookUp(digest)] ?? 0) > 1;
  }

  /** Takes one entry of this digest out; false where there is none. */
  take(digest: Uint8Array): boolean {
    const at = this.lookUp(digest);
    const held = this.slots[at] ?? 0;
    if (held <= 1) return false;
    this.slots[at] = held - 1;
    return true;
  }

  *leftovers(): Generator<Leftover> {
    for (let at = this.slot - 1; at < this.slots.length; at += this.slot) {
      const count = (this.slots[at] ?? 0) - 1;
      if (count < 1) continue;
      yield { fragment: this.slots[at - 2] ?? 0, offset: this.slots[at - 1] ?? 0, count };
    }
  }
}

/** Rows from here on share one number; it serves messages only. */
const LAST_ROW = 0xffff_ffff;

/** A set of keys by their digests, each with the row it came from, one more than which is the number. */
export class KeySet extends FlatTable {
  constructor(expected = 0) {
    super(1, expected);
  }

  /** Adds a key. Returns the row that had it before, or undefined where it is new. */
  add(digest: Uint8Array, row: number): number | undefined {
    const at = this.claim(digest);
    const before = this.slots[at] ?? 0;
    if (before > 0) return before - 1;
    this.slots[at] = Math.min(row + 1, LAST_ROW);
    return undefined;
  }
}
