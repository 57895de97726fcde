import type { Date_, Time, Timestamp } from "apache-arrow";
import { arrow } from "../arrow.ts";
import { Problem } from "../problem.ts";

type Temporal = Date_ | Time | Timestamp;

/** @param value the number that Arrow stores */
export function temporalText(type: Temporal, value: bigint): string {
  const { DataType: Is } = arrow;
  if (Is.isTimestamp(type)) return timestampText(value, type.unit, Boolean(type.timezone));
  if (Is.isTime(type)) return timeText(value, type.unit);
  return type.unit === arrow.DateUnit.DAY ? dateText(Number(value)) : dateMillisecondText(value);
}

/** @throws Problem where it is not as `temporalText` writes it. */
export function parseTemporal(type: Temporal, text: string): bigint {
  const { DataType: Is } = arrow;
  if (Is.isTimestamp(type)) return parseTimestamp(text, type.unit, Boolean(type.timezone));
  if (Is.isTime(type)) return parseTime(text, type.unit);
  return type.unit === arrow.DateUnit.DAY ? parseDate(text) : parseDateMillisecond(text);
}

/** Ticks a second, by Arrow's time unit: s, ms, us, ns. */
const PER_SECOND = [1n, 1_000n, 1_000_000n, 1_000_000_000n];
const DIGITS = [0, 3, 6, 9];

/** Seconds of 0000-01-01 and of 10000-01-01, between which ISO 8601 needs no sign before the year. */
const FIRST = -62_167_219_200n;
const END = 253_402_300_800n;
const DAY = 86_400n;
const MS_PER_DAY = 86_400_000n;

function perSecond(unit: number): bigint {
  return PER_SECOND[unit] ?? 1n;
}

function floorDivide(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  return value % by < 0n ? quotient - 1n : quotient;
}

function fraction(ticks: bigint, unit: number): string {
  const digits = DIGITS[unit] ?? 0;
  return digits === 0 ? "" : `.${String(ticks).padStart(digits, "0")}`;
}

/** `2026-11-05T12:34:56.789` and `Z` where it is an instant; the bare number of ticks outside of years 0 to 9999. */
export function timestampText(ticks: bigint, unit: number, isInstant: boolean): string {
  const seconds = floorDivide(ticks, perSecond(unit));
  if (seconds < FIRST || seconds >= END) return String(ticks);
  const whole = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  return `${whole}${fraction(ticks - seconds * perSecond(unit), unit)}${isInstant ? "Z" : ""}`;
}

export function parseTimestamp(text: string, unit: number, isInstant: boolean): bigint {
  if (INTEGER.test(text)) return parseInteger(text);
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{3}|\d{6}|\d{9}))?Z?$/.exec(text);
  const milliseconds = match === null ? Number.NaN : Date.parse(`${match[1]}Z`);
  if (Number.isNaN(milliseconds)) throw notA(text, "timestamp");
  const ticks = BigInt(milliseconds / 1000) * perSecond(unit) + BigInt(match?.[2] ?? 0);
  return same(text, timestampText(ticks, unit, isInstant), ticks, "timestamp");
}

/** `12:34:56.789`; the bare number of ticks outside of a day. */
export function timeText(ticks: bigint, unit: number): string {
  const seconds = floorDivide(ticks, perSecond(unit));
  if (seconds < 0n || seconds >= DAY) return String(ticks);
  const two = (value: bigint) => String(value).padStart(2, "0");
  const clock = `${two(seconds / 3600n)}:${two((seconds / 60n) % 60n)}:${two(seconds % 60n)}`;
  return clock + fraction(ticks - seconds * perSecond(unit), unit);
}

export function parseTime(text: string, unit: number): bigint {
  if (INTEGER.test(text)) return parseInteger(text);
  const match = /^(\d\d):(\d\d):(\d\d)(?:\.(\d{3}|\d{6}|\d{9}))?$/.exec(text);
  if (match === null) throw notA(text, "time");
  const seconds = BigInt(match[1] ?? 0) * 3600n + BigInt(match[2] ?? 0) * 60n + BigInt(match[3] ?? 0);
  const ticks = seconds * perSecond(unit) + BigInt(match[4] ?? 0);
  return same(text, timeText(ticks, unit), ticks, "time");
}

/** `2026-11-05`; the bare number of days outside of years 0 to 9999. */
export function dateText(days: number): string {
  const seconds = BigInt(days) * DAY;
  if (seconds < FIRST || seconds >= END) return String(days);
  return new Date(days * Number(MS_PER_DAY)).toISOString().slice(0, 10);
}

export function parseDate(text: string): bigint {
  if (INTEGER.test(text)) return parseInteger(text);
  const milliseconds = /^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : Number.NaN;
  if (Number.isNaN(milliseconds)) throw notA(text, "date");
  const days = milliseconds / Number(MS_PER_DAY);
  return same(text, dateText(days), BigInt(days), "date");
}

/** A date in milliseconds: as a date where it is a whole day, else as a timestamp. */
function dateMillisecondText(milliseconds: bigint): string {
  if (milliseconds % MS_PER_DAY !== 0n) return timestampText(milliseconds, 1, false);
  const text = dateText(Number(milliseconds / MS_PER_DAY));
  return INTEGER.test(text) ? String(milliseconds) : text;
}

function parseDateMillisecond(text: string): bigint {
  if (INTEGER.test(text)) return parseInteger(text);
  return text.includes("T") ? parseTimestamp(text, 1, false) : parseDate(text) * MS_PER_DAY;
}

const INTEGER = /^-?\d{1,40}$/;

/** An integer of any width, in digits. */
export function parseInteger(text: string): bigint {
  if (!INTEGER.test(text)) throw notA(text, "integer");
  return BigInt(text);
}

/** What is written must be what would be written: there is one text for each value. */
function same(text: string, written: string, value: bigint, what: string): bigint {
  if (text !== written) throw notA(text, what);
  return value;
}

function notA(text: string, what: string): Problem {
  return new Problem(`${JSON.stringify(text.slice(0, 80))} is no ${what}`);
}
