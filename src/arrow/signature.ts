import type { DataType, Field, Schema, TimeUnit } from "apache-arrow";
import { UnsupportedError } from "../errors.ts";
import { arrow } from "./arrow.ts";
import { Problem } from "./problem.ts";

const MAX_DEPTH = 64;
const MAX_SIZE = 2 ** 31 - 1;

/**
 * A type in words: `int64`, `timestamp(us, Europe/Berlin)`, `fixed_size_list(float32, 128)`. Two types with
 * the same words hold the same values.
 *
 * @throws Problem for parameters that no such type has (the width of a decimal, say).
 * @throws UnsupportedError for types that LanceDB does not store: unions, intervals.
 */
export function typeSignature(type: DataType, depth = 0): string {
  if (depth > MAX_DEPTH) throw new Problem(`types are nested more than ${MAX_DEPTH} deep`);
  const { DataType: Is } = arrow;
  const inner = (field: Field | undefined) => {
    if (field === undefined) throw new Problem("a nested type has no item type");
    return typeSignature(field.type, depth + 1);
  };
  if (Is.isNull(type)) return "null";
  if (Is.isBool(type)) return "bool";
  if (Is.isInt(type)) return `${type.isSigned ? "int" : "uint"}${oneOf(type.bitWidth, [8, 16, 32, 64])}`;
  if (Is.isFloat(type)) return `float${16 << oneOf(type.precision, [0, 1, 2])}`;
  if (Is.isUtf8(type)) return "utf8";
  if (Is.isLargeUtf8(type)) return "large_utf8";
  if (Is.isBinary(type)) return "binary";
  if (Is.isLargeBinary(type)) return "large_binary";
  if (Is.isFixedSizeBinary(type)) return `fixed_size_binary(${size(type.byteWidth)})`;
  if (Is.isDecimal(type)) {
    const width = oneOf(type.bitWidth, [32, 64, 128, 256]);
    return `decimal${width}(${size(type.precision)}, ${scale(type.scale)})`;
  }
  if (Is.isDate(type)) return oneOf(type.unit, [0, 1]) === 0 ? "date32" : "date64";
  if (Is.isTime(type)) return `time${oneOf(type.bitWidth, type.unit < 2 ? [32] : [64])}(${unit(type.unit)})`;
  if (Is.isTimestamp(type))
    return `timestamp(${unit(type.unit)}${type.timezone ? `, ${type.timezone}` : ""})`;
  if (Is.isDuration(type)) return `duration(${unit(type.unit)})`;
  if (Is.isList(type)) return `list(${inner(type.children[0])})`;
  if (Is.isFixedSizeList(type)) {
    if (type.listSize === 0) throw new Problem("a fixed-size list has no items"); // Lance stores none
    return `fixed_size_list(${inner(type.children[0])}, ${size(type.listSize)})`;
  }
  if (Is.isStruct(type)) return `struct(${members(type.children, depth)})`;
  if (Is.isMap(type)) {
    const entries = type.children[0]?.type.children ?? [];
    if (entries.length !== 2) throw new Problem("a map has no key and value type");
    return `map(${inner(entries[0])}, ${inner(entries[1])})`;
  }
  if (Is.isDictionary(type)) {
    if (type.dictionary.children?.length)
      throw new UnsupportedError("A dictionary of nested values is not supported.");
    const key = typeSignature(type.indices, depth + 1);
    return `dictionary(${key}, ${typeSignature(type.dictionary, depth + 1)})`;
  }
  throw new UnsupportedError(`Columns of type ${type} are not supported.`);
}

function members(fields: readonly Field[], depth: number): string {
  if (new Set(fields.map((field) => field.name)).size < fields.length) {
    throw new Problem("two members of a struct have the same name");
  }
  return fields
    .map((field) => `${JSON.stringify(field.name)}: ${typeSignature(field.type, depth + 1)}`)
    .join(", ");
}

function oneOf(value: number, allowed: readonly number[]): number {
  if (!allowed.includes(value))
    throw new Problem(`a type's parameter is ${value}, not ${allowed.join(" or ")}`);
  return value;
}

function size(value: number): number {
  if (!Number.isInteger(value) || value < 0 || value > MAX_SIZE)
    throw new Problem(`a type has the size ${value}`);
  return value;
}

function scale(value: number): number {
  if (!Number.isInteger(value) || Math.abs(value) > 1000)
    throw new Problem(`a decimal has the scale ${value}`);
  return value;
}

function unit(value: TimeUnit): string {
  const name = ["s", "ms", "us", "ns"][value];
  if (name === undefined) throw new Problem(`a type's time unit is ${value}`);
  return name;
}

/** A schema's columns in words, in their order. */
export function schemaSignature(schema: Schema): string {
  return `struct(${members(schema.fields, 0)})`;
}

/** Holds a table's columns to what a file can say: types that are known, names that are unique and without a dot. */
export function assertColumns(schema: Schema): void {
  const names = new Set<string>();
  for (const { name, type } of schema.fields) {
    // Lance's own rule: a dot means a member of a struct.
    if (typeof name !== "string" || name.includes("."))
      throw new Problem(`${JSON.stringify(name)} is no column name`);
    if (names.has(name)) throw new Problem(`two columns are named ${JSON.stringify(name)}`);
    names.add(name);
    typeSignature(type);
  }
}
