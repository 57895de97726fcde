import { types } from "node:util";
import type { Data, DataType, Date_, Duration, Time, Timestamp } from "apache-arrow";
import { arrow } from "../arrow.ts";
import { badValue, type Place, show } from "../place.ts";
import { columnData } from "./data.ts";
import { validityOf } from "./validity.ts";

const DAY_MS = 86_400_000;
const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);

/** By the format's numbers for units. */
const UNITS: readonly { readonly name: string; readonly perSecond: bigint }[] = [
  { name: "seconds", perSecond: 1n },
  { name: "milliseconds", perSecond: 1_000n },
  { name: "microseconds", perSecond: 1_000_000n },
  { name: "nanoseconds", perSecond: 1_000_000_000n },
];

/**
 * A moment: a `Date`, a `number` of milliseconds since 1970 (what LanceDB's rows give back), or a `bigint`
 * in the column's own unit. Nothing is rounded away: a moment that the unit cannot hold is refused.
 */
export function encodeTimestamps(type: Timestamp, values: readonly unknown[], place: Place): Data {
  const unit = UNITS[type.unit];
  return encode64(type, values, place, (value) => {
    if (typeof value === "bigint") return value;
    const ms = milliseconds(value);
    if (typeof ms === "string" || unit === undefined) return String(ms);
    const units = scaled(ms, unit.perSecond);
    return units ?? `${show(value)} is no whole number of the column's unit, ${unit.name}`;
  });
}

/** A calendar day in UTC, as a `Date` at midnight UTC, its milliseconds, or a `bigint` in the column's unit. */
export function encodeDates(type: Date_, values: readonly unknown[], place: Place): Data {
  const inDays = type.unit === arrow.DateUnit.DAY;
  const toUnits = (value: unknown): bigint | string => {
    if (typeof value === "bigint") return value;
    const ms = milliseconds(value);
    if (typeof ms === "string") return ms;
    const units = inDays ? ms / DAY_MS : ms;
    if (Number.isInteger(units)) return BigInt(units);
    return `${show(value)} is not midnight UTC, and the column holds whole days`;
  };
  if (!inDays) return encode64(type, values, place, toUnits);
  const data = new Int32Array(values.length);
  fill(values, place, -(2n ** 31n), 2n ** 31n - 1n, toUnits, (index, units) => {
    data[index] = Number(units);
  });
  return columnData(type, values.length, validityOf(values), { values: data });
}

/** A time of day, or a length of time, as a whole `number` or `bigint` in the column's own unit. */
export function encodeTimes(type: Time | Duration, values: readonly unknown[], place: Place): Data {
  const unit = UNITS[type.unit];
  const isTime = arrow.DataType.isTime(type);
  const toUnits = (value: unknown): bigint | string => {
    if (typeof value !== "bigint" && !Number.isSafeInteger(value)) {
      return `${show(value)} is no whole number of ${unit?.name ?? "units"}`;
    }
    const units = BigInt(value as bigint | number);
    const outside = isTime && unit !== undefined && (units < 0n || units >= 86_400n * unit.perSecond);
    return outside ? `${units} is no time of day in ${unit.name}` : units;
  };
  if (!isTime || type.bitWidth === 64) return encode64(type, values, place, toUnits);
  const data = new Int32Array(values.length);
  fill(values, place, INT64_MIN, INT64_MAX, toUnits, (index, units) => {
    data[index] = Number(units);
  });
  return columnData(type, values.length, validityOf(values), { values: data });
}

function milliseconds(value: unknown): number | string {
  if (types.isDate(value)) return Number.isNaN(value.getTime()) ? "an invalid Date" : value.getTime();
  if (typeof value === "number" && Number.isFinite(value)) return value;
  return `${show(value)} is not a Date, a number of milliseconds, or a bigint`;
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

function encode64(
  type: DataType,
  values: readonly unknown[],
  place: Place,
  toUnits: (value: unknown) => bigint | string,
): Data {
  const data = new BigInt64Array(values.length);
  fill(values, place, INT64_MIN, INT64_MAX, toUnits, (index, units) => {
    data[index] = units;
  });
  return columnData(type, values.length, validityOf(values), { values: data });
}

/** Converts every value; a string from `toUnits` is the problem with it. */
function fill(
  values: readonly unknown[],
  place: Place,
  min: bigint,
  max: bigint,
  toUnits: (value: unknown) => bigint | string,
  set: (index: number, units: bigint) => void,
): void {
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    if (value === null || value === undefined) continue;
    const units = toUnits(value);
    if (typeof units === "string") throw badValue(place, index, units);
    if (units < min || units > max)
      throw badValue(place, index, `${show(value)} is outside the column's range`);
    set(index, units);
  }
}
