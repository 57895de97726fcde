import type {
  DataType,
  Date_,
  Decimal,
  Dictionary,
  Duration,
  Field,
  FixedSizeBinary,
  FixedSizeList,
  Float,
  Int,
  Map_,
  Time,
  Timestamp,
} from "apache-arrow";
import { UnsupportedError, ValidationError } from "../errors.ts";
import { arrow } from "./arrow.ts";
import { Problem } from "./bad-value.ts";
import { fieldsIn } from "./column.ts";

/**
 * How the buffers of a type lie: what joins columns, picks rows, compares them and checks what was read goes by this
 * alone. `bits`: a bit a value. `fixed`: the same bytes for each. `bytes`: offsets into bytes. `list`: offsets into a
 * child. `vector`: a child with the same number of items for each. `struct`: a child a field. `dictionary`: numbers
 * of entries, `fixed`.
 */
type Layout = "null" | "bits" | "fixed" | "bytes" | "list" | "vector" | "struct" | "dictionary";

/** What values are told as: values of one family can be written into each other's types, each of them checked. */
type Family = "number" | "text" | "bytes" | "list" | "struct";

/** What is known of a type of Arrow, but for its values (`codecs.ts`). */
interface TypeEntry<T extends DataType = DataType> {
  readonly layout: Layout;
  /** None: its values are written into this very type alone. */
  readonly family?: Family;
  /** Bytes of a value, where the layout is `fixed`. */
  width?(type: T): number;
  /** In words. @throws Problem for parameters that no such type has. */
  words(type: T, inner: (type: DataType | undefined) => string): string;
  /** The type anew in LanceDB's copy of apache-arrow, with these fields inside. */
  make(type: T, fields: readonly Field[]): DataType;
}

/** apache-arrow's numbers of types, its `Type`, which is loaded late. */
export const Id = {
  Null: 1,
  Int: 2,
  Float: 3,
  Binary: 4,
  Utf8: 5,
  Bool: 6,
  Decimal: 7,
  Date: 8,
  Time: 9,
  Timestamp: 10,
  List: 12,
  Struct: 13,
  FixedSizeBinary: 15,
  FixedSizeList: 16,
  Map: 17,
  Duration: 18,
  LargeBinary: 19,
  LargeUtf8: 20,
  Dictionary: -1,
} as const;

