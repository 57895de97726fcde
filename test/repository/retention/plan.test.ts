import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { newestFirst } from "../../../src/engine/catalog/filter.ts";
import { calendar, isoWeek } from "../../../src/engine/retention/calendar.ts";
import { fallsBetween } from "../../../src/engine/retention/falls.ts";
import type { RetentionPolicy } from "../../../src/engine/retention/retention-policy.ts";
import { ValidationError } from "../../../src/errors.ts";
import { type Snapshot, tellingView } from "../../../src/sources/lancedb/snapshot-view.ts";
import { makeSnapshot, type SnapshotRequest } from "../fixture.ts";
import { planViewed as planRetention } from "../lance-parts.ts";

const NOW = new Date("2026-11-21T12:00:00Z");

const snapshotAt = (at: string, more: Partial<SnapshotRequest> = {}) =>
  makeSnapshot({ at, ...more }).snapshot;

/** What is kept, as `<time> <reason>, <reason>`, the newest first; and how many go. */
function planOf(times: readonly string[], policy: RetentionPolicy, now = NOW) {
  const plan = planRetention(
    times.map((at) => snapshotAt(at)),
    { timeZone: "UTC", ...policy },
    now,
  );
  expect(plan.keep.length + plan.remove.length).toBe(times.length);
  return {
    keep: plan.keep.map(({ snapshot, reasons }) => `${shortTime(snapshot)}: ${reasons.join(", ")}`),
    remove: plan.remove.map(({ snapshot, reason }) => `${shortTime(snapshot)}: ${reason}`),
  };
}

const shortTime = ({ createdAt }: Snapshot) => createdAt.toISOString().replace(/:00\.000Z$/, "");

const TIMES = [
  "2026-11-21T11:00:00Z", // Saturday
  "2026-11-21T10:30:00Z",
  "2026-11-21T10:00:00Z",
  "2026-11-20T23:00:00Z",
  "2026-11-20T01:00:00Z",
  "2026-11-15T12:00:00Z", // Sunday, the week before
  "2026-11-09T12:00:00Z", // Monday of the same week
  "2026-10-31T12:00:00Z",
  "2026-01-02T12:00:00Z",
  "2025-12-31T12:00:00Z",
  "2024-06-01T12:00:00Z",
];

