import { describe, expect, test } from "vitest";
import { jitterOf, nextDue } from "../../src/policy/due-times.ts";
import { parseDuration } from "../../src/policy/duration.ts";
import { parseSchedule } from "../../src/policy/run-schedule.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const at = (iso: string) => Date.parse(iso);

/** Every moment between two at which a schedule runs that has run until the first. */
function runs(pattern: string, zone: string, from: number, to: number): number[] {
  const schedule = parseSchedule(pattern, zone);
  const found: number[] = [];
  for (let next = schedule.next(from); next < to; next = schedule.next(next)) found.push(next);
  return found;
}

/** `03-29 02:30` on the wall of a zone. */
function onTheWall(zone: string, moment: number): string {
  const format = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "short" });
  return format.format(moment).slice(5);
}

// Four zones: Europe and America by an hour, Lord Howe by half of one, Santiago at midnight.
const ZONES = [
  {
    zone: "Europe/Berlin",
    spring: "2026-03-29T01:00:00Z",
    autumn: "2026-10-25T01:00:00Z",
    missing: "30 2",
    twice: "30 2",
    after: "03-29 03:00",
  },
  {
    zone: "America/New_York",
    spring: "2026-03-08T07:00:00Z",
    autumn: "2026-11-01T06:00:00Z",
    missing: "15 2",
    twice: "15 1",
    after: "03-08 03:00",
  },
  {
    zone: "Australia/Lord_Howe",
    spring: "2026-10-03T15:30:00Z",
    autumn: "2026-04-04T15:00:00Z",
    missing: "15 2",
    twice: "45 1",
    after: "10-04 02:30",
  },
  {
    zone: "America/Santiago",
    spring: "2026-09-06T04:00:00Z",
    autumn: "2026-04-05T03:00:00Z",
    missing: "0 0",
    twice: "30 23",
    after: "09-06 01:00",
  },
] as const;

describe.each(ZONES)("$zone", ({ zone, spring, autumn, missing, twice, after }) => {
  const around = (change: string, pattern: string) =>
    runs(pattern, zone, at(change) - 36 * HOUR, at(change) + 36 * HOUR);

  test("what is to run in the missing hour runs once, at its end", () => {
    const found = around(spring, `${missing} * * *`);
    expect(found).toHaveLength(3);
    expect(found.map((moment) => onTheWall(zone, moment))).toContain(after);
  });

  test("what is to run several times in the missing hour runs once then", () => {
    const [minute, hour] = missing.split(" ");
    const found = around(spring, `${minute},${Number(minute) + 1},${Number(minute) + 2} ${hour} * * *`);
    expect(found).toHaveLength(3 + 3 + 1);
    expect(new Set(found).size).toBe(found.length);
  });

  test("what is to run in the hour that comes twice runs the first time alone", () => {
    const found = around(autumn, `${twice} * * *`);
    expect(found).toHaveLength(3);
    const days = found.map((moment) => onTheWall(zone, moment).slice(0, 5));
    expect(new Set(days).size).toBe(3);
    expect(found.some((moment) => Math.abs(moment - at(autumn)) <= HOUR && moment < at(autumn))).toBe(true);
  });

  test("a pattern with steps runs as often as it says, on both days", () => {
    for (const change of [spring, autumn]) {
      const found = around(change, `${missing.split(" ")[0]} */2 * * *`);
      const days = Map.groupBy(found, (moment) => onTheWall(zone, moment).slice(0, 5));
      const changed = onTheWall(zone, at(change) - 1).slice(0, 5);
      const whole = [...days].filter(
        ([day]) => day === changed || day === onTheWall(zone, at(change)).slice(0, 5),
      );
      for (const [, moments] of whole.filter(([, list]) => list.length > 8)) expect(moments).toHaveLength(12);
      expect(whole.some(([, list]) => list.length === 12)).toBe(true);
    }
  });

  test("what is to run in every hour runs in every hour that there is", () => {
    for (const change of [spring, autumn]) {
      const found = runs("7 * * * *", zone, at(change) - DAY, at(change) + DAY);
      // Half an hour more or less is a run more or less.
      expect(found.length).toBeGreaterThanOrEqual(zone === "Australia/Lord_Howe" ? 47 : 48);
      expect(found.length).toBeLessThanOrEqual(zone === "Australia/Lord_Howe" ? 49 : 48);
    }
  });

  test("an interval takes no notice", () => {
    const found = around(spring, "6h");
    expect(found.map((moment, index) => moment - (found[index - 1] ?? moment - 6 * HOUR))).toEqual(
      Array(11).fill(6 * HOUR),
    );
  });
});

