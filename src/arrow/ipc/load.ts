import type { Data, DataType, Field, RecordBatch, Schema } from "apache-arrow";
import { arrow } from "../arrow.ts";
import { countBits } from "../bitmap.ts";
import { assertUtf8, column, hasLargeOffsets, isBytes, isText } from "../column.ts";
import { byteWidth } from "../column-read.ts";
import { assertNulls } from "../nulls.ts";
import { Problem } from "../problem.ts";
import type { BatchMessage, BufferRegion, FieldNode } from "./batch-message.ts";
import { assertIndices } from "./indices.ts";

const MAX_LENGTH = 2 ** 31 - 1;

/** Dictionaries of a stream, by number. */
export type Dictionaries = Map<number, Data>;

/**
 * The batch that a message and its body hold; the columns are views of the body.
 *
 * @throws Problem for every length, offset and index that points outside of what is there.
 */
export function loadBatch(
  schema: Schema,
  message: BatchMessage,
  body: Uint8Array,
  dictionaries: Dictionaries,
): RecordBatch {
  const columns = loadColumns(
    schema.fields.map((field) => field.type),
    message,
    body,
    dictionaries,
  );
  assertNulls(schema.fields, columns);
  const rows = column(new arrow.Struct(schema.fields), message.rows, 0, { children: columns });
  return new arrow.RecordBatch(schema, rows as Data<never>);
}

/** Columns of `message.rows` values each, of these types. */
export function loadColumns(
  types: readonly DataType[],
  message: BatchMessage,
  body: Uint8Array,
  dictionaries: Dictionaries,
): Data[] {
  const loader = new Loader(message, body, dictionaries);
  const columns = types.map((type) => {
    const data = loader.load(type);
    if (data.length !== message.rows)
      throw new Problem(`a column has ${data.length} of ${message.rows} rows`);
    return data;
  });
  loader.finish();
  return columns;
}

class Loader {
  readonly #nodes: Iterator<FieldNode>;
  readonly #regions: Iterator<BufferRegion>;
  readonly #body: Uint8Array;
  /** Where the last buffer ends: apache-arrow's writer, which LanceDB's client uses, mixes up any that overlap. */
  #end = 0;
  readonly #dictionaries: Dictionaries;

  constructor(message: BatchMessage, body: Uint8Array, dictionaries: Dictionaries) {
    this.#nodes = message.nodes.values();
    this.#regions = message.buffers.values();
    this.#body = body;
    this.#dictionaries = dictionaries;
  }

