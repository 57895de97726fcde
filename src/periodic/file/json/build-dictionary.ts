import type { Data, DataType, Dictionary } from "apache-arrow";
import { arrow } from "../../../lance/predicates/arrow.ts";
import { column } from "../column.ts";
import { BatchFull } from "./batch-full.ts";
import { type ColumnBuilder, columnBuilder } from "./build-column.ts";
import { fixedBuilder } from "./build-fixed.ts";

export class DictionaryBuilder implements ColumnBuilder {
  readonly #type: Dictionary;
  readonly #indices: ColumnBuilder;
  readonly #is64: boolean;
  readonly #limit: number;
  readonly #entries: ColumnBuilder;
  readonly #known = new Map<unknown, number>();

  constructor(type: Dictionary) {
    this.#type = type;
    const { bitWidth, isSigned }: { bitWidth: number; isSigned: boolean } = type.indices;
    this.#is64 = bitWidth === 64;
    this.#limit = Math.min(2 ** 31, 2 ** (isSigned ? bitWidth - 1 : bitWidth));
    this.#indices = fixedBuilder(type.indices);
    this.#entries = columnBuilder(type.dictionary);
  }

  get length(): number {
    return this.#indices.length;
  }

  append(value: unknown): void {
    if (value === null) {
      this.#indices.append(null);
      return;
    }
    // A Map takes -0 for 0.
    const key = Object.is(value, -0) ? "-0" : value;
    let index = this.#known.get(key);
    if (index === undefined) {
      index = this.#known.size;
      if (index >= this.#limit) throw new BatchFull();
      this.#entries.append(value);
      this.#known.set(key, index);
    }
    this.#indices.append(this.#is64 ? String(index) : index);
  }

  appendUnseen(nullable: boolean): void {
    if (!nullable && this.#entries.length === 0) {
      this.#entries.appendUnseen(false);
      this.#known.set(Symbol("unseen"), 0);
    }
    this.#indices.appendUnseen(nullable);
  }

  finish(): Data {
    const indices = this.#indices.finish();
    const dictionary = new arrow.Vector([this.#entries.finish()]);
    const validity: Uint8Array | undefined = indices.nullBitmap;
    const type: DataType = this.#type;
    return column(type, indices.length, indices.nullCount, { values: indices.values, validity, dictionary });
  }
}
