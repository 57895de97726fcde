import { Cron } from "croner";
import { ValidationError } from "../errors.ts";
import { isError, reasonOf } from "../fs/io.ts";
import { parseDuration } from "./duration.ts";

/** When something is to run: a cron pattern in a time zone, or an interval. */
export interface Schedule {
  /** As it was written. */
  readonly text: string;
  /** The first moment after this one; milliseconds since 1970. */
  next(after: number): number;
  /** How far two runs lie apart, about: for what is overdue. Milliseconds. */
  readonly period: number;
}

const SHORTEST_MS = 1000;
/** No calendar has what is much later. */
const LONGEST_MS = 36_500 * 86_400_000;

/** More than two leap years: a pattern that does not fire within them, as of 30 February, never does. */
const FROM = Date.UTC(2024, 0, 1);

/**
 * Reads `0 2 * * *` (minute, hour, day, month, weekday; seconds may come first), `@daily`, or an interval as `6h`.
 *
 * On the day that summer time begins, what is to run in the hour that is missing runs once, when it would be; on the day
 * that it ends, what is to run in the hour that comes twice runs the first time alone. What is to run in every hour (`*`)
 * runs in every hour that there is.
 *
 * @param timeZone IANA name.
 * @throws ValidationError saying what is wrong: also for a pattern that never fires, and a zone that does not exist.
 */
export function parseSchedule(text: string, timeZone: string): Schedule {
  const interval = parseDuration(text);
  if (interval !== undefined) {
    if (interval < SHORTEST_MS) throw new ValidationError("An interval must be one second or more.");
    if (interval > LONGEST_MS) throw new ValidationError("An interval must be a hundred years or less.");
    return { text, next: (after) => after + interval, period: interval };
  }
  assertTimeZone(timeZone);
  const cron = parseCron(text, timeZone);
  const next = (after: number) => cron.nextRun(new Date(after))?.getTime();
  const first = next(FROM);
  const second = first === undefined ? undefined : next(first);
  if (first === undefined || second === undefined) {
    throw new ValidationError("The pattern never fires: its day does not exist, or its year is past.");
  }
  return {
    text,
    period: second - first,
    next: (after) => {
      const at = next(after);
      if (at === undefined) throw new ValidationError(`${text} will not fire again.`);
      return at;
    },
  };
}

/** @throws ValidationError */
export function assertTimeZone(timeZone: string): void {
  try {
    new Intl.DateTimeFormat("en", { timeZone });
  } catch (error) {
    if (!isError(error)) throw error;
    throw new ValidationError(
      `${JSON.stringify(timeZone)} is not a time zone; use an IANA name, such as Europe/Berlin or UTC.`,
    );
  }
}

const HOW =
  'Write minute, hour, day of the month, month and weekday, such as "0 2 * * *"; @daily; or an interval, such as 6h';

function parseCron(text: string, timezone: string): Cron {
  // What `?` stands for is when the process was started.
  if (text.includes("?")) throw new ValidationError(`A pattern has no "?". ${HOW}.`);
  const options = { timezone, paused: true, mode: "5-or-6-parts", fixedTimeRule: "no-wildcard" } as const;
  try {
    new Cron(text, options);
    return new Cron(withFixedTimes(text), options);
  } catch (error) {
    throw new ValidationError(`${reasonOf(error).replace(/^CronPattern: /, "")} ${HOW}.`, { cause: error });
  }
}

/**
 * The same pattern with its steps written out, where it does not run in every hour: croner takes steps for intervals, which it leaves
 * out in an hour that is missing and runs twice in one that comes twice.
 */
function withFixedTimes(text: string): string {
  const fields = text.trim().split(/\s+/);
  const hour = fields.at(-4);
  if (fields.length < 5 || hour === undefined || hour === "*" || hour === "*/1") return text;
  const times = fields.slice(0, -3).map((field, index, { length }) => {
    return index === length - 1 ? writtenOut(field, 23) : writtenOut(field, 59);
  });
  return [...times, ...fields.slice(-3)].join(" ");
}

function writtenOut(field: string, highest: number): string {
  return field
    .split(",")
    .map((part) => {
      const [, range = "", step = "1"] = /^(\*|\d+-\d+)(?:\/(\d+))?$/.exec(part) ?? [];
      if (range === "") return part;
      const [from = 0, to = highest] = range === "*" ? [] : range.split("-").map(Number);
      const values: number[] = [];
      for (let value = from; value <= to; value += Number(step)) values.push(value);
      return values.join(",");
    })
    .join(",");
}