  finish(): void {
    if (!this.#nodes.next().done || !this.#regions.next().done)
      throw new Problem("a batch has more columns than its schema");
  }

  load(type: DataType): Data {
    const { DataType: Is } = arrow;
    const { length, nullCount } = this.#node();
    if (Is.isNull(type)) return column(type, length, length, {});
    const validity = this.#validity(length, nullCount);
    if (Is.isBool(type))
      return column(type, length, nullCount, { validity, values: this.#take((length + 7) >> 3) });
    if (isText(type) || isBytes(type)) return this.#loadVariable(type, length, nullCount, validity);
    if (Is.isList(type) || Is.isMap(type)) {
      const offsets = this.#offsets(type, length);
      const child = this.load(itemType(type));
      assertOffsets(offsets, length, child.length);
      const used = length === 0 ? 0 : Number(offsets[length]) - Number(offsets[0]);
      if (used !== child.length) throw new Problem(`lists have ${used} of ${child.length} items`);
      return column(type, length, nullCount, { validity, offsets, children: [child] });
    }
    if (Is.isFixedSizeList(type)) {
      const child = this.load(itemType(type));
      const needed = length * type.listSize;
      if (child.length !== needed)
        throw new Problem(`a fixed-size list has ${child.length} of ${needed} items`);
      return column(type, length, nullCount, { validity, children: [child] });
    }
    if (Is.isStruct(type)) {
      const children = type.children.map((field) => this.load(field.type));
      if (children.some((child) => child.length !== length))
        throw new Problem("a struct's members differ in length");
      return column(type, length, nullCount, { validity, children });
    }
    if (Is.isDictionary(type)) {
      const dictionary = this.#dictionaries.get(type.id);
      if (dictionary === undefined) throw new Problem(`dictionary ${type.id} is missing`);
      const values = this.#values(type.indices, length);
      assertIndices(values, validity, dictionary.length);
      return column(type, length, nullCount, {
        validity,
        values,
        dictionary: new arrow.Vector([dictionary]),
      });
    }
    return column(type, length, nullCount, { validity, values: this.#values(type, length) });
  }

  #loadVariable(type: DataType, length: number, nullCount: number, validity: Uint8Array | undefined): Data {
    const offsets = this.#offsets(type, length);
    const values = this.#take();
    assertOffsets(offsets, length, values.byteLength);
    if (isText(type)) assertUtf8(values, offsets, length);
    return column(type, length, nullCount, { validity, offsets, values });
  }

  #node(): FieldNode {
    const { value, done } = this.#nodes.next();
    if (done) throw new Problem("a batch has fewer columns than its schema");
    if (value.length > MAX_LENGTH || value.nullCount > value.length) {
      throw new Problem(`a column has ${value.length} values, ${value.nullCount} of them null`);
    }
    return value;
  }

  /** The next buffer, cut to the bytes that are needed of it. */
  #take(needed?: number): Uint8Array {
    const { value, done } = this.#regions.next();
    if (done) throw new Problem("a batch has fewer buffers than its schema");
    const { offset, bytes } = value;
    if (offset % 8 !== 0 || offset < this.#end || offset + bytes > this.#body.byteLength) {
      throw new Problem(
        `a buffer of ${bytes} bytes at ${offset} does not lie in its batch, behind the others`,
      );
    }
    this.#end = offset + bytes;
    if (needed !== undefined && bytes < needed) throw new Problem(`a buffer has ${bytes} of ${needed} bytes`);
    return this.#body.subarray(offset, offset + (needed ?? bytes));
  }

  #validity(length: number, nullCount: number): Uint8Array | undefined {
    const bitmap = this.#take(nullCount > 0 ? (length + 7) >> 3 : 0);
    if (nullCount === 0) return undefined;
    if (length - countBits(bitmap, length) !== nullCount) throw new Problem("a column's null count is wrong");
    return bitmap;
  }

  #values(type: DataType, length: number): ArrayBufferView {
    const width = byteWidth(type);
    if (width === undefined) throw new Problem(`a column has the type ${type}`);
    return viewed(type.ArrayType, this.#take(length * width));
  }

  #offsets(type: DataType, length: number): Int32Array | BigInt64Array {
    const large = hasLargeOffsets(type);
    const bytes = this.#take(length === 0 ? 0 : (length + 1) * (large ? 8 : 4));
    if (length === 0) return large ? new BigInt64Array(1) : new Int32Array(1);
    return large ? viewed(BigInt64Array, bytes) : viewed(Int32Array, bytes);
  }
}

function itemType(type: DataType): DataType {
  const field = (type.children as readonly Field[] | null)?.[0];
  if (field === undefined) throw new Problem(`the type ${type} has no item type`);
  return field.type;
}

type ViewType<T> = (new (
  buffer: ArrayBufferLike,
  byteOffset: number,
  length: number,
) => T) & {
  readonly BYTES_PER_ELEMENT: number;
};

function viewed<T>(View: ViewType<T>, bytes: Uint8Array): T {
  return new View(bytes.buffer, bytes.byteOffset, bytes.byteLength / View.BYTES_PER_ELEMENT);
}

function assertOffsets(offsets: Int32Array | BigInt64Array, length: number, end: number): void {
  let last: number | bigint = offsets[0] ?? 0;
  if (last < 0) throw new Problem("an offset is negative");
  for (let index = 1; index <= length; index++) {
    const offset = offsets[index] ?? 0;
    if (offset < last) throw new Problem("an offset is less than the one before it");
    last = offset;
  }
  if (last > end) throw new Problem(`an offset is ${last}, beyond the end at ${end}`);
}
