import { types } from "node:util";
import type { Data, DataType, Date_, Duration, Time, Timestamp } from "apache-arrow";
import { arrow } from "./arrow.ts";
import { Problem, show } from "./bad-value.ts";
import { type Building, type Codec, fill, type Literals } from "./codec.ts";
import { bytesIn, newColumn } from "./column.ts";
import { quoteText } from "./column-path.ts";
import { INTEGER, integerLiteral, jsonInteger, parseInteger } from "./number-text.ts";
import { byteWidth } from "./types.ts";

const DAY = 86_400n;
const DAY_MS = 86_400_000;

/** By Arrow's time unit. */
const UNITS = [
  { name: "seconds", filter: "Second", perSecond: 1n, digits: 0 },
  { name: "milliseconds", filter: "Millisecond", perSecond: 1_000n, digits: 3 },
  { name: "microseconds", filter: "Microsecond", perSecond: 1_000_000n, digits: 6 },
  { name: "nanoseconds", filter: "Nanosecond", perSecond: 1_000_000_000n, digits: 9 },
] as const;

function unitOf(unit: number) {
  return UNITS[unit] ?? UNITS[0];
}

/**
 * A moment: a `Date`, a `number` of milliseconds since 1970 (what LanceDB's rows give back), or a `bigint`
 * in the column's own unit. Nothing is rounded away: a moment that the unit cannot hold is refused.
 */
export const timestampCodec: Codec<Timestamp> = {
  read(data, { unit, timezone }, form) {
    const units = unitsIn(data);
    if (form === "rows") return units;
    return (index) => timestampText(BigInt(units(index)), unit, Boolean(timezone));
  },
  build: (type, values, to) =>
    build(type, values, to, (value) => {
      if (to.form === "json") return parseTimestamp(asText(value), type.unit, Boolean(type.timezone));
      if (typeof value === "bigint") return value;
      const { name, perSecond } = unitOf(type.unit);
      const units = scaled(milliseconds(value), perSecond);
      if (units === undefined)
        throw new Problem(`${show(value)} is not a whole number of the column's unit, ${name}`);
      return units;
    }),
  literals(type, count) {
    const zone: string | null | undefined = type.timezone;
    const unit = unitOf(type.unit).filter;
    if (!zone) return timeLiterals(`Timestamp(${unit}, None)`, "Int64", count);
    if (!/^[A-Za-z0-9_+:/-]+$/.test(zone)) return undefined;
    return timeLiterals(`Timestamp(${unit}, Some("${zone}"))`, "Int64", count);
  },
};

/** A calendar day in UTC, as a `Date` at midnight UTC, its milliseconds, or a `bigint` in the column's unit. */
export const dateCodec: Codec<Date_> = {
  read(data, type, form) {
    const units = unitsIn(data);
    if (form === "rows") return (index) => BigInt(units(index));
    return isDays(type)
      ? (index) => dateText(Number(units(index)))
      : (index) => dateMillisecondText(BigInt(units(index)));
  },
  build: (type, values, to) =>
    build(type, values, to, (value) => {
      if (to.form === "json") return (isDays(type) ? parseDate : parseDateMillisecond)(asText(value));
      if (typeof value === "bigint") return value;
      const ms = milliseconds(value);
      const units = isDays(type) ? ms / DAY_MS : ms;
      if (Number.isInteger(units)) return BigInt(units);
      throw new Problem(`${show(value)} is not midnight UTC, and the column holds whole days`);
    }),
  literals: (type, count) =>
    isDays(type) ? timeLiterals("Date32", "Int32", count) : timeLiterals("Date64", "Int64", count),
};

function isDays({ unit }: Date_): boolean {
  return unit === arrow.DateUnit.DAY;
}

/** A time of day, as a whole `number` or `bigint` in the column's own unit. */
export const timeCodec: Codec<Time> = {
  read(data, { unit }, form) {
    const units = unitsIn(data);
    return form === "rows" ? units : (index) => timeText(BigInt(units(index)), unit);
  },
  build: (type, values, to) =>
    build(type, values, to, (value) => {
      if (to.form === "json") return parseTime(asText(value), type.unit);
      const units = wholeUnits(value, type.unit);
      const { name, perSecond } = unitOf(type.unit);
      if (units >= 0n && units < DAY * perSecond) return units;
      throw new Problem(`${units} is not a time of day in ${name}`);
    }),
  literals({ bitWidth, unit }, count) {
    return timeLiterals(
      `Time${bitWidth}(${unitOf(unit).filter})`,
      bitWidth === 32 ? "Int32" : "Int64",
      count,
    );
  },
};

