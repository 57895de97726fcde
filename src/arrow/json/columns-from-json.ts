import { Buffer } from "node:buffer";
import type { Data, DataType, Dictionary, Field, Schema } from "apache-arrow";
import { arrow } from "../arrow.ts";
import { column, hasLargeOffsets, isBytes, isText } from "../column.ts";
import { byteWidth } from "../column-read.ts";
import { assertNulls } from "../nulls.ts";
import { Problem } from "../problem.ts";
import { parseDecimal, setUnscaled } from "./decimal-text.ts";
import { parseSpecial } from "./float-text.ts";
import { halfBits } from "./float16.ts";
import { parseInteger, parseTemporal } from "./temporal-text.ts";

/** A value that is none of its type, and which of the values it is. */
export class ValueProblem extends Problem {
  readonly index: number;

  constructor(index: number, message: string, cause: unknown) {
    super(message, { cause });
    this.index = index;
  }
}

/** The rows are too many for one batch: fewer at a time will do. */
export class BatchFull extends Error {}

/** Bytes of one column's values in a batch, and items that null vectors stand for: a few bytes of text must not ask for all memory there is. */
const MAX_BUILT_BYTES = 256 * 1024 * 1024;
const MAX_UNSEEN_ITEMS = 16 * 1024 * 1024;

/**
 * One column for each field.
 *
 * @param rows the members of each row, in the order of the fields.
 * @throws ValueProblem naming the row. @throws BatchFull
 */
export function columnsFromJson(schema: Schema, rows: readonly (readonly unknown[])[]): Data[] {
  const columns = schema.fields.map(({ name, type }, at) => {
    const values = rows.map((row) => row[at]);
    return inPlace(name, () => columnFromJson(type, values, true));
  });
  assertNulls(schema.fields, columns);
  return columns;
}

function inPlace<T>(name: string, task: () => T): T {
  try {
    return task();
  } catch (error) {
    if (!(error instanceof ValueProblem)) throw error;
    throw new ValueProblem(error.index, `column ${JSON.stringify(name)}: ${error.message}`, error);
  }
}

/** Values as `JSON.parse` gives them. Undefined is one that nobody sees, since what holds it is null. */
type Values = readonly unknown[];

/** @param nullable whether what nobody sees is null; else it is the type's zero. */
function columnFromJson(type: DataType, values: Values, nullable: boolean): Data {
  const { DataType: Is } = arrow;
  if (Is.isNull(type)) {
    present(values, nullable, () => {
      throw new Problem("a value in a column of nulls");
    });
    return column(type, values.length, values.length, {});
  }
  if (Is.isBool(type)) return booleans(type, values, nullable);
  if (isText(type) || isBytes(type)) return texts(type, values, nullable);
  if (Is.isDictionary(type)) return dictionary(type, values, nullable);
  if (Is.isList(type) || Is.isMap(type)) return lists(type, values, nullable);
  if (Is.isFixedSizeList(type)) return vectors(type, values, nullable);
  if (Is.isStruct(type)) return structs(type, type.children, values, nullable);
  return fixed(type, values, nullable);
}

interface Validity {
  readonly nullCount: number;
  readonly validity: Uint8Array | undefined;
}

/** Hands each value that is there to `store`; what that finds wrong names its index. */
function present(
  values: Values,
  nullable: boolean,
  store: (value: unknown, index: number) => void,
): Validity {
  let validity: Uint8Array | undefined;
  let nullCount = 0;
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    if (value === null || (value === undefined && nullable)) {
      validity ??= new Uint8Array((values.length + 7) >> 3).fill(0xff);
      validity[index >> 3] = (validity[index >> 3] ?? 0) & ~(1 << (index & 7));
      nullCount++;
    } else if (value !== undefined) {
      try {
        store(value, index);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        throw new ValueProblem(index, error.message, error);
      }
    }
  }
  return { nullCount, validity };
}

