import type { Data, DataType, Dictionary, FixedSizeList, RecordBatch, Schema } from "apache-arrow";
import { UnsupportedError } from "../errors.ts";
import { arrow } from "./arrow.ts";
import { Problem } from "./bad-value.ts";
import { assertNulls } from "./check-column.ts";
import { bitAt, bitmapBytes, bytesIn, countBits, fieldsIn, itemField, itemsOf, newBatch } from "./column.ts";
import { FlatReader, type FlatTable } from "./flatbuffer.ts";
import { assertColumns, nameFields } from "./schemas.ts";
import { assertUtf8 } from "./text-codecs.ts";
import { byteWidth, isText, layoutOf } from "./types.ts";

// apache-arrow's reader follows every offset and count blindly: what it is given is checked before, and what it makes of
// it after.

/** Types in the numbering of Arrow's flatbuffers that have something of variable size in their parameters. */
const TIMESTAMP = 10;
const UNION = 14;

/**
 * The schema in an IPC message.
 *
 * @throws Problem where it is no such message, or its types and names are none that a table can have.
 */
export function decodeSchema(message: Uint8Array): Schema {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const size = message.byteLength - 8;
  if (size < 8 || view.getInt32(0, true) !== -1 || view.getInt32(4, true) !== size) {
    throw new Problem("its schema is no Arrow schema message");
  }
  verifySchema(message.subarray(8));
  const schema = readNamed(message);
  try {
    assertColumns(schema);
  } catch (error) {
    throw error instanceof UnsupportedError ? new Problem(error.message, { cause: error }) : error;
  }
  return schema;
}

function readNamed(message: Uint8Array): Schema {
  let schema: Schema | null | undefined;
  try {
    schema = new arrow.MessageReader(message).readSchema();
    if (schema) return nameFields(schema);
  } catch (error) {
    throw new Problem("its schema cannot be read", { cause: error });
  }
  throw new Problem("its schema is missing");
}

/** Walks all that apache-arrow will walk. */
function verifySchema(metadata: Uint8Array): void {
  const message = new FlatReader(metadata).root();
  if (message.uint8(1) !== arrow.MessageHeader.Schema) throw new Problem("a schema message was expected");
  const schema = message.table(2);
  if (schema === undefined) throw new Problem("its schema is missing");
  if (schema.uint8(0) !== 0) throw new Problem("its numbers are big-endian");
  for (const field of schema.tables(1)) verifyField(field);
  verifyMetadata(schema, 2);
}

function verifyField(field: FlatTable): void {
  field.vector(0, 1);
  const type = field.uint8(2);
  if (type === UNION) throw new Problem("it has a column of a union type");
  const parameters = field.table(3);
  if (type === TIMESTAMP) parameters?.vector(1, 1);
  field.table(4)?.table(1);
  for (const child of field.tables(5)) verifyField(child);
  verifyMetadata(field, 6);
}

function verifyMetadata(table: FlatTable, slot: number): void {
  for (const entry of table.tables(slot)) {
    entry.vector(0, 1);
    entry.vector(1, 1);
  }
}

/** What the metadata of a batch, or of a dictionary, says that is of use before its body is there. */
interface BatchMessage {
  readonly rows: number;
  readonly bodyBytes: number;
  /** The number of the dictionary that this is; undefined for rows. */
  readonly dictionary: number | undefined;
}

/**
 * Holds the metadata of a batch of this schema, or of one of its dictionaries, to what apache-arrow's reader takes for
 * granted.
 *
 * @throws Problem where it is no plain record or dictionary batch, or has not just the columns and buffers of its types.
 */
export function verifyBatch(metadata: Uint8Array, schema: Schema): BatchMessage {
  const message = new FlatReader(metadata).root();
  const type = message.uint8(1);
  const header = message.table(2);
  const isDictionary = type === arrow.MessageHeader.DictionaryBatch;
  if (header === undefined || (!isDictionary && type !== arrow.MessageHeader.RecordBatch)) {
    throw new Problem("a record batch was expected");
  }
  if (isDictionary && header.uint8(2) !== 0)
    throw new Problem("its dictionaries grow, which this reader does not know");
  const batch = isDictionary ? header.table(1) : header;
  if (batch === undefined) throw new Problem("a dictionary has no values");
  if (batch.table(3) !== undefined)
    throw new Problem("its batches are compressed, which this reader does not know");
  const dictionary = isDictionary ? header.count(0) : undefined;
  const [rows, bodyBytes] = [batch.count(0), message.count(3)];
  verifyNodes(columnTypes(schema, dictionary), rows, pairs(batch, 1));
  verifyRegions(columnTypes(schema, dictionary), bodyBytes, pairs(batch, 2));
  return { rows, bodyBytes, dictionary };
}