/** A length of time, as a whole `number` or `bigint` in the column's own unit. */
export const durationCodec: Codec<Duration> = {
  read(data, _type, form) {
    const units = unitsIn(data);
    return form === "rows" ? units : (index) => jsonInteger(BigInt(units(index)));
  },
  build: (type, values, to) =>
    build(type, values, to, (value) =>
      to.form === "json" && typeof value === "string" ? parseInteger(value) : wholeUnits(value, type.unit),
    ),
  literals: ({ unit }, count) => timeLiterals(`Duration(${unitOf(unit).filter})`, "Int64", count),
};

/** The numbers of a column, by their bytes: apache-arrow before 18 shows moments as halves of them. */
function unitsIn(data: Data): (index: number) => bigint | number {
  const bytes = bytesIn(data.values);
  const { buffer, byteOffset, byteLength } = bytes;
  const width = byteWidth(data.type) ?? 8;
  const View = width === 8 ? BigInt64Array : Int32Array;
  const units = new View(buffer as ArrayBuffer, byteOffset, Math.floor(byteLength / width));
  return (index) => units[index] ?? 0;
}

function wholeUnits(value: unknown, unit: number): bigint {
  if (typeof value === "bigint") return value;
  if (typeof value === "number" && Number.isSafeInteger(value)) return BigInt(value);
  throw new Problem(`${show(value)} is not a whole number of ${unitOf(unit).name}`);
}

function milliseconds(value: unknown): number {
  if (types.isDate(value)) {
    if (Number.isNaN(value.getTime())) throw new Problem("an invalid Date");
    return value.getTime();
  }
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw new Problem(`${show(value)} is not a Date, a number of milliseconds, or a bigint`);
}

/** `ms` in units of 1/perSecond, or undefined where that is not a whole number, or not exactly known. */
function scaled(ms: number, perSecond: bigint): bigint | undefined {
  if (Number.isSafeInteger(ms)) {
    const units = BigInt(ms) * perSecond;
    return units % 1000n === 0n ? units / 1000n : undefined;
  }
  const factor = Number(perSecond) / 1000;
  const units = Math.round(ms * factor);
  return Number.isSafeInteger(units) && units / factor === ms ? BigInt(units) : undefined;
}

function build(
  type: DataType,
  values: readonly unknown[],
  to: Building,
  toUnits: (value: unknown) => bigint,
) {
  const width = byteWidth(type) ?? 8;
  to.claim(values.length * width);
  const wide = new BigInt64Array(width === 8 ? values.length : 0);
  const narrow = new Int32Array(width === 4 ? values.length : 0);
  const validity = fill(values, to, (value, index) => {
    const units = toUnits(value);
    if (BigInt.asIntN(8 * width, units) !== units)
      throw new Problem(`${show(value)} is outside the column's range`);
    if (width === 8) wide[index] = units;
    else narrow[index] = Number(units);
  });
  return newColumn(type, values.length, validity, {
    values: new type.ArrayType((width === 8 ? wide : narrow).buffer),
  });
}

/**
 * From this many keys on, times are compared as the integers that they are: reading a typed literal takes
 * LanceDB 25 microseconds, an integer 3; but an index on the column serves typed literals only.
 */
const MANY = 1000;

/** @param name the type as `arrow_cast` calls it */
function timeLiterals(name: string, integer: "Int32" | "Int64", count: number): Literals {
  if (count >= MANY) {
    return {
      literal: (keys, at) => integerLiteral(unitsIn(keys)(at)),
      compared: (column) => `arrow_cast(${column},'${integer}')`,
    };
  }
  return {
    literal: (keys, at) =>
      `arrow_cast(arrow_cast(${integerLiteral(unitsIn(keys)(at))},'${integer}'),${quoteText(name)})`,
  };
}

// Dates and times in JSON, as docs/formats.md has them: one text for each value.

/** Seconds of 0000-01-01 and of 10000-01-01, between which ISO 8601 needs no sign before the year. */
const FIRST = -62_167_219_200n;
const END = 253_402_300_800n;

