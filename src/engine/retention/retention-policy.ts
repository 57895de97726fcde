import { ValidationError } from "../../errors.ts";
import { assertLabel } from "../format/names.ts";

/**
 * Which snapshots are kept. It is applied to the snapshots of each source, by its id, by themselves, so that
 * two databases in one repository do not push each other out.
 *
 * Each `keep…` rule with a number keeps what it says, and a snapshot that one of them keeps is kept. Without such a
 * rule every snapshot is kept. Then the limits `maxAgeDays` and `maxBackups` remove what is beyond them, also where
 * a rule keeps it. Never removed are: the newest snapshot of a source; those that are pinned, or have one of `keepTags`; those whose
 * time lies in the future; and the last one from before a table fell, which is gone since or lost more than half of 100
 * rows or more and has not had as many again (with the first one after it, where no other that stays would show the fall). (Those of the future and of falls fill no place
 * of a rule, either: neither a clock that was wrong nor a database that was wiped pushes anything out.)
 */
export interface RetentionPolicy {
  /** How many of the newest to keep. */
  readonly keepLast?: number | undefined;
  /** The newest of each of the last so many hours, of the clock on the wall in `timeZone`, that have one. */
  readonly keepHourly?: number | undefined;
  /** The newest of each of the last so many calendar days that have one. */
  readonly keepDaily?: number | undefined;
  /** The same for ISO weeks, which begin on Monday. */
  readonly keepWeekly?: number | undefined;
  readonly keepMonthly?: number | undefined;
  readonly keepYearly?: number | undefined;
  /** Snapshots with any of these tags stay, and do not count for `maxBackups`. By itself this removes nothing. */
  readonly keepTags?: readonly string[] | undefined;
  /** Snapshots older than so many times 24 hours are removed. Fractions too. */
  readonly maxAgeDays?: number | undefined;
  /** At most so many stay of a source: the newest of those that are left. */
  readonly maxBackups?: number | undefined;
  /** Snapshots of this name alone are ruled; all others stay. Default: all are. */
  readonly name?: string | undefined;
  /** IANA name of the zone whose calendar counts: `Europe/Berlin`. Default: the machine's. */
  readonly timeZone?: string | undefined;
}

/** Rules that keep a number of snapshots. */
export const KEEP_RULES = [
  "keepLast",
  "keepHourly",
  "keepDaily",
  "keepWeekly",
  "keepMonthly",
  "keepYearly",
] as const;

export type KeepRule = (typeof KEEP_RULES)[number];

const KEYS: ReadonlySet<string> = new Set([
  ...KEEP_RULES,
  ...(["keepTags", "maxAgeDays", "maxBackups", "name", "timeZone"] satisfies (keyof RetentionPolicy)[]),
]);

/**
 * A rule that is misspelt would remove what it was to keep: unknown members are refused.
 *
 * @throws ValidationError, TypeError
 */
export function assertPolicy(policy: RetentionPolicy): void {
  if (typeof policy !== "object" || policy === null) throw new TypeError("A policy must be an object.");
  for (const key of Object.keys(policy)) {
    if (!KEYS.has(key)) {
      throw new ValidationError(`A retention policy has no ${key}: it has ${[...KEYS].join(", ")}.`);
    }
  }
  for (const key of [...KEEP_RULES, "maxBackups"] as const) assertCount(key, policy[key]);
  const { keepTags, maxAgeDays, name, timeZone } = policy;
  if (name !== undefined) assertLabel(name, "name");
  if (maxAgeDays !== undefined) {
    if (typeof maxAgeDays !== "number") throw new TypeError("maxAgeDays must be a number.");
    if (!(maxAgeDays > 0)) throw new ValidationError(`maxAgeDays must be above 0, not ${maxAgeDays}.`);
  }
  if (
    keepTags !== undefined &&
    !(Array.isArray(keepTags) && keepTags.every((tag) => typeof tag === "string"))
  ) {
    throw new TypeError("keepTags must be an array of strings.");
  }
  if (timeZone !== undefined) assertTimeZone(timeZone);
}

function assertCount(key: string, value: unknown): void {
  if (value === undefined) return;
  if (typeof value !== "number") throw new TypeError(`${key} must be a number.`);
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new ValidationError(
      `${key} must be a whole number from 1, not ${value}. Leave it out for no such rule.`,
    );
  }
}

function assertTimeZone(timeZone: unknown): void {
  if (typeof timeZone !== "string") throw new TypeError("timeZone must be a string.");
  try {
    new Intl.DateTimeFormat("en", { timeZone });
  } catch (error) {
    throw new ValidationError(
      `${JSON.stringify(timeZone)} is not a time zone; use one such as Europe/Berlin or UTC.`,
      {
        cause: error,
      },
    );
  }
}