function columnTypes(schema: Schema, dictionary: number | undefined): DataType[] {
  if (dictionary === undefined) return schema.fields.map(({ type }) => type);
  const type = schema.dictionaries.get(dictionary);
  if (type === undefined) throw new Problem(`no column has the dictionary ${dictionary}`);
  return [type];
}

/** Length and null count of each column and those inside it. */
function verifyNodes(types: readonly DataType[], rows: number, nodes: readonly [number, number][]): void {
  const left = nodes.values();
  const take = (type: DataType, expected: number | undefined): void => {
    const { value, done } = left.next();
    if (done) throw new Problem("a batch has fewer columns than its schema");
    const [length, nullCount] = value;
    if (length > 2 ** 31 - 1 || nullCount > length)
      throw new Problem(`a column has ${length} values, ${nullCount} of them null`);
    if (expected !== undefined && length !== expected)
      throw new Problem(`a column has ${length} of ${expected} rows`);
    const layout = layoutOf(type);
    if (layout === "dictionary") return;
    const inner =
      layout === "struct"
        ? length
        : layout === "vector"
          ? length * (type as FixedSizeList).listSize
          : undefined;
    for (const field of fieldsIn(type)) take(field.type, inner);
  };
  for (const type of types) take(type, rows);
  if (!left.next().done) throw new Problem("a batch has more columns than its schema");
}

/** Where the buffers lie: behind one another, since apache-arrow's writer, which LanceDB's client uses, mixes up any that overlap. */
function verifyRegions(
  types: readonly DataType[],
  bodyBytes: number,
  regions: readonly [number, number][],
): void {
  const buffersOf = (type: DataType): number => {
    const layout = layoutOf(type);
    const inner = layout === "dictionary" ? [] : fieldsIn(type);
    return inner.reduce<number>((sum, field) => sum + buffersOf(field.type), BUFFERS[layout]);
  };
  if (regions.length !== types.reduce((sum, type) => sum + buffersOf(type), 0))
    throw new Problem("a batch lacks buffers of its schema");
  let last = 0;
  for (const [offset, bytes] of regions) {
    if (offset % 8 !== 0 || offset < last || offset + bytes > bodyBytes) {
      throw new Problem(
        `a buffer of ${bytes} bytes at ${offset} does not lie in its batch, behind the others`,
      );
    }
    last = offset + bytes;
  }
}

const BUFFERS = {
  null: 0,
  bits: 2,
  fixed: 2,
  dictionary: 2,
  bytes: 3,
  list: 2,
  vector: 1,
  struct: 1,
} as const;

function pairs(table: FlatTable, slot: number): [number, number][] {
  const { start, length } = table.vector(slot, 16);
  return Array.from({ length }, (_, index) => {
    const at = start + 16 * index;
    return [table.countAt(at), table.countAt(at + 8)];
  });
}

/**
 * The batch that these messages make, by apache-arrow's own reader: the stream's schema, the dictionaries that hold now,
 * each with its body, and a batch with its body, all of which were verified. One stream for each batch, because readers
 * before 18 keep a dictionary, though another comes in its place.
 *
 * @throws Problem for every length, offset and index that points outside of what is there.
 */
export function readBatch(schema: Schema, rows: number, messages: readonly Uint8Array[]): RecordBatch {
  const columns = columnsIn(messages);
  const verified = schema.fields.map(({ type }, at) => {
    const data = columns[at];
    if (data?.length !== rows) throw new Problem("a batch lacks columns of its schema");
    assertBuffers(type, data);
    return retyped(type, data);
  });
  assertNulls(schema.fields, verified);
  return newBatch(schema, rows, verified);
}

