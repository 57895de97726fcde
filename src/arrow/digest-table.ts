import { randomBytes } from "node:crypto";

/** Bytes of a digest; long enough that no two rows ever share one by accident. */
export const DIGEST_BYTES = 16;
const DIGEST_WORDS = DIGEST_BYTES / 4;

/** Words of a slot: digest, fragment, offset, and one more than how often it is held; 0 marks a free slot. */
const SLOT = DIGEST_WORDS + 3;
const FRAGMENT = DIGEST_WORDS;
const OFFSET = DIGEST_WORDS + 1;
const HELD = DIGEST_WORDS + 2;

const FULLEST = 0.8;

/** What is left of a digest: the row it first came from, and how often it is there. */
export interface Leftover {
  readonly fragment: number;
  readonly offset: number;
  readonly count: number;
}

/**
 * A multiset of 16-byte digests, each with the row address it first came from, in one flat buffer: 35 bytes
 * an entry, where a `Map` of strings takes over a hundred and ends at 16 million.
 */
export class DigestTable {
  #slots: Uint32Array;
  #capacity: number;
  #filled = 0;
  /** Makes the places unforeseeable, so that nobody can pile digests up by choosing rows. */
  readonly #seed = randomBytes(4).readUInt32LE();
  readonly #words = new Uint32Array(DIGEST_WORDS);
  readonly #bytes = new Uint8Array(this.#words.buffer);

  /** @param expected entries that are sure to come; it grows by itself beyond. */
  constructor(expected = 0) {
    this.#capacity = Math.max(16, Math.ceil(expected / FULLEST) + 1);
    this.#slots = new Uint32Array(this.#capacity * SLOT);
  }

  /** Adds an entry. Answers whether its digest is new. */
  add(digest: Uint8Array, fragment = 0, offset = 0): boolean {
    if (this.#filled >= this.#capacity * FULLEST) this.#grow();
    this.#bytes.set(digest);
    const at = this.#find(this.#words, 0);
    const held = this.#slots[at + HELD] ?? 0;
    if (held > 0) {
      this.#slots[at + HELD] = held + 1;
      return held === 1;
    }
    this.#slots.set(this.#words, at);
    this.#slots[at + FRAGMENT] = fragment;
    this.#slots[at + OFFSET] = offset;
    this.#slots[at + HELD] = 2;
    this.#filled++;
    return true;
  }

  has(digest: Uint8Array): boolean {
    this.#bytes.set(digest);
    return (this.#slots[this.#find(this.#words, 0) + HELD] ?? 0) > 1;
  }

  /** Takes one entry of this digest out; false where there is none. */
  take(digest: Uint8Array): boolean {
    this.#bytes.set(digest);
    const at = this.#find(this.#words, 0) + HELD;
    const held = this.#slots[at] ?? 0;
    if (held <= 1) return false;
    this.#slots[at] = held - 1;
    return true;
  }

  *leftovers(): Generator<Leftover> {
    for (let at = 0; at < this.#slots.length; at += SLOT) {
      const count = (this.#slots[at + HELD] ?? 0) - 1;
      if (count < 1) continue;
      yield { fragment: this.#slots[at + FRAGMENT] ?? 0, offset: this.#slots[at + OFFSET] ?? 0, count };
    }
  }

  /** The slot of the digest at `from` in `words`, or the free one where it belongs. */
  #find(words: Uint32Array, from: number): number {
    let hash = this.#seed;
    for (let word = 0; word < DIGEST_WORDS; word++) {
      hash = Math.imul(hash ^ (words[from + word] ?? 0), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    let at = ((hash >>> 0) % this.#capacity) * SLOT;
    while (this.#slots[at + HELD] !== 0 && !this.#equals(at, words, from)) {
      at += SLOT;
      if (at === this.#slots.length) at = 0;
    }
    return at;
  }

  #equals(at: number, words: Uint32Array, from: number): boolean {
    for (let word = 0; word < DIGEST_WORDS; word++) {
      if (this.#slots[at + word] !== words[from + word]) return false;
    }
    return true;
  }

  #grow(): void {
    const old = this.#slots;
    this.#capacity *= 2;
    this.#slots = new Uint32Array(this.#capacity * SLOT);
    for (let from = 0; from < old.length; from += SLOT) {
      if (old[from + HELD] === 0) continue;
      this.#slots.set(old.subarray(from, from + SLOT), this.#find(old, from));
    }
  }
}