function booleans(type: DataType, values: Values, nullable: boolean): Data {
  const bits = new Uint8Array((values.length + 7) >> 3);
  const { nullCount, validity } = present(values, nullable, (value, index) => {
    if (typeof value !== "boolean") throw new Problem("a value is neither true nor false");
    if (value) bits[index >> 3] = (bits[index >> 3] ?? 0) | (1 << (index & 7));
  });
  return column(type, values.length, nullCount, { values: bits, validity });
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** Strings, and binary in base64. */
function texts(type: DataType, values: Values, nullable: boolean): Data {
  const encoding = isText(type) ? "utf8" : "base64";
  const sizes = new Array<number>(values.length).fill(0);
  const { nullCount, validity } = present(values, nullable, (value, index) => {
    if (typeof value !== "string") throw new Problem("a value is no text");
    if (encoding === "base64" && !BASE64.test(value)) throw new Problem("a value is no base64");
    sizes[index] = Buffer.byteLength(value, encoding);
  });
  const bytes = Buffer.allocUnsafeSlow(sizes.reduce((sum, size) => sum + size, 0));
  const ends = [0];
  let at = 0;
  for (const [index, size] of sizes.entries()) {
    if (size > 0) bytes.write(String(values[index]), at, encoding);
    at += size;
    ends.push(at);
  }
  const offsets = hasLargeOffsets(type) ? BigInt64Array.from(ends, BigInt) : Int32Array.from(ends);
  return column(type, values.length, nullCount, { offsets, values: new Uint8Array(bytes.buffer), validity });
}

function dictionary(type: Dictionary, values: Values, nullable: boolean): Data {
  const { bitWidth, isSigned }: { bitWidth: number; isSigned: boolean } = type.indices;
  const limit = Math.min(2 ** 31, 2 ** (isSigned ? bitWidth - 1 : bitWidth));
  const known = new Map<unknown, number>();
  const entries: unknown[] = [];
  const indices = values.map((value) => {
    if (value === null || (value === undefined && nullable)) return null;
    const key = Object.is(value, -0) ? "-0" : value; // a Map takes -0 for 0
    let index = known.get(key);
    if (index === undefined) {
      index = entries.push(value) - 1;
      if (index >= limit) throw new BatchFull();
      known.set(key, index);
    }
    return index;
  });
  const own = fixed(type.indices, indices, nullable);
  const entriesColumn = located(
    () => columnFromJson(type.dictionary, entries, false),
    (entry) => indices.indexOf(entry),
  );
  return column(type as DataType, values.length, own.nullCount, {
    values: own.values,
    validity: own.nullBitmap,
    dictionary: new arrow.Vector([entriesColumn]),
  });
}

/** Lists, and maps as lists of pairs of key and value. */
function lists(type: DataType, values: Values, nullable: boolean): Data {
  const field = itemField(type);
  const isMap = arrow.DataType.isMap(type);
  const { nullCount, validity } = present(values, nullable, (value) => {
    if (!Array.isArray(value)) throw new Problem("a value is no list");
    if (isMap && !value.every((entry) => Array.isArray(entry) && entry.length === 2)) {
      throw new Problem("an entry of a map is no pair");
    }
  });
  const items: unknown[] = [];
  const offsets = new Int32Array(values.length + 1);
  for (const [index, value] of values.entries()) {
    if (Array.isArray(value)) for (const item of value) items.push(item);
    offsets[index + 1] = items.length;
  }
  const child = located(
    () =>
      isMap
        ? entriesOf(field.type, items as readonly unknown[][])
        : columnFromJson(field.type, items, field.nullable),
    (item) => offsets.findIndex((end) => end > item) - 1,
  );
  return column(type, values.length, nullCount, { offsets, children: [child], validity });
}

/** The struct of keys and values that a map's items are. */
function entriesOf(type: DataType, pairs: readonly unknown[][]): Data {
  const fields = type.children as readonly Field[];
  const children = fields.map((field, at) =>
    columnFromJson(
      field.type,
      pairs.map((pair) => pair[at]),
      field.nullable,
    ),
  );
  return column(type, pairs.length, 0, { children });
}

/** Lists of one size. The items of a null are zeros: a vector column without null items stays one. */
function vectors(type: DataType & { readonly listSize: number }, values: Values, nullable: boolean): Data {
  const { listSize } = type;
  const { nullCount, validity } = present(values, nullable, (value) => {
    if (Array.isArray(value) && value.length === listSize) return;
    throw new Problem(`a value is no list of ${listSize} items`);
  });
  const unseen = values.reduce<number>((sum, value) => (Array.isArray(value) ? sum : sum + listSize), 0);
  if (unseen > MAX_UNSEEN_ITEMS) throw new BatchFull();
  const items = new Array<unknown>(values.length * listSize);
  let at = 0;
  for (const value of values) {
    for (let item = 0; item < listSize; item++) items[at++] = Array.isArray(value) ? value[item] : undefined;
  }
  const child = located(
    () => columnFromJson(itemField(type).type, items, false),
    (item) => Math.floor(item / listSize),
  );
  return column(type, values.length, nullCount, { children: [child], validity });
}

function structs(type: DataType, fields: readonly Field[], values: Values, nullable: boolean): Data {
  const { nullCount, validity } = present(values, nullable, (value) => assertMembers(value, fields));
  const children = fields.map((field) =>
    columnFromJson(
      field.type,
      values.map((value) => memberOf(value, field.name)),
      field.nullable,
    ),
  );
  return column(type, values.length, nullCount, { children, validity });
}

/** The members of an object in the order of the fields; none may be missing, and none be there that is no field. */
export function membersOf(value: unknown, fields: readonly Field[]): unknown[] {
  assertMembers(value, fields);
  return fields.map(({ name }) => memberOf(value, name));
}

function memberOf(value: unknown, name: string): unknown {
  return (value as Readonly<Record<string, unknown>> | null | undefined)?.[name];
}

function assertMembers(value: unknown, fields: readonly Field[]): void {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Problem("a value is no object");
  }
  for (const { name } of fields) {
    if (!Object.hasOwn(value, name)) throw new Problem(`${JSON.stringify(name)} is missing`);
  }
  if (Object.keys(value).length !== fields.length) {
    throw new Problem("an object has not the members of its type");
  }
}