describe("each rule by itself", () => {
  test("an empty policy keeps everything", () => {
    const { keep, remove } = planOf(TIMES, {});
    expect(remove).toEqual([]);
    expect(keep[0]).toBe("2026-11-21T11:00: no rule removes it, the newest of its source");
    expect(keep[1]).toBe("2026-11-21T10:30: no rule removes it");
  });

  test("keepLast: the newest", () => {
    expect(planOf(TIMES, { keepLast: 3 }).keep).toEqual([
      "2026-11-21T11:00: keepLast 1, the newest of its source",
      "2026-11-21T10:30: keepLast 2",
      "2026-11-21T10:00: keepLast 3",
    ]);
    expect(planOf(TIMES, { keepLast: 100 }).remove).toEqual([]);
  });

  test("keepHourly: the newest of each hour that has one", () => {
    expect(planOf(TIMES, { keepHourly: 3 }).keep).toEqual([
      "2026-11-21T11:00: keepHourly 2026-11-21 11:00 GMT+00:00, the newest of its source",
      "2026-11-21T10:30: keepHourly 2026-11-21 10:00 GMT+00:00",
      "2026-11-20T23:00: keepHourly 2026-11-20 23:00 GMT+00:00",
    ]);
  });

  test("keepDaily: the newest of each day that has one", () => {
    expect(planOf(TIMES, { keepDaily: 4 })).toEqual({
      keep: [
        "2026-11-21T11:00: keepDaily 2026-11-21, the newest of its source",
        "2026-11-20T23:00: keepDaily 2026-11-20",
        "2026-11-15T12:00: keepDaily 2026-11-15",
        "2026-11-09T12:00: keepDaily 2026-11-09",
      ],
      remove: [
        "2026-11-21T10:30: no rule keeps it",
        "2026-11-21T10:00: no rule keeps it",
        "2026-11-20T01:00: no rule keeps it",
        "2026-10-31T12:00: no rule keeps it",
        "2026-01-02T12:00: no rule keeps it",
        "2025-12-31T12:00: no rule keeps it",
        "2024-06-01T12:00: no rule keeps it",
      ],
    });
  });

  test("keepWeekly: weeks begin on Monday, and cross the year's end", () => {
    expect(planOf(TIMES, { keepWeekly: 10 }).keep).toEqual([
      "2026-11-21T11:00: keepWeekly 2026-W47, the newest of its source",
      "2026-11-15T12:00: keepWeekly 2026-W46",
      "2026-10-31T12:00: keepWeekly 2026-W44",
      "2026-01-02T12:00: keepWeekly 2026-W01",
      "2024-06-01T12:00: keepWeekly 2024-W22",
    ]);
  });

  test("keepMonthly and keepYearly", () => {
    expect(planOf(TIMES, { keepMonthly: 4 }).keep).toEqual([
      "2026-11-21T11:00: keepMonthly 2026-11, the newest of its source",
      "2026-10-31T12:00: keepMonthly 2026-10",
      "2026-01-02T12:00: keepMonthly 2026-01",
      "2025-12-31T12:00: keepMonthly 2025-12",
    ]);
    expect(planOf(TIMES, { keepYearly: 2 }).keep).toEqual([
      "2026-11-21T11:00: keepYearly 2026, the newest of its source",
      "2025-12-31T12:00: keepYearly 2025",
    ]);
  });

  test("maxAgeDays: removes what is older to the millisecond, but never the newest", () => {
    const times = ["2026-11-14T12:00:00.000Z", "2026-11-14T11:59:59.999Z", "2020-01-01T00:00:00Z"];
    expect(planOf(times, { maxAgeDays: 7 })).toEqual({
      keep: ["2026-11-14T12:00: no rule removes it, the newest of its source"],
      remove: [
        "2026-11-14T11:59:59.999Z: maxAgeDays 7: it is older",
        "2020-01-01T00:00: maxAgeDays 7: it is older",
      ],
    });
    expect(planOf(["2020-01-01T00:00:00Z"], { maxAgeDays: 0.5 }).keep).toHaveLength(1);
  });

  test("maxBackups: at most so many, the newest", () => {
    expect(planOf(TIMES, { maxBackups: 2 })).toMatchObject({
      keep: [
        "2026-11-21T11:00: no rule removes it, the newest of its source",
        "2026-11-21T10:30: no rule removes it",
      ],
      remove: expect.arrayContaining(["2024-06-01T12:00: maxBackups 2: enough newer ones are kept"]),
    });
  });
});