const TYPES: Readonly<Record<number, TypeEntry<never>>> = {
  [Id.Null]: { layout: "null", words: () => "null", make: () => new arrow.Null() },
  [Id.Bool]: { layout: "bits", words: () => "bool", make: () => new arrow.Bool() },
  [Id.Utf8]: { layout: "bytes", family: "text", words: () => "utf8", make: () => new arrow.Utf8() },
  [Id.LargeUtf8]: {
    layout: "bytes",
    family: "text",
    words: () => "large_utf8",
    make: () => new arrow.LargeUtf8(),
  },
  [Id.Binary]: { layout: "bytes", family: "bytes", words: () => "binary", make: () => new arrow.Binary() },
  [Id.LargeBinary]: {
    layout: "bytes",
    family: "bytes",
    words: () => "large_binary",
    make: () => new arrow.LargeBinary(),
  },
  [Id.Int]: {
    layout: "fixed",
    family: "number",
    width: ({ bitWidth }: Int) => bitWidth / 8,
    words: ({ isSigned, bitWidth }: Int) => `${isSigned ? "int" : "uint"}${oneOf(bitWidth, [8, 16, 32, 64])}`,
    make: ({ isSigned, bitWidth }: Int) => new arrow.Int(isSigned, bitWidth),
  },
  [Id.Float]: {
    layout: "fixed",
    family: "number",
    width: ({ precision }: Float) => 2 << precision,
    words: ({ precision }: Float) => `float${16 << oneOf(precision, [0, 1, 2])}`,
    make: ({ precision }: Float) => new arrow.Float(precision),
  },
  [Id.Decimal]: {
    layout: "fixed",
    width: ({ bitWidth }: Decimal) => bitWidth / 8,
    words: (type: Decimal) =>
      `decimal${oneOf(type.bitWidth, [32, 64, 128, 256])}(${size(type.precision)}, ${scale(type.scale)})`,
    make: (type: Decimal) => new arrow.Decimal(type.scale, type.precision, type.bitWidth),
  },
  [Id.FixedSizeBinary]: {
    layout: "fixed",
    family: "bytes",
    width: ({ byteWidth }: FixedSizeBinary) => byteWidth,
    words: ({ byteWidth }: FixedSizeBinary) => `fixed_size_binary(${size(byteWidth)})`,
    make: ({ byteWidth }: FixedSizeBinary) => new arrow.FixedSizeBinary(byteWidth),
  },
  [Id.Date]: {
    layout: "fixed",
    width: (type: Date_) => (type.unit === arrow.DateUnit.DAY ? 4 : 8),
    words: (type: Date_) => (oneOf(type.unit, [0, 1]) === 0 ? "date32" : "date64"),
    make: (type: Date_) => new arrow.Date_(type.unit),
  },
  [Id.Time]: {
    layout: "fixed",
    width: ({ bitWidth }: Time) => bitWidth / 8,
    words: (type: Time) => `time${oneOf(type.bitWidth, type.unit < 2 ? [32] : [64])}(${unit(type.unit)})`,
    make: (type: Time) => new arrow.Time(type.unit, type.bitWidth),
  },
  [Id.Timestamp]: {
    layout: "fixed",
    width: () => 8,
    words: (type: Timestamp) => `timestamp(${unit(type.unit)}${type.timezone ? `, ${type.timezone}` : ""})`,
    make: (type: Timestamp) => new arrow.Timestamp(type.unit, type.timezone),
  },
  [Id.Duration]: {
    layout: "fixed",
    width: () => 8,
    words: (type: Duration) => `duration(${unit(type.unit)})`,
    make: (type: Duration) => new arrow.Duration(type.unit),
  },
  [Id.List]: {
    layout: "list",
    family: "list",
    words: (type: DataType, inner) => `list(${inner(fieldsIn(type)[0]?.type)})`,
    make: (_type, fields) => new arrow.List(...(fields as [Field])),
  },
  [Id.FixedSizeList]: {
    layout: "vector",
    family: "list",
    words: ({ listSize, children }: FixedSizeList, inner) => {
      if (listSize === 0) throw new Problem("a fixed-size list has no items"); // Lance stores none
      return `fixed_size_list(${inner(children[0]?.type)}, ${size(listSize)})`;
    },
    make: ({ listSize }: FixedSizeList, fields) => new arrow.FixedSizeList(listSize, ...(fields as [Field])),
  },
  [Id.Struct]: {
    layout: "struct",
    family: "struct",
    words: (type: DataType, inner) => structWords(fieldsIn(type), inner),
    make: (_type, fields) => new arrow.Struct([...fields]),
  },
  [Id.Map]: {
    layout: "list",
    words: ({ children }: Map_, inner) => {
      const entries = children[0] === undefined ? [] : fieldsIn(children[0].type);
      if (entries.length !== 2) throw new Problem("a map has no key and value type");
      return `map(${inner(entries[0]?.type)}, ${inner(entries[1]?.type)})`;
    },
    make: (type: Map_, fields) => new arrow.Map_(...(fields as [never]), type.keysSorted),
  },
  [Id.Dictionary]: {
    layout: "dictionary",
    words: (type: Dictionary, inner) => {
      if (fieldsIn(type.dictionary).length > 0)
        throw new UnsupportedError("A dictionary of nested values is not supported.");
      return `dictionary(${inner(type.indices)}, ${inner(type.dictionary)})`;
    },
    make: (type: Dictionary) => {
      const indices = adoptType(type.indices) as typeof type.indices;
      return new arrow.Dictionary(adoptType(type.dictionary), indices, type.id, type.isOrdered);
    },
  },
};

/** Undefined for a type that LanceDB does not store. */
function known(type: DataType): TypeEntry | undefined {
  return TYPES[type.typeId] as TypeEntry | undefined;
}

function oneOf(value: number, allowed: readonly number[]): number {
  if (!allowed.includes(value))
    throw new Problem(`a type's parameter is ${value}, not ${allowed.join(" or ")}`);
  return value;
}

function size(value: number): number {
  if (!Number.isInteger(value) || value < 0 || value > 2 ** 31 - 1)
    throw new Problem(`a type has the size ${value}`);
  return value;
}

function scale(value: number): number {
  if (!Number.isInteger(value) || Math.abs(value) > 1000)
    throw new Problem(`a decimal has the scale ${value}`);
  return value;
}

