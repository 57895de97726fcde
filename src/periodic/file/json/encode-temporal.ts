import type { Data, DataType, Date_, Duration, Time, Timestamp } from "apache-arrow";
import { arrow } from "../../../lance/predicates/arrow.ts";
import type { EncodeValue } from "./encode-column.ts";
import type { JsonOutput } from "./output.ts";
import { dateMillisecondText, dateText, timestampText, timeText } from "./temporal.ts";

export type Temporal = Date_ | Time | Timestamp | Duration;

export function isTemporal(type: DataType): type is Temporal {
  const { DataType: Is } = arrow;
  return Is.isDate(type) || Is.isTime(type) || Is.isTimestamp(type) || Is.isDuration(type);
}

export function encodeTemporal(data: Data, type: Temporal, out: JsonOutput): EncodeValue {
  const { DataType: Is } = arrow;
  const values: Int32Array | BigInt64Array = data.values;
  const at = (index: number) => BigInt(values[index] ?? 0);
  if (Is.isTimestamp(type)) {
    const isInstant = Boolean(type.timezone);
    return (index) => out.quoted(timestampText(at(index), type.unit, isInstant));
  }
  if (Is.isTime(type)) return (index) => out.quoted(timeText(at(index), type.unit));
  if (Is.isDuration(type)) return (index) => out.quoted(String(at(index)));
  return type.unit === arrow.DateUnit.DAY
    ? (index) => out.quoted(dateText(Number(values[index])))
    : (index) => out.quoted(dateMillisecondText(at(index)));
}