function columnsIn(messages: readonly Uint8Array[]): readonly Data[] {
  try {
    const [batch] = arrow.RecordBatchReader.from(messages);
    return batch?.data.children ?? [];
  } catch (error) {
    throw new Problem("a batch cannot be read", { cause: error });
  }
}

/** apache-arrow reads no empty names; the schema has them. */
function retyped(type: DataType, data: Data): Data {
  if (fieldsIn(type).length === 0 || arrow.DataType.isDictionary(type)) return data;
  const children = fieldsIn(type).map((field, at) => retyped(field.type, data.children[at] as Data));
  return data.clone(type, data.offset, data.length, data.nullCount, undefined, children);
}

function assertBuffers(type: DataType, data: Data): void {
  const { length, nullCount } = data;
  const layout = layoutOf(type);
  if (layout === "null") return;
  const inner = layout === "dictionary" ? [] : fieldsIn(type);
  if (data.children.length < inner.length) throw new Problem("a column lacks its inner columns");
  const bitmap: Uint8Array = data.nullBitmap ?? new Uint8Array(0);
  if (nullCount > 0) {
    assertSize(bitmap, bitmapBytes(length));
    if (length - countBits(bitmap, length) !== nullCount) throw new Problem("a column's null count is wrong");
  }
  switch (layout) {
    case "bits":
      assertSize(data.values, bitmapBytes(length));
      return;
    case "fixed":
      assertSize(data.values, length * (byteWidth(type) ?? 0));
      return;
    case "bytes":
      assertOffsets(data, data.values.byteLength);
      if (isText(type) && length > 0) assertUtf8(data.values, data.valueOffsets, length);
      return;
    case "list": {
      const items = itemsOf(data);
      const used = assertOffsets(data, items.length);
      if (used !== items.length) throw new Problem(`lists have ${used} of ${items.length} items`);
      assertBuffers(itemField(type).type, items);
      return;
    }
    case "dictionary": {
      const { indices } = type as Dictionary;
      assertSize(data.values, length * (byteWidth(indices) ?? 0));
      assertIndices(data, nullCount > 0 ? bitmap : undefined);
      return;
    }
    default:
      for (const [at, field] of fieldsIn(type).entries())
        assertBuffers(field.type, data.children[at] as Data);
  }
}

function assertSize(view: ArrayBufferView, needed: number): void {
  const { byteLength } = bytesIn(view);
  if (byteLength < needed) throw new Problem(`a buffer has ${byteLength} of ${needed} bytes`);
}

/** @returns how many bytes or items are between the first and the last */
function assertOffsets({ valueOffsets, length }: Data, end: number): number {
  if (length === 0) return 0;
  const offsets: Int32Array | BigInt64Array = valueOffsets;
  assertSize(offsets, (length + 1) * offsets.BYTES_PER_ELEMENT);
  let last: number | bigint = offsets[0] ?? 0;
  if (last < 0) throw new Problem("an offset is negative");
  for (let index = 1; index <= length; index++) {
    const offset = offsets[index] ?? 0;
    if (offset < last) throw new Problem("an offset is less than the one before it");
    last = offset;
  }
  if (last > end) throw new Problem(`an offset is ${last}, beyond the end at ${end}`);
  return Number(last) - Number(offsets[0]);
}

/** Dictionaries that were found to be good. */
const good = new WeakSet<Data>();

/** Holds the indices of a dictionary column to its dictionary, and that to its type. */
function assertIndices(data: Data, bitmap: Uint8Array | undefined): void {
  const [entries] = data.dictionary?.data ?? [];
  if (entries === undefined) throw new Problem(`dictionary ${(data.type as { id?: number }).id} is missing`);
  if (!good.has(entries)) assertBuffers(entries.type, entries);
  good.add(entries);
  const indices: ArrayLike<number | bigint> = data.values;
  for (let row = 0; row < data.length; row++) {
    if (bitmap !== undefined && !bitAt(bitmap, row)) continue;
    const index = indices[row] ?? 0;
    if (index < 0 || index >= entries.length)
      throw new Problem(`a value refers to entry ${index} of a dictionary of ${entries.length}`);
  }
}