function unit(value: number): string {
  const name = ["s", "ms", "us", "ns"][value];
  if (name === undefined) throw new Problem(`a type's time unit is ${value}`);
  return name;
}

export function structWords(fields: readonly Field[], inner: (type: DataType) => string): string {
  if (new Set(fields.map((field) => field.name)).size < fields.length) {
    throw new Problem("two members of a struct have the same name");
  }
  return `struct(${fields.map(({ name, type }) => `${JSON.stringify(name)}: ${inner(type)}`).join(", ")})`;
}

/** @throws UnsupportedError for types that LanceDB does not store: unions, intervals. */
function entryOf(type: DataType): TypeEntry {
  const entry = known(type);
  if (entry === undefined) throw new UnsupportedError(`Columns of the type ${type} are not supported.`);
  return entry;
}

/** The type with other fields inside. */
export function withFields(type: DataType, fields: readonly Field[]): DataType {
  return fields.length === 0 ? type : entryOf(type).make(type, fields);
}

/** @throws UnsupportedError for a type that LanceDB does not store. */
export function layoutOf(type: DataType): Layout {
  return entryOf(type).layout;
}

/** Bytes of one value of a type of fixed width, or undefined for bits, variable widths and nested types. */
export function byteWidth(type: DataType): number | undefined {
  return known(type)?.width?.(type);
}

/** Undefined where values of the type are written into no other. */
export function familyOf(type: DataType): Family | undefined {
  return known(type)?.family;
}

export function isText(type: DataType): boolean {
  return familyOf(type) === "text";
}

/** A fixed-size list of floats: what LanceDB searches by. */
export function isFloatVector(type: DataType): boolean {
  return arrow.DataType.isFixedSizeList(type) && arrow.DataType.isFloat(type.valueType);
}

/** LanceDB's blob column: a struct of `data` and `uri`, marked in the field's metadata. */
export function isBlob({ metadata }: Field): boolean {
  return metadata.get("ARROW:extension:name") === "lance.blob.v2";
}

/** A type with one value a row that can be told equal or not. */
export function isScalar(type: DataType): boolean {
  if (arrow.DataType.isDictionary(type)) return isScalar(type.dictionary);
  const layout = known(type)?.layout;
  return layout === "bits" || layout === "fixed" || layout === "bytes";
}

/** Whether a column of this type can be part of a key: LanceDB filters by no dictionary, and by decimals of 128 bits. */
export function isKeyType(type: DataType): boolean {
  if (arrow.DataType.isDecimal(type)) return type.bitWidth === 128;
  return isScalar(type) && !arrow.DataType.isDictionary(type);
}

export function hasDictionary({ type }: Field): boolean {
  return arrow.DataType.isDictionary(type) || fieldsIn(type).some(hasDictionary);
}

const MAX_DEPTH = 64;

/**
 * A type in words: `int64`, `timestamp(us, Europe/Berlin)`, `fixed_size_list(float32, 128)`. Two types with
 * the same words hold the same values.
 *
 * @throws Problem for parameters that no such type has (the width of a decimal, say).
 * @throws UnsupportedError for types that LanceDB does not store: unions, intervals.
 */
export function typeSignature(type: DataType, depth = 0): string {
  if (depth > MAX_DEPTH) throw new Problem(`types are nested more than ${MAX_DEPTH} deep`);
  return entryOf(type).words(type, (inner) => {
    if (inner === undefined) throw new Problem("a nested type has no item type");
    return typeSignature(inner, depth + 1);
  });
}

/** The field in LanceDB's copy of apache-arrow. @throws ValidationError for types that LanceDB does not store. */
export function adoptField(field: Field): Field {
  return new arrow.Field(field.name, adoptType(field.type), field.nullable, new Map(field.metadata));
}

function adoptType(type: DataType): DataType {
  if (isOurs(type, arrow.DataType)) return type;
  const entry = known(type);
  if (entry === undefined)
    throw new ValidationError(`Columns of the type ${type} cannot be written from here.`);
  return entry.make(type, fieldsIn(type).map(adoptField));
}

/** `instanceof`, without the compiler concluding that the other copy's types cannot exist. */
export function isOurs(value: object, ours: abstract new (...args: never[]) => object): boolean {
  return value instanceof ours;
}
