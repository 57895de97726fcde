import { Buffer } from "node:buffer";
import { types } from "node:util";
import type {
  Data,
  DataType,
  Dictionary,
  FixedSizeList,
  RecordBatch,
  Schema,
  Table,
  Vector,
} from "apache-arrow";
import { UnsupportedError } from "../errors.ts";
import { arrow } from "./arrow.ts";
import {
  bitAt,
  bitmapBytes,
  bytesIn,
  fieldsIn,
  isValid,
  itemsOf,
  newBatch,
  newColumn,
  rangeAt,
  rangeOf,
} from "./column.ts";
import { joinColumns } from "./join-columns.ts";
import { byteWidth, layoutOf } from "./types.ts";

/**
 * The batch in a form that apache-arrow's writer writes whole, in files and to LanceDB; only for writing. The buffers are
 * the batch's own. What the writer does not do by itself:
 *
 * - The values of a boolean column that is null throughout it leaves out, and other readers refuse that ("Need at least
 *   1 bytes for bitmap in buffers[0]"). Such columns are passed as bytes: a batch's message says nothing of types, and a
 *   bitmap with room to spare is a good one.
 * - Offsets that are missing, because a column is empty, or that are large and do not begin with 0, it fails at.
 * - Items of lists that are no row's, and dictionaries in several pieces, are not what docs/formats.md says.
 */
export function writableBatch(batch: RecordBatch): RecordBatch {
  return newBatch(
    batch.schema,
    batch.numRows,
    batch.data.children.map((child) => writable(child)),
  );
}

/** The first `length` values of a column in that form. */
export function writable(column: Data, length: number = column.length): Data {
  const data = column.length === length ? column : column.slice(0, length);
  const type: DataType = data.type;
  switch (layoutOf(type)) {
    case "bits": {
      const { nullCount } = data;
      if (length === 0 || nullCount < length) return data;
      const bitmap = new Uint8Array(bitmapBytes(length));
      return newColumn(new arrow.Uint8(), length, { nullCount, bitmap }, { values: new Uint8Array(length) });
    }
    case "bytes": {
      const [start, end] = rangeOf(data);
      return withParts(data, fromZero(data), data.values.subarray(start, end), []);
    }
    case "list": {
      const [start, end] = rangeOf(data);
      const items = itemsOf(data);
      const used = start === 0 && end === items.length ? items : items.slice(start, end - start);
      return withParts(data, fromZero(data), undefined, [writable(used)]);
    }
    case "vector": {
      const items = writable(itemsOf(data), length * (type as FixedSizeList).listSize);
      return withParts(data, undefined, undefined, [items]);
    }
    case "struct":
      return withParts(
        data,
        undefined,
        undefined,
        data.children.map((child) => writable(child, length)),
      );
    case "dictionary":
      return wholeDictionary(data);
    case "null": // its bitmap is not written, but counted
      return newColumn(type, length, { nullCount: length, bitmap: new Uint8Array(bitmapBytes(length)) });
    case "fixed":
      return data;
  }
}

/** Bytes that a column takes when it is written, but for its validity. */
export function sizeOf(data: Data): number {
  const type: DataType = data.type;
  const { length } = data;
  switch (layoutOf(type)) {
    case "bits":
      return bitmapBytes(length);
    case "fixed":
      return length * (byteWidth(type) ?? 0);
    case "dictionary":
      return length * (byteWidth((type as Dictionary).indices) ?? 0);
    case "bytes":
    case "list": {
      const [start, end] = rangeOf(data);
      const values =
        fieldsIn(type).length === 0 ? end - start : sizeOf(itemsOf(data).slice(start, end - start));
      return data.valueOffsets.byteLength + values;
    }
    default:
      return data.children.reduce((sum, child) => sum + sizeOf(child), 0);
  }
}

function withParts(
  data: Data,
  offsets: Int32Array | BigInt64Array | undefined,
  values: ArrayBufferView | undefined,
  children: Data[],
): Data {
  const buffers = [offsets, values, data.nullBitmap] as never;
  return data.clone(data.type, data.offset, data.length, data.nullCount, buffers, children);
}

/** The offsets of a column, counted from its first value. */
function fromZero({ valueOffsets, length }: Data): Int32Array | BigInt64Array {
  const offsets: Int32Array | BigInt64Array = valueOffsets;
  if (types.isInt32Array(offsets)) {
    if (offsets.length === 0) return new Int32Array(1);
    const own = offsets.subarray(0, length + 1);
    const start = own[0] ?? 0;
    return start === 0 ? own : own.map((offset) => offset - start);
  }
  if (offsets.length === 0) return new BigInt64Array(1);
  const own = offsets.subarray(0, length + 1);
  const start = own[0] ?? 0n;
  return start === 0n ? own : own.map((offset) => offset - start);
}

/** For each dictionary, by its only piece where it has one, the form in which it is written: the same each time. */
const written = new WeakMap<object, Vector>();

function wholeDictionary(data: Data): Data {
  const { dictionary } = data;
  const type: DataType = data.type;
  if (dictionary === undefined || !arrow.DataType.isDictionary(type)) return data;
  const [only, ...others] = dictionary.data;
  const key = only === undefined || others.length > 0 ? dictionary : only;
  let whole = written.get(key);
  if (whole === undefined) {
    whole = new arrow.Vector([writable(key === only ? only : joinColumns(type.dictionary, dictionary.data))]);
    written.set(key, whole);
  }
  const validity = { nullCount: data.nullCount, bitmap: data.nullBitmap };
  const parts = { values: data.values, dictionary: whole };
  return newColumn(type, data.length, validity, parts).clone(type, data.offset);
}

/**
 * A table of batches of a file, in a form that LanceDB's client can send to its core; only for sending. Dictionaries are
 * made one for all batches, since Arrow's file format cannot replace them.
 */
export function loadableTable(schema: Schema, batches: readonly RecordBatch[]): Table {
  const dictionaries = new SharedDictionaries();
  if (batches.length > 1) for (const { data } of batches) dictionaries.gather(data);
  const sent = batches.map((batch) => {
    const columns = batch.data.children.map((child) =>
      batches.length > 1 ? dictionaries.rewrite(child) : child,
    );
    return writableBatch(newBatch(schema, batch.numRows, columns));
  });
  return new arrow.Table(schema, sent);
}

/**
 * Gives the columns of several batches one dictionary a field: LanceDB's client sends batches in Arrow's
 * file format, where a dictionary cannot be replaced by the next batch's. Columns that cannot be told apart
 * by the number of their dictionary must not come together, so number them first.
 */
class SharedDictionaries {
  readonly #fields = new Map<number, SharedDictionary>();

  /** Notes the dictionaries in a column, before any is rewritten. */
  gather(data: Data): void {
    const { type } = data;
    if (arrow.DataType.isDictionary(type)) this.#field(type).gather(data);
    else for (const child of data.children) this.gather(child);
  }

  /** The column with shared dictionaries in place of its own. */
  rewrite(data: Data): Data {
    const { type } = data;
    if (arrow.DataType.isDictionary(type)) return this.#field(type).rewrite(data);
    const children = data.children.map((child) => this.rewrite(child));
    if (children.every((child, index) => child === data.children[index])) return data;
    return data.clone(type, data.offset, data.length, data.nullCount, undefined, children);
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
    const validity = { nullCount: data.nullCount, bitmap: nullBitmap };
    const rewritten = newColumn(this.#type, length, validity, { values: own, dictionary: this.#shared });
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