describe("rules together", () => {
  test("a snapshot that one of them keeps is kept, with every reason", () => {
    expect(
      planOf(TIMES, { keepLast: 2, keepDaily: 2, keepWeekly: 2, keepMonthly: 2, keepYearly: 3 }).keep,
    ).toEqual([
      "2026-11-21T11:00: keepLast 1, keepDaily 2026-11-21, keepWeekly 2026-W47, keepMonthly 2026-11, keepYearly 2026, the newest of its source",
      "2026-11-21T10:30: keepLast 2",
      "2026-11-20T23:00: keepDaily 2026-11-20",
      "2026-11-15T12:00: keepWeekly 2026-W46",
      "2026-10-31T12:00: keepMonthly 2026-10",
      "2025-12-31T12:00: keepYearly 2025",
      "2024-06-01T12:00: keepYearly 2024",
    ]);
  });

  test("limits remove what rules keep", () => {
    expect(planOf(TIMES, { keepMonthly: 12, maxAgeDays: 365, maxBackups: 2 })).toMatchObject({
      keep: [
        "2026-11-21T11:00: keepMonthly 2026-11, the newest of its source",
        "2026-10-31T12:00: keepMonthly 2026-10",
      ],
      remove: expect.arrayContaining([
        "2026-01-02T12:00: maxBackups 2: enough newer ones are kept",
        "2025-12-31T12:00: maxBackups 2: enough newer ones are kept",
        "2024-06-01T12:00: maxAgeDays 365: it is older",
        "2026-11-21T10:30: no rule keeps it",
      ]),
    });
  });

  test("keepTags stand above rules and limits, do not count, and remove nothing by themselves", () => {
    const tagged = snapshotAt("2020-01-01T00:00:00Z", { tags: ["release", "x"] });
    const others = TIMES.map((at) => snapshotAt(at, { tags: ["x"] }));
    const all = [...others, tagged];
    expect(planRetention(all, { keepTags: ["release"] }, NOW).remove).toEqual([]);
    const { keep } = planRetention(all, { keepTags: ["release", "none"], maxAgeDays: 1, maxBackups: 2 }, NOW);
    expect(keep.map(({ snapshot }) => snapshot)).toEqual([others[0], others[1], tagged]);
    expect(keep[2]?.reasons).toEqual(["keepTags release"]);
  });

  test("each source by itself", () => {
    const a = TIMES.map((at) => snapshotAt(at, { uri: "/a" }));
    const b = snapshotAt("2001-01-01T00:00:00Z", { uri: "/b" });
    const elsewhere = snapshotAt("2002-01-01T00:00:00Z", { uri: "/b", host: "there" });
    const { keep } = planRetention([b, ...a, elsewhere], { keepLast: 1, maxAgeDays: 1, maxBackups: 1 }, NOW);
    expect(keep.map(({ snapshot }) => snapshot)).toEqual([a[0], elsewhere, b]);
  });

  test("what lies in the future is kept, and takes no place", () => {
    expect(planOf(["2099-01-01T00:00:00Z", ...TIMES], { keepLast: 1, maxBackups: 1 }).keep).toEqual([
      "2099-01-01T00:00: its time lies in the future",
      "2026-11-21T11:00: keepLast 1, the newest of its source",
    ]);
  });

  test("of one moment the greatest id is the newest", () => {
    const twins = Array.from({ length: 5 }, () => snapshotAt("2026-01-01T00:00:00Z"));
    const { keep } = planRetention(twins, { keepLast: 1 }, NOW);
    const greatest = twins
      .map(({ id }) => id)
      .sort()
      .at(-1);
    expect(keep.map(({ snapshot }) => snapshot.id)).toEqual([greatest]);
  });
});

