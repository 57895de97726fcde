import { Buffer } from "node:buffer";
import type { Data, Dictionary, Vector } from "apache-arrow";
import { UnsupportedError } from "../errors.ts";
import { arrow } from "./arrow.ts";
import { column } from "./column.ts";
import { bitAt, bytesIn, byteWidth, isValid, rangeAt } from "./column-read.ts";
import { joinColumns } from "./join-columns.ts";

/**
 * Gives the columns of several batches one dictionary a field: LanceDB's client sends batches in Arrow's
 * file format, where a dictionary cannot be replaced by the next batch's. Columns that cannot be told apart
 * by the number of their dictionary must not come together, so number them first.
 */
export class SharedDictionaries {
  readonly #fields = new Map<number, SharedDictionary>();

  /** Notes the dictionaries in a column, before any is rewritten. */
  gather(data: Data): void {
    const { type } = data;
    if (arrow.DataType.isDictionary(type)) this.#field(type).gather(data);
    else for (const child of data.children) this.gather(child);
  }

  /** The column with the shared dictionary in place of its own. */
  rewrite(data: Data): Data {
    return this.#field(data.type as Dictionary).rewrite(data);
  }

  #field(type: Dictionary): SharedDictionary {
    let field = this.#fields.get(type.id);
    if (field === undefined) {
      field = new SharedDictionary(type);
      this.#fields.set(type.id, field);
    }
    return field;
  }
}

class SharedDictionary {
  readonly #type: Dictionary;
  readonly #known = new Map<string, number>();
  readonly #entries: Data[] = [];
  /** For each dictionary met, the place of its entries in the shared one. */
  readonly #places = new Map<unknown, number[]>();
  #shared: Vector | undefined;

  constructor(type: Dictionary) {
    this.#type = type;
  }

  gather({ dictionary }: Data): void {
    const pieces: readonly Data[] = dictionary?.data ?? [];
    if (this.#places.has(dictionary)) return;
    this.#places.set(
      dictionary,
      pieces.flatMap((piece) =>
        Array.from({ length: piece.length }, (_, index) => this.#place(piece, index)),
      ),
    );
  }

  #place(piece: Data, index: number): number {
    const key = isValid(piece, index) ? keyAt(piece, index) : "null";
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    this.#known.set(key, this.#entries.length);
    return this.#entries.push(piece.slice(index, 1)) - 1;
  }

  rewrite(data: Data): Data {
    const places = this.#places.get(data.dictionary) ?? [];
    const { bitWidth, isSigned }: { bitWidth: number; isSigned: boolean } = this.#type.indices;
    if (this.#entries.length > 2 ** (isSigned ? bitWidth - 1 : bitWidth)) {
      throw new UnsupportedError(
        `A column of type ${this.#type} has ${this.#entries.length} different values in all, too many for one dictionary.`,
      );
    }
    this.#shared ??= new arrow.Vector([joinColumns(this.#type.dictionary, this.#entries)]);
    const { values, nullBitmap, length } = data;
    const own = values.map((index: number | bigint) => {
      const place = places[Number(index)] ?? 0;
      return typeof index === "bigint" ? BigInt(place) : place;
    });
    const rewritten = column(this.#type, length, data.nullCount, {
      values: own,
      validity: nullBitmap,
      dictionary: this.#shared,
    });
    return data.offset === 0 ? rewritten : rewritten.clone(this.#type, data.offset);
  }
}

/** A text that is different for each value of the type. */
function keyAt(data: Data, index: number): string {
  if (arrow.DataType.isBool(data.type)) return String(bitAt(bytesIn(data.values), data.offset + index));
  const width = byteWidth(data.type);
  const [start, end] = width === undefined ? rangeAt(data, index) : [index * width, (index + 1) * width];
  const bytes = bytesIn(data.values);
  return `=${Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("latin1")}`;
}
