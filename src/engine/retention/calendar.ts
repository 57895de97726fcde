import type { KeepRule, RetentionPolicy } from "./retention-policy.ts";

/** Where a moment lies in the calendar of a zone. Equal texts: the same hour, day, week, month, year. */
export type Periods = Readonly<Record<Exclude<KeepRule, "keepLast">, string>>;

const DAY_MS = 86_400_000;

/** Whose calendar counts, by its IANA name. */
export function timeZoneOf({ timeZone }: RetentionPolicy): string {
  return timeZone ?? new Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** A function that tells the periods of moments. @param timeZone IANA name; undefined: the machine's. */
export function calendar(timeZone: string | undefined): (moment: Date) => Periods {
  const format = new Intl.DateTimeFormat("en-US-u-ca-gregory-nu-latn", {
    timeZone,
    hourCycle: "h23",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    timeZoneName: "longOffset",
  });
  return (moment) => {
    const parts = new Map(format.formatToParts(moment).map(({ type, value }) => [type, value]));
    const part = (type: Intl.DateTimeFormatPartTypes) => parts.get(type) ?? "";
    const year = part("year").padStart(4, "0");
    const month = `${year}-${part("month")}`;
    const day = `${month}-${part("day")}`;
    // The hour that comes twice when summer time ends is told apart by its offset.
    const offset = part("timeZoneName").replace(/^GMT$/, "GMT+00:00");
    const hour = `${day} ${part("hour")}:00 ${offset}`;
    const week = isoWeek(Number(year), Number(part("month")), Number(part("day")));
    return { keepHourly: hour, keepDaily: day, keepWeekly: week, keepMonthly: month, keepYearly: year };
  };
}

/** `2026-W01`: a week belongs to the year that its Thursday lies in. */
export function isoWeek(year: number, month: number, day: number): string {
  const date = new Date(Date.UTC(year, month - 1, day));
  const weekday = (date.getUTCDay() + 6) % 7;
  const thursday = new Date(date.getTime() + (3 - weekday) * DAY_MS);
  const ofYear = thursday.getUTCFullYear();
  const week = 1 + Math.floor((thursday.getTime() - Date.UTC(ofYear, 0, 1)) / (7 * DAY_MS));
  return `${String(ofYear).padStart(4, "0")}-W${String(week).padStart(2, "0")}`;
}