describe("calendars", () => {
  test("the day is that of the zone", () => {
    const times = ["2026-11-20T22:30:00Z", "2026-11-20T23:30:00Z", "2026-11-21T01:00:00Z"];
    expect(planOf(times, { keepDaily: 9, timeZone: "Europe/Berlin" }).keep).toEqual([
      "2026-11-21T01:00: keepDaily 2026-11-21, the newest of its source",
      "2026-11-20T22:30: keepDaily 2026-11-20",
    ]);
  });

  test("Europe/Berlin, 2026-10-25: the hour from 2 to 3 comes twice, and is two hours", () => {
    const times = [
      "2026-10-24T23:30:00Z",
      "2026-10-25T00:15:00Z",
      "2026-10-25T00:45:00Z",
      "2026-10-25T01:15:00Z",
    ];
    expect(planOf(times, { keepHourly: 9, timeZone: "Europe/Berlin" }).keep).toEqual([
      "2026-10-25T01:15: keepHourly 2026-10-25 02:00 GMT+01:00, the newest of its source",
      "2026-10-25T00:45: keepHourly 2026-10-25 02:00 GMT+02:00",
      "2026-10-24T23:30: keepHourly 2026-10-25 01:00 GMT+02:00",
    ]);
  });

  test("America/New_York, 2026-03-08: the hour from 2 to 3 is left out, and the day has 23", () => {
    const times = Array.from({ length: 26 }, (_, i) =>
      new Date(Date.UTC(2026, 2, 8, 4 + i, 30)).toISOString(),
    );
    const { keep } = planOf(times, { keepDaily: 9, timeZone: "America/New_York" });
    expect(keep).toEqual([
      "2026-03-09T05:30: keepDaily 2026-03-09, the newest of its source",
      "2026-03-09T03:30: keepDaily 2026-03-08",
      "2026-03-08T04:30: keepDaily 2026-03-07",
    ]);
    const hours = planOf(times, { keepHourly: 99, timeZone: "America/New_York" }).keep.join("\n");
    expect(hours).not.toContain("2026-03-08 02:00");
    expect(hours.match(/keepHourly 2026-03-08/g)).toHaveLength(23);
  });

  test("Asia/Kolkata: hours and days begin at half past", () => {
    const times = ["2026-11-20T18:29:00Z", "2026-11-20T18:31:00Z", "2026-11-20T19:29:00Z"];
    expect(planOf(times, { keepHourly: 9, keepDaily: 9, timeZone: "Asia/Kolkata" }).keep).toEqual([
      "2026-11-20T19:29: keepHourly 2026-11-21 00:00 GMT+05:30, keepDaily 2026-11-21, the newest of its source",
      "2026-11-20T18:29: keepHourly 2026-11-20 23:00 GMT+05:30, keepDaily 2026-11-20",
    ]);
  });

  test("Australia/Lord_Howe sets its clock by half an hour", () => {
    const times = ["2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z", "2026-04-04T15:45:00Z"];
    expect(planOf(times, { keepHourly: 9, timeZone: "Australia/Lord_Howe" }).keep).toEqual([
      "2026-04-04T15:45: keepHourly 2026-04-05 02:00 GMT+10:30, the newest of its source",
      "2026-04-04T15:15: keepHourly 2026-04-05 01:00 GMT+10:30",
      "2026-04-04T14:45: keepHourly 2026-04-05 01:00 GMT+11:00",
    ]);
  });

  test("Pacific/Apia left 2011-12-30 out", () => {
    const times = [
      "2011-12-29T12:00:00Z",
      "2011-12-30T09:59:00Z",
      "2011-12-30T10:00:00Z",
      "2011-12-31T12:00:00Z",
    ];
    expect(planOf(times, { keepDaily: 9, timeZone: "Pacific/Apia" }).keep).toEqual([
      "2011-12-31T12:00: keepDaily 2012-01-01, the newest of its source",
      "2011-12-30T10:00: keepDaily 2011-12-31",
      "2011-12-30T09:59: keepDaily 2011-12-29",
    ]);
  });

  test("America/St_Johns set its clock back just after midnight: a day may come twice", () => {
    const times = [
      "2010-11-07T02:30:30Z",
      "2010-11-07T02:45:00Z",
      "2010-11-07T02:00:00Z",
      "2010-11-07T12:00:00Z",
    ];
    expect(planOf(times, { keepDaily: 9, timeZone: "America/St_Johns" }).keep).toEqual([
      "2010-11-07T12:00: keepDaily 2010-11-07, the newest of its source",
      "2010-11-07T02:45: keepDaily 2010-11-06",
    ]);
  });

  test.each([
    [2024, 12, 29, "2024-W52"],
    [2024, 12, 30, "2025-W01"],
    [2026, 12, 31, "2026-W53"],
    [2027, 1, 3, "2026-W53"],
    [2027, 1, 4, "2027-W01"],
    [2020, 12, 31, "2020-W53"],
    [2021, 1, 3, "2020-W53"],
    [2023, 1, 1, "2022-W52"],
    [2018, 12, 31, "2019-W01"],
    [2016, 1, 3, "2015-W53"],
    [2000, 2, 29, "2000-W09"],
  ])("the ISO week of %i-%i-%i is %s", (year, month, day, week) => {
    expect(isoWeek(year, month, day)).toBe(week);
  });

  test("a year's end by the zone's clock", () => {
    const of = calendar("America/New_York");
    expect(of(new Date("2027-01-01T04:59:59Z"))).toMatchObject({
      keepYearly: "2026",
      keepMonthly: "2026-12",
    });
    expect(of(new Date("2027-01-01T05:00:00Z"))).toMatchObject({
      keepYearly: "2027",
      keepWeekly: "2026-W53",
    });
  });

  test("without a zone it is the machine's", () => {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    expect(calendar(undefined)(NOW)).toEqual(calendar(zone)(NOW));
  });
});