describe("patterns", () => {
  test.each([
    ["0 0 31 2 *", "never fires"],
    ["0 0 30 2 *", "never fires"],
    ["61 * * * *", "minute: 61"],
    ["0 0 * *", "minute, hour, day of the month"],
    ["0 0 1 1 * 2020", "Invalid value"],
    ["? * * * *", 'no "?"'],
    ["every day", "minute, hour"],
    ["500ms", "one second or more"],
    ["0s", "one second or more"],
  ])("%s is refused", (pattern, message) => {
    expect(() => parseSchedule(pattern, "UTC")).toThrow(message);
  });

  test("29 February fires, in leap years", () => {
    expect(runs("0 0 29 2 *", "UTC", at("2026-01-01T00:00:00Z"), at("2033-01-01T00:00:00Z"))).toEqual([
      at("2028-02-29T00:00:00Z"),
      at("2032-02-29T00:00:00Z"),
    ]);
  });

  test("seconds may come first", () => {
    expect(
      runs("*/20 0 0 * * *", "UTC", at("2026-01-01T00:00:00Z"), at("2026-01-01T12:00:00Z")),
    ).toHaveLength(2);
  });
});

test.each([
  ["90s", 90_000],
  ["15m", 900_000],
  ["6h", 6 * HOUR],
  ["1.5d", 36 * HOUR],
  ["2 w", 14 * DAY],
])("the time %s", (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

describe("when a schedule is due", () => {
  const daily = parseSchedule("0 2 * * *", "UTC");
  const due = (last: string | undefined, now: string) =>
    new Date(nextDue(daily, last === undefined ? undefined : at(last), at(now))).toISOString().slice(5, 16);

  test("never before: at once", () => {
    expect(due(undefined, "2026-05-05T12:00:00Z")).toBe("05-05T12:00");
  });

  test("missed, however often: once, at once", () => {
    expect(due("2026-05-01T02:00:00Z", "2026-05-05T12:00:00Z")).toBe("05-02T02:00");
    expect(due("2026-05-05T12:00:00Z", "2026-05-05T12:01:00Z")).toBe("05-06T02:00");
  });

  test("the clock went back over the last run: that is not run again", () => {
    expect(due("2026-05-05T02:00:03Z", "2026-05-05T01:10:00Z")).toBe("05-06T02:00");
    expect(due("2026-05-05T02:00:03Z", "2026-05-04T03:00:00Z")).toBe("05-06T02:00");
  });

  test("the clock went back by days: it goes by what the clock says now", () => {
    expect(due("2026-05-05T02:00:03Z", "2026-05-02T12:00:00Z")).toBe("05-03T02:00");
    expect(due("2036-05-05T02:00:03Z", "2026-05-02T12:00:00Z")).toBe("05-03T02:00");
  });

  test("an interval whose last run lies far ahead is due after its interval", () => {
    const hourly = parseSchedule("1h", "UTC");
    expect(nextDue(hourly, at("2026-05-05T00:00:00Z"), at("2026-05-02T00:00:00Z"))).toBe(
      at("2026-05-02T01:00:00Z"),
    );
  });

  test("jitter is the same for one policy and moment, below its limit, and spread", () => {
    const moment = at("2026-05-05T02:00:00Z");
    const found = Array.from({ length: 1000 }, (_, i) => jitterOf(`policy-${i}`, moment, 600_000));
    expect(jitterOf("policy-1", moment, 600_000)).toBe(found[1]);
    expect(Math.max(...found)).toBeLessThan(600_000);
    expect(Math.min(...found)).toBeGreaterThanOrEqual(0);
    const mean = found.reduce((sum, one) => sum + one, 0) / found.length;
    expect(Math.abs(mean - 300_000)).toBeLessThan(30_000);
    expect(jitterOf("policy-1", moment, 0)).toBe(0);
  });
});
