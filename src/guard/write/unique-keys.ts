import { randomBytes } from "node:crypto";
import type { Data, DataType, Field, Float } from "apache-arrow";
import { arrow } from "../../arrow/arrow.ts";
import { firstNull } from "../../arrow/column-read.ts";
import { valuesOf } from "../../arrow/decode.ts";
import { KEY_BYTES, keyReader } from "../../arrow/key-bytes.ts";
import { badValue, show } from "../../arrow/place.ts";
import { isScalar } from "../../arrow/types.ts";
import { ValidationError } from "../../errors.ts";
import type { Part } from "./row-parts.ts";

/** Which columns tell rows apart in an upsert. Throws `ValidationError` where the table lacks one, or it cannot. */
export function keyFields(names: readonly string[], fields: readonly Field[]): Field[] {
  return names.map((name) => {
    const field = fields.find((candidate) => candidate.name === name);
    if (field === undefined) throw new ValidationError(`The table has no column "${name}" to merge on.`);
    if (!isScalar(field.type)) {
      throw new ValidationError(`Column "${name}" has the type ${field.type}, which cannot be merged on.`);
    }
    return field;
  });
}

/**
 * Holds that no row lacks a key, and no two rows share one, over any number of parts: LanceDB would insert
 * both, or fail half-way, and never match null. Memory is at most 54 bytes a row, and 80 for
 * a moment, when the set grows.
 */
export class UniqueKeys {
  readonly #names: readonly string[];
  readonly #seen = new KeySet();

  constructor(names: readonly string[]) {
    this.#names = names;
  }

  /** Throws `ValidationError` with row and column for a key that is missing, null, NaN, or repeated. */
  add(part: Part): void {
    const columns = this.#names.map((name) => keyColumn(name, part));
    const keyAt = keyReader(columns);
    for (let index = 0; index < part.length; index++) {
      const row = part.rowOf(index);
      const before = this.#seen.add(keyAt(index), row);
      if (before === undefined) continue;
      const key = columns.map((data) => show(valuesOf(data.slice(index, 1))[0])).join(", ");
      throw badValue(
        { column: this.#names.join(", "), rowOf: () => row },
        index,
        `the key ${key} is that of row ${before} too`,
      );
    }
  }
}

function keyColumn(name: string, part: Part): Data {
  const place = { column: name, rowOf: part.rowOf };
  const data = part.columns.get(name);
  if (data === undefined) throw badValue(place, 0, "missing, and it is a key to merge on");
  const missing = firstNull(data);
  if (missing >= 0) throw badValue(place, missing, "null, or missing, and it is a key to merge on");
  refuseNaN(data, (index) => badValue(place, index, "NaN, and it is a key to merge on"));
  return data;
}

function refuseNaN(data: Data, bad: (index: number) => Error): void {
  const type: DataType = data.type;
  if (!arrow.DataType.isFloat(type)) return;
  const index = valuesOf(data).findIndex((value) => Number.isNaN(value));
  if (index >= 0) throw bad(index);
  foldZeros(type, data);
}

/** Writes -0 as 0: LanceDB's filters take them for the same key, its merge does not. */
function foldZeros(type: Float, data: Data): void {
  const values: Uint16Array | Float32Array | Float64Array = data.values;
  const half = type.precision === arrow.Precision.HALF;
  for (let index = 0; index < data.length; index++) {
    if (half ? values[index] === 0x8000 : values[index] === 0) values[index] = 0;
  }
}

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