function itemField(type: DataType): Field {
  const field = (type.children as readonly Field[] | null)?.[0];
  if (field === undefined) throw new TypeError(`${type} has no items.`);
  return field;
}

/** A problem of an item is one of the value that it is in. */
function located<T>(task: () => T, holderOf: (item: number) => number): T {
  try {
    return task();
  } catch (error) {
    if (!(error instanceof ValueProblem)) throw error;
    throw new ValueProblem(holderOf(error.index), error.message, error);
  }
}

/** Values that all have the same number of bytes. */
function fixed(type: DataType, values: Values, nullable: boolean): Data {
  const width = byteWidth(type);
  if (width === undefined) throw new TypeError(`No column of ${type} can be built.`);
  if (values.length * width > MAX_BUILT_BYTES) throw new BatchFull();
  const bytes = new Uint8Array(values.length * width);
  const store = storeOf(type, width, new DataView(bytes.buffer));
  const validity = present(values, nullable, (value, index) => store(index * width, value));
  const Values = type.ArrayType;
  const view = new Values(bytes.buffer, 0, bytes.byteLength / Values.BYTES_PER_ELEMENT);
  return column(type, values.length, validity.nullCount, { values: view, validity: validity.validity });
}

/** Stores one value at byte `at`. */
type Store = (at: number, value: unknown) => void;

function storeOf(type: DataType, width: number, view: DataView): Store {
  const { DataType: Is } = arrow;
  if (Is.isFloat(type)) return storeFloat(type.precision, view);
  if (Is.isInt(type)) return storeInteger(type.bitWidth, type.isSigned, view);
  if (Is.isDuration(type)) return storeInteger(64, true, view);
  if (Is.isDecimal(type)) {
    return (at, value) => setUnscaled(view, at, width, parseDecimal(asText(value), type.scale));
  }
  if (Is.isFixedSizeBinary(type)) {
    return (at, value) => {
      const bytes = Buffer.from(asText(value), "base64");
      if (bytes.byteLength !== width || bytes.toString("base64") !== value)
        throw new Problem(`a value is no base64 of ${width} bytes`);
      new Uint8Array(view.buffer).set(bytes, at);
    };
  }
  if (Is.isDate(type) || Is.isTime(type) || Is.isTimestamp(type)) {
    return (at, value) => setWhole(view, at, 8 * width, true, parseTemporal(type, asText(value)));
  }
  throw new TypeError(`No column of ${type} can be built.`);
}

function storeFloat(precision: number, view: DataView): Store {
  if (precision === arrow.Precision.HALF) {
    return (at, value) => {
      const isNumber = typeof value === "number";
      view.setUint16(at, isNumber ? halfBits(value) : Number(parseSpecial(asText(value), 16)), true);
    };
  }
  if (precision === arrow.Precision.SINGLE) {
    return (at, value) => {
      if (typeof value === "number") view.setFloat32(at, value, true);
      else view.setUint32(at, Number(parseSpecial(asText(value), 32)), true);
    };
  }
  return (at, value) => {
    if (typeof value === "number") view.setFloat64(at, value, true);
    else view.setBigUint64(at, parseSpecial(asText(value), 64), true);
  };
}

function storeInteger(bits: number, isSigned: boolean, view: DataView): Store {
  if (bits === 64) {
    return (at, value) => {
      const whole = Number.isSafeInteger(value) ? BigInt(value as number) : parseInteger(asText(value));
      setWhole(view, at, 64, isSigned, whole);
    };
  }
  const min = isSigned ? -(2 ** (bits - 1)) : 0;
  const max = 2 ** (isSigned ? bits - 1 : bits) - 1;
  return (at, value) => {
    if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
      throw new Problem(`${shown(value)} is no integer of ${bits} bits`);
    }
    if (bits === 32) view.setInt32(at, value, true);
    else if (bits === 16) view.setInt16(at, value, true);
    else view.setInt8(at, value);
  };
}

function setWhole(view: DataView, at: number, bits: number, isSigned: boolean, value: bigint): void {
  if ((isSigned ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value)) !== value) {
    throw new Problem(`${value} does not fit ${bits} bits`);
  }
  if (bits === 64) view.setBigInt64(at, value, true);
  else view.setInt32(at, Number(value), true);
}

function asText(value: unknown): string {
  if (typeof value !== "string") throw new Problem(`${shown(value)} is no value of its type`);
  return value;
}

function shown(value: unknown): string {
  return String(JSON.stringify(value)).slice(0, 80);
}
