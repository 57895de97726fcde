import { Problem } from "./bad-value.ts";

const MAX_DEPTH = 128;

/**
 * Reads tables of a flatbuffer, and believes none of its numbers: a read beyond the buffer is a RangeError,
 * and the tables that can be visited are counted, since hostile ones can share and repeat their parts.
 */
export class FlatReader {
  readonly view: DataView;
  #visits: number;

  constructor(bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#visits = bytes.byteLength;
  }

  root(): FlatTable {
    return this.tableAt(this.view.getUint32(0, true), 0);
  }

  tableAt(position: number, depth: number): FlatTable {
    if (depth > MAX_DEPTH || --this.#visits < 0) throw new Problem("its metadata is nested too deeply");
    return new FlatTable(this, position, depth);
  }
}

export class FlatTable {
  readonly #reader: FlatReader;
  readonly #position: number;
  readonly #depth: number;
  readonly #vtable: number;
  readonly #vtableSize: number;

  constructor(reader: FlatReader, position: number, depth: number) {
    this.#reader = reader;
    this.#position = position;
    this.#depth = depth;
    this.#vtable = position - reader.view.getInt32(position, true);
    this.#vtableSize = reader.view.getUint16(this.#vtable, true);
  }

  /** Where field number `slot` lies, or undefined where the table has none. */
  #at(slot: number): number | undefined {
    const entry = 4 + 2 * slot;
    if (entry + 2 > this.#vtableSize) return undefined;
    const offset = this.#reader.view.getUint16(this.#vtable + entry, true);
    return offset === 0 ? undefined : this.#position + offset;
  }

  #target(slot: number): number | undefined {
    const at = this.#at(slot);
    return at === undefined ? undefined : at + this.#reader.view.getUint32(at, true);
  }

  uint8(slot: number): number {
    const at = this.#at(slot);
    return at === undefined ? 0 : this.#reader.view.getUint8(at);
  }

  /** A 64-bit number that counts or measures something: not negative, and within a double. */
  count(slot: number): number {
    const at = this.#at(slot);
    return at === undefined ? 0 : this.countAt(at);
  }

  countAt(position: number): number {
    const value = this.#reader.view.getBigInt64(position, true);
    if (value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER))
      throw new Problem(`its metadata has the number ${value}`);
    return Number(value);
  }

  table(slot: number): FlatTable | undefined {
    const target = this.#target(slot);
    return target === undefined ? undefined : this.#reader.tableAt(target, this.#depth + 1);
  }

  /** A vector's first element and length; all of it lies in the buffer. */
  vector(slot: number, elementBytes: number): { readonly start: number; readonly length: number } {
    const target = this.#target(slot);
    if (target === undefined) return { start: 0, length: 0 };
    const length = this.#reader.view.getUint32(target, true);
    const start = target + 4;
    if (start + length * elementBytes > this.#reader.view.byteLength) {
      throw new Problem(`its metadata lists ${length} things, more than it has room for`);
    }
    return { start, length };
  }

  tables(slot: number): FlatTable[] {
    const { start, length } = this.vector(slot, 4);
    const tables: FlatTable[] = [];
    for (let index = 0; index < length; index++) {
      const at = start + 4 * index;
      tables.push(this.#reader.tableAt(at + this.#reader.view.getUint32(at, true), this.#depth + 1));
    }
    return tables;
  }
}