test("whatever the policy: nothing is lost, the newest stays, more is kept where more is asked for", () => {
  const count = fc.option(fc.integer({ min: 1, max: 6 }), { nil: undefined });
  const policies = fc.record({
    keepLast: count,
    keepHourly: count,
    keepDaily: count,
    keepWeekly: count,
    keepMonthly: count,
    keepYearly: count,
    maxAgeDays: fc.option(fc.double({ min: 0.01, max: 2000, noNaN: true }), { nil: undefined }),
    maxBackups: count,
    keepTags: fc.option(fc.constant(["t"]), { nil: undefined }),
    timeZone: fc.constantFrom("UTC", "Europe/Berlin", "Pacific/Apia", "America/St_Johns"),
  });
  const snapshots = fc.array(
    fc.record({
      at: fc.integer({ min: Date.UTC(2010, 0), max: NOW.getTime() + 1e9 }),
      uri: fc.constantFrom("/a", "/b"),
      tags: fc.constantFrom([], ["t"]),
      rows: fc.constantFrom(10, 10, 0, 100, 300, 1000),
    }),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(snapshots, policies, (requests, policy) => {
      const all = requests.map((request) => makeSnapshot(request).snapshot);
      const { keep, remove } = planRetention(all, policy, NOW);
      const kept = new Set(keep.map(({ snapshot }) => snapshot));
      expect(keep.every(({ reasons }) => reasons.length > 0)).toBe(true);
      expect(new Set([...kept, ...remove.map(({ snapshot }) => snapshot)])).toEqual(new Set(all));
      expect(keep.length + remove.length).toBe(all.length);
      for (const uri of ["/a", "/b"]) {
        const past = all.filter(({ source, createdAt }) => source.uri === uri && createdAt <= NOW);
        if (past.length > 0) expect(past.some((snapshot) => kept.has(snapshot))).toBe(true);
      }
      if (policy.keepTags) for (const { snapshot } of remove) expect(snapshot.tags).toEqual([]);
      expect(planRetention([...all].reverse(), policy, NOW)).toEqual({ keep, remove });
      // Pruned again, nothing more goes; nor, by any policy, the last one from before the rows fell.
      expect(planRetention([...kept], policy, NOW).remove).toEqual([]);
      const before = (list: readonly Snapshot[]) =>
        new Set(
          ["/a", "/b"].flatMap((uri) => {
            const mine = list.filter(({ source, createdAt }) => source.uri === uri && createdAt <= NOW);
            return fallsBetween(mine.sort(newestFirst).reverse().map(tellingView)).map(
              (fall) => fall.before.id,
            );
          }),
        );
      const left = planRetention([...kept], { keepLast: 1 }, NOW).keep.map(({ snapshot }) => snapshot.id);
      for (const id of before(all)) expect(left).toContain(id);
    }),
    { numRuns: process.env["NIGHTLY"] === "1" ? 5000 : 300 },
  );
});

test.each([
  [{ keepDaly: 3 }, ValidationError],
  [{ keepLast: 0 }, ValidationError],
  [{ keepDaily: -1 }, ValidationError],
  [{ keepWeekly: 1.5 }, ValidationError],
  [{ maxBackups: Number.NaN }, ValidationError],
  [{ maxAgeDays: 0 }, ValidationError],
  [{ maxAgeDays: Number.NaN }, ValidationError],
  [{ timeZone: "Europe/Atlantis" }, ValidationError],
  [{ keepLast: "3" }, TypeError],
  [{ keepTags: "x" }, TypeError],
  [{ timeZone: 1 }, TypeError],
  [null, TypeError],
])("the policy %j is refused", (policy, wanted) => {
  expect(() => planRetention([], policy as never, NOW)).toThrow(wanted);
});
