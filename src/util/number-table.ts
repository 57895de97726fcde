const LEAST_SLOTS = 1024;

/**
 * Numbers by numbers, both from 0 and whole, in 16 to 32 bytes each: a `Map` of a million takes some 60. For fingerprints, of which
 * two that are the same say only that more is to be looked at.
 */
export class NumberTable {
  /** Each is the key and 1; 0: free. */
  #keys = new Float64Array(LEAST_SLOTS);
  #values = new Float64Array(LEAST_SLOTS);
  #size = 0;

  get(key: number): number | undefined {
    const slot = this.#slotOf(key);
    return this.#keys[slot] === 0 ? undefined : this.#values[slot];
  }

  /** Keeps the value that is there, and answers with it; undefined where there was none. */
  add(key: number, value: number): number | undefined {
    if (this.#size * 2 >= this.#keys.length) this.#grow();
    const slot = this.#slotOf(key);
    if (this.#keys[slot] !== 0) return this.#values[slot];
    this.#keys[slot] = key + 1;
    this.#values[slot] = value;
    this.#size++;
    return undefined;
  }

  #slotOf(key: number): number {
    const mask = this.#keys.length - 1;
    let slot = (Math.imul(key % 0x1_0000_0000, 0x9e3779b1) >>> 7) & mask;
    while (this.#keys[slot] !== 0 && this.#keys[slot] !== key + 1) slot = (slot + 1) & mask;
    return slot;
  }

  #grow(): void {
    const [keys, values] = [this.#keys, this.#values];
    this.#keys = new Float64Array(keys.length * 2);
    this.#values = new Float64Array(keys.length * 2);
    keys.forEach((key, at) => {
      if (key === 0) return;
      const slot = this.#slotOf(key - 1);
      this.#keys[slot] = key;
      this.#values[slot] = values[at] as number;
    });
  }
}

/** A number of 52 bits for a text. Texts that somebody has made for it have the same one. */
export function fingerprint(text: string): number {
  let [one, two] = [0x811c9dc5, 0x5bd1e995];
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    one = Math.imul(one ^ unit, 0x01000193);
    two = Math.imul(two ^ unit, 0x85ebca6b) + (two >>> 13);
  }
  one ^= one >>> 15;
  two ^= two >>> 14;
  return (one >>> 0) * 0x10_0000 + ((two >>> 0) & 0xf_ffff);
}
