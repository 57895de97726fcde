import type { Data, DataType, Decimal, Timestamp } from "apache-arrow";
import { UnsupportedError } from "../errors.ts";
import { arrow } from "./arrow.ts";
import { bitAt, bytesIn, rangeAt } from "./column-read.ts";

/** How the values of a type are written in a filter. */
export interface Form {
  literal(keys: Data, index: number): string;
  /** What is compared, where it is not the column itself. */
  compared?(name: string): string;
}

/**
 * From this many keys on, times are compared as the integers that they are: reading a typed literal takes
 * LanceDB 25 microseconds, an integer 3; but an index on the column serves typed literals only.
 */
const MANY = 1000;

const ZONE = /^[A-Za-z0-9_+:/-]+$/;
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** Throws `UnsupportedError` for a type that LanceDB cannot compare. Floats are not among these forms. */
export function formFor(type: DataType, count: number): Form {
  const { DataType: Is } = arrow;
  if (Is.isDictionary(type)) return dictionaryForm(type.dictionary, count);
  if (Is.isBool(type)) return { literal: (keys, at) => String(bitAt(keys.values, keys.offset + at)) };
  if (Is.isInt(type)) return { literal: (keys, at) => integerLiteral(keys.values[at]) };
  if (Is.isUtf8(type) || Is.isLargeUtf8(type)) {
    return { literal: (keys, at) => quoteText(utf8.decode(bytesAt(keys, at))) };
  }
  if (Is.isBinary(type) || Is.isLargeBinary(type)) return { literal: (keys, at) => hex(bytesAt(keys, at)) };
  if (Is.isFixedSizeBinary(type)) {
    const width = type.byteWidth;
    return { literal: (keys, at) => hex(bytesIn(keys.values).subarray(at * width, (at + 1) * width)) };
  }
  if (Is.isDecimal(type)) return decimalForm(type);
  const time = timeType(type);
  if (time === undefined) throw cannotCompare(type);
  return count < MANY ? typedForm(time) : integerForm(time);
}

/** A string as a literal. Only quotes need care: backslashes, newlines and NUL stand for themselves. */
function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** A number that is not NaN, as a literal of a double. */
export function floatLiteral(value: number): string {
  return Number.isFinite(value) ? value.toExponential() : `cast('${value}' as double)`;
}

/** The number that a half holds. */
export function halfAt(keys: Data, index: number): number {
  return arrow.util.uint16ToFloat64(keys.values[index]);
}

function integerLiteral(value: number | bigint): string {
  // Read as a negated literal, the least integer of 64 bits would overflow.
  return value === -(2n ** 63n) ? "cast('-9223372036854775808' as bigint)" : String(value);
}

function hex(bytes: Uint8Array): string {
  return `X'${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex")}'`;
}

function bytesAt(keys: Data, index: number): Uint8Array {
  return bytesIn(keys.values).subarray(...rangeAt(keys, index));
}

function dictionaryForm(type: DataType, count: number): Form {
  const form = formFor(type, count);
  return {
    ...form,
    literal: (keys, at) => {
      const code = Number(keys.values[at]);
      const [values] = keys.dictionary?.data ?? [];
      if (values === undefined) throw new TypeError("A dictionary column came without its dictionary.");
      return form.literal(values, code);
    },
  };
}

function decimalForm(type: Decimal): Form {
  const { scale, precision, bitWidth } = type;
  if (bitWidth !== 128) throw cannotCompare(type);
  return {
    literal: (keys, at) => {
      const words: Uint32Array = keys.values.subarray(at * 4, at * 4 + 4);
      const raw = words.reduceRight((sum, word) => (sum << 32n) | BigInt(word), 0n);
      return `cast('${decimalText(BigInt.asIntN(bitWidth, raw), scale)}' as decimal(${precision},${scale}))`;
    },
  };
}

function decimalText(unscaled: bigint, scale: number): string {
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, "0");
  const point = digits.length - scale;
  return `${unscaled < 0n ? "-" : ""}${digits.slice(0, point)}${scale > 0 ? `.${digits.slice(point)}` : ""}`;
}

interface TimeType {
  /** The type as `arrow_cast` calls it. */
  readonly name: string;
  readonly integer: "Int32" | "Int64";
}

function typedForm({ name, integer }: TimeType): Form {
  const value = (keys: Data, at: number) => integerLiteral(keys.values[at]);
  return {
    literal: (keys, at) => `arrow_cast(arrow_cast(${value(keys, at)},'${integer}'),${quoteText(name)})`,
  };
}

function integerForm({ integer }: TimeType): Form {
  return {
    literal: (keys, at) => integerLiteral(keys.values[at]),
    compared: (column) => `arrow_cast(${column},'${integer}')`,
  };
}

function timeType(type: DataType): TimeType | undefined {
  const { DataType: Is } = arrow;
  if (Is.isDate(type)) {
    const days = type.unit === arrow.DateUnit.DAY;
    return days ? { name: "Date32", integer: "Int32" } : { name: "Date64", integer: "Int64" };
  }
  if (Is.isTimestamp(type)) return { name: timestampName(type), integer: "Int64" };
  if (Is.isDuration(type)) return { name: `Duration(${unitName(type.unit)})`, integer: "Int64" };
  if (!Is.isTime(type)) return undefined;
  return {
    name: `Time${type.bitWidth}(${unitName(type.unit)})`,
    integer: type.bitWidth === 32 ? "Int32" : "Int64",
  };
}

function timestampName(type: Timestamp): string {
  const zone: string | null | undefined = type.timezone;
  if (zone === null || zone === undefined || zone === "") return `Timestamp(${unitName(type.unit)}, None)`;
  if (ZONE.test(zone)) return `Timestamp(${unitName(type.unit)}, Some("${zone}"))`;
  throw cannotCompare(type);
}

function unitName(unit: number): string {
  return ["Second", "Millisecond", "Microsecond", "Nanosecond"][unit] ?? "";
}

function cannotCompare(type: DataType): UnsupportedError {
  return new UnsupportedError(`LanceDB cannot compare columns of the type ${type} with keys.`);
}
