import { types } from "node:util";
import type { Data, DataType, Field, Schema } from "apache-arrow";
import { ValidationError } from "../errors.ts";
import { arrow } from "./arrow.ts";
import { badValue, type Place, Problem } from "./bad-value.ts";
import { assertNulls } from "./check-column.ts";
import { type Building, type Codec, type Form, isMissing, type Literals, type ValueAt } from "./codec.ts";
import { bitAt, itemsOf } from "./column.ts";
import {
  dictionaryCodec,
  fixedListCodec,
  isRecord,
  listCodec,
  mapCodec,
  nullCodec,
  structCodec,
} from "./nested-codecs.ts";
import { boolCodec, decimalCodec, floatCodec, intCodec } from "./number-codecs.ts";
import { VectorTexts } from "./number-text.ts";
import { bytesCodec, bytesOf, fixedBytesCodec, textCodec } from "./text-codecs.ts";
import { dateCodec, durationCodec, timeCodec, timestampCodec } from "./time-codecs.ts";
import { Id, isBlob } from "./types.ts";

/** How the values of each type are read and written. */
const CODECS: Readonly<Record<number, Codec<never>>> = {
  [Id.Null]: nullCodec,
  [Id.Bool]: boolCodec,
  [Id.Int]: intCodec,
  [Id.Float]: floatCodec,
  [Id.Decimal]: decimalCodec,
  [Id.Utf8]: textCodec,
  [Id.LargeUtf8]: textCodec,
  [Id.Binary]: bytesCodec,
  [Id.LargeBinary]: bytesCodec,
  [Id.FixedSizeBinary]: fixedBytesCodec,
  [Id.Date]: dateCodec,
  [Id.Time]: timeCodec,
  [Id.Timestamp]: timestampCodec,
  [Id.Duration]: durationCodec,
  [Id.List]: listCodec,
  [Id.FixedSizeList]: fixedListCodec,
  [Id.Struct]: structCodec,
  [Id.Map]: mapCodec,
  [Id.Dictionary]: dictionaryCodec,
};

function codecOf(type: DataType): Codec | undefined {
  return CODECS[type.typeId] as Codec | undefined;
}

/** The values of a column, null where none is. @throws Problem for text that is no UTF-8, in JSON. */
function readerOf(data: Data, form: Form): ValueAt {
  const type: DataType = data.type;
  const codec = codecOf(type);
  if (codec === undefined) throw new TypeError(`A column of ${type} cannot be read.`);
  const read = codec.read(data, type, form, (inner) => readerOf(inner, form));
  const bitmap: Uint8Array | undefined = data.nullBitmap;
  if (bitmap === undefined || bitmap.byteLength === 0 || data.nullCount === 0) return read;
  return (index) => (bitAt(bitmap, data.offset + index) ? read(index) : null);
}

/**
 * The values of an Arrow column as plain JavaScript, exact, in the forms that `encodeColumn` takes back:
 * 64-bit integers and times as `bigint` in the column's unit, bytes as `Uint8Array`, decimals as their words.
 * (apache-arrow's own getters turn microseconds into fractions of milliseconds, and dates into numbers.)
 */
export function valuesOf(data: Data): unknown[] {
  const read = readerOf(data, "rows");
  return Array.from({ length: data.length }, (_, index) => read(index));
}

/** The values of a column as JSON (docs/formats.md, "Periodic files"). @throws Problem */
export function jsonTexts(data: Data): (index: number) => string {
  const type: DataType = data.type;
  const read = readerOf(data, "json");
  const text: ValueAt = (index) => JSON.stringify(read(index));
  if (!arrow.DataType.isFixedSizeList(type)) return text as (index: number) => string;
  const items = itemsOf(data);
  if (items.nullCount > 0 || !types.isFloat32Array(items.values)) return text as (index: number) => string;
  const item = readerOf(items, "json");
  const vectors = new VectorTexts(items.values, type.listSize, (at) => JSON.stringify(item(at)));
  const bitmap: Uint8Array | undefined = data.nullCount > 0 ? data.nullBitmap : undefined;
  return (index) => (bitmap && !bitAt(bitmap, data.offset + index) ? "null" : vectors.at(index));
}