function floorDivide(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  return value % by < 0n ? quotient - 1n : quotient;
}

function fraction(ticks: bigint, unit: number): string {
  const { digits } = unitOf(unit);
  return digits === 0 ? "" : `.${String(ticks).padStart(digits, "0")}`;
}

/** `2026-11-05T12:34:56.789` and `Z` where it is an instant; the bare number of ticks outside of years 0 to 9999. */
export function timestampText(ticks: bigint, unit: number, isInstant: boolean): string {
  const { perSecond } = unitOf(unit);
  const seconds = floorDivide(ticks, perSecond);
  if (seconds < FIRST || seconds >= END) return String(ticks);
  const whole = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  return `${whole}${fraction(ticks - seconds * perSecond, unit)}${isInstant ? "Z" : ""}`;
}

export function parseTimestamp(text: string, unit: number, isInstant: boolean): bigint {
  if (INTEGER.test(text)) return parseInteger(text);
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{3}|\d{6}|\d{9}))?Z?$/.exec(text);
  const milliseconds = match === null ? Number.NaN : Date.parse(`${match[1]}Z`);
  if (Number.isNaN(milliseconds)) throw notA(text, "timestamp");
  const ticks = BigInt(milliseconds / 1000) * unitOf(unit).perSecond + BigInt(match?.[2] ?? 0);
  return same(text, timestampText(ticks, unit, isInstant), ticks, "timestamp");
}

/** `12:34:56.789`; the bare number of ticks outside of a day. */
export function timeText(ticks: bigint, unit: number): string {
  const { perSecond } = unitOf(unit);
  const seconds = floorDivide(ticks, perSecond);
  if (seconds < 0n || seconds >= DAY) return String(ticks);
  const two = (value: bigint) => String(value).padStart(2, "0");
  const clock = `${two(seconds / 3600n)}:${two((seconds / 60n) % 60n)}:${two(seconds % 60n)}`;
  return clock + fraction(ticks - seconds * perSecond, unit);
}

export function parseTime(text: string, unit: number): bigint {
  if (INTEGER.test(text)) return parseInteger(text);
  const match = /^(\d\d):(\d\d):(\d\d)(?:\.(\d{3}|\d{6}|\d{9}))?$/.exec(text);
  if (match === null) throw notA(text, "time");
  const seconds = BigInt(match[1] ?? 0) * 3600n + BigInt(match[2] ?? 0) * 60n + BigInt(match[3] ?? 0);
  const ticks = seconds * unitOf(unit).perSecond + BigInt(match[4] ?? 0);
  return same(text, timeText(ticks, unit), ticks, "time");
}

/** `2026-11-05`; the bare number of days outside of years 0 to 9999. */
export function dateText(days: number): string {
  const seconds = BigInt(days) * DAY;
  if (seconds < FIRST || seconds >= END) return String(days);
  return new Date(days * DAY_MS).toISOString().slice(0, 10);
}

export function parseDate(text: string): bigint {
  if (INTEGER.test(text)) return parseInteger(text);
  const milliseconds = /^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : Number.NaN;
  if (Number.isNaN(milliseconds)) throw notA(text, "date");
  const days = milliseconds / DAY_MS;
  return same(text, dateText(days), BigInt(days), "date");
}

/** A date in milliseconds: as a date where it is a whole day, else as a timestamp. */
function dateMillisecondText(milliseconds: bigint): string {
  if (milliseconds % BigInt(DAY_MS) !== 0n) return timestampText(milliseconds, 1, false);
  const text = dateText(Number(milliseconds / BigInt(DAY_MS)));
  return INTEGER.test(text) ? String(milliseconds) : text;
}

function parseDateMillisecond(text: string): bigint {
  if (INTEGER.test(text)) return parseInteger(text);
  return text.includes("T") ? parseTimestamp(text, 1, false) : parseDate(text) * BigInt(DAY_MS);
}

function asText(value: unknown): string {
  if (typeof value !== "string") throw new Problem(`${show(value)} is no text`);
  return value;
}

/** What is written must be what would be written: there is one text for each value. */
function same(text: string, written: string, value: bigint, what: string): bigint {
  if (text !== written) throw notA(text, what);
  return value;
}

function notA(text: string, what: string): Problem {
  return new Problem(`${JSON.stringify(text.slice(0, 80))} is no ${what}`);
}