/**
 * JavaScript values as an Arrow column of exactly the field's type. LanceDB's own conversion pads and cuts
 * vectors, and turns what does not fit into null, zero or NaN in silence; here every value is either stored
 * as it is or refused with a `ValidationError` that names row and column. Nulls in a column that allows
 * none are left to the check of the finished column, since an embedding may fill them first.
 */
export function encodeColumn(field: Field, values: readonly unknown[], place: Place): Data {
  return build(field, values, { place, nullable: true }, { form: "rows", claim: () => undefined });
}

/** A column of nulls, with all the buffers that its type has. */
export function nulls(field: Field, length: number): Data {
  return encodeColumn(field, new Array(length).fill(null), { column: field.name, rowOf: (index) => index });
}

/** The rows are too many for one batch: fewer at a time will do. */
export class BatchFull extends Error {}

/** Bytes of one column's values in a batch: a few bytes of text must not ask for all memory there is. */
const MOST_BYTES = 256 * 1024 * 1024;

/**
 * One column for each field.
 *
 * @param rows the members of each row, in the order of the fields. @param first the number of the first row
 * @throws Problem naming the row. @throws BatchFull
 */
export function columnsFromJson(
  schema: Schema,
  rows: readonly (readonly unknown[])[],
  first: number,
): Data[] {
  const claim = (bytes: number) => {
    if (bytes > MOST_BYTES) throw new BatchFull();
  };
  const columns = schema.fields.map((field, at) => {
    const error = (row: number, problem: string, cause: unknown) =>
      new Problem(`row ${row}: column ${JSON.stringify(field.name)}: ${problem}`, { cause });
    const place = { column: field.name, rowOf: (index: number) => first + index, error };
    const values = rows.map((row) => row[at]);
    return build(field, values, { place, nullable: true }, { form: "json", claim });
  });
  assertNulls(schema.fields, columns);
  return columns;
}

function build(
  field: Field,
  values: readonly unknown[],
  at: Pick<Building, "place" | "nullable">,
  how: Pick<Building, "form" | "claim">,
): Data {
  const codec = codecOf(field.type);
  if (codec === undefined) {
    throw new ValidationError(
      `Column "${at.place.column}" has the type ${field.type}, which cannot be written from here.`,
    );
  }
  const given = how.form === "rows" && isBlob(field) ? blobsFrom(values, at.place) : values;
  return codec.build(field.type, given, {
    ...at,
    ...how,
    inner: (child, items, to) => build(child, items, to, how),
  });
}

/** Blob columns take bytes, or a string that is a URI, or `{ data }` or `{ uri }`. */
function blobsFrom(values: readonly unknown[], place: Place): unknown[] {
  return values.map((value, index) => {
    const bytes = bytesOf(value);
    const record = bytes ? { data: bytes } : typeof value === "string" ? { uri: value } : value;
    if (!isRecord(record)) return record;
    const given = [record["data"], record["uri"]].filter((part) => !isMissing(part) && part !== "");
    if (given.length !== 1) throw badValue(place, index, "a blob has either data or a uri");
    return record;
  });
}

/**
 * How the values of a type are written in a filter, `count` of them. Undefined where LanceDB cannot compare them; floats
 * are not among these types.
 */
export function literalsOf(type: DataType, count: number): Literals | undefined {
  if (!arrow.DataType.isDictionary(type)) return codecOf(type)?.literals?.(type, count);
  const literals = literalsOf(type.dictionary, count);
  if (literals === undefined) return undefined;
  return {
    ...literals,
    literal: (keys, at) => {
      const [values] = keys.dictionary?.data ?? [];
      if (values === undefined) throw new TypeError("A dictionary column came without its dictionary.");
      return literals.literal(values, Number(keys.values[at]));
    },
  };
}
