import { existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import {
  BackupService,
  LockedError,
  loadPolicies,
  Repository,
  type RunReport,
  ValidationError,
  type WorkUnderWay,
} from "../../src/index.ts";
import { jitterOf } from "../../src/policy/due-times.ts";
import { OpenRepositories } from "../../src/policy/policy-repository.ts";
import { hasSourcesOf, sourceKeysOf } from "../../src/policy/policy-sources.ts";
import { PolicyTurn } from "../../src/policy/policy-turn.ts";
import { newDirectory, recordingLogger } from "../support/database.ts";
import { writePolicies } from "../support/policies.ts";
import { TestClock } from "../support/test-clock.ts";

/** A configuration, a database, and a place for the repository, in a temporary directory. */
async function newPlace() {
  const directory = await newDirectory();
  const database = join(directory, "db");
  const db = await connect(database);
  const table = await db.createTable("t", [{ id: 1 }]);
  const { logger, logged } = recordingLogger();
  let clock: TestClock | undefined;
  const vault = join(directory, "vault");
  const service = async (
    policies: string | string[],
    options: { at?: string; defaults?: string; stateDirectory?: string } = {},
  ) => {
    const file = writePolicies(directory, { defaults: options.defaults ?? [], policies });
    const set = await loadPolicies(file);
    clock = new TestClock(options.at);
    const { stateDirectory } = options;
    const made = new BackupService(set, { logger, clock, ...(stateDirectory && { stateDirectory }) });
    onTestFinished(() => made.stop());
    const reports: RunReport[] = [];
    made.onRun((report) => void reports.push(report));
    return { service: made, clock, reports };
  };
  const addRow = (id: number) => table.add([{ id }]);
  const snapshots = async () => (await Repository.open(vault, { logger })).list();
  return { directory, database, vault, logged, logger, service, addRow, snapshots };
}

const SOURCE = "sources: [{ type: lancedb, path: DB }]";
const policy = (place: { database: string }, name: string, rest: string) =>
  `${name}: { ${SOURCE.replace("DB", place.database)}, ${rest} }`;

/** What tells the runs of such a policy. */
const runsOf = (place: { database: string }, name: string) => ({
  policy: name,
  sources: sourceKeysOf([{ type: "lancedb", path: place.database }]),
});

/** Lets the service begin what is due, and waits until nothing runs. */
async function settle(service: BackupService, clock: TestClock): Promise<void> {
  await service.status();
  await clock.pass(1000, 0);
  while ((await service.status()).some(({ running }) => running)) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** So many quarters of an hour go by, and whatever is due is done in each. */
const quarters = (service: BackupService, clock: TestClock, count: number) =>
  steps(service, clock, count, 15);

async function steps(service: BackupService, clock: TestClock, count: number, minutes: number) {
  for (let index = 0; index < count; index++) {
    clock.sleep(minutes * 60_000 - 1000);
    await settle(service, clock);
  }
}

describe("run", () => {
  test("backs up into a repository that it makes, names the snapshot by the policy, and removes old ones", async () => {
    const place = await newPlace();
    const { service } = await place.service(
      policy(
        place,
        "one",
        "tags: [nightly], schedule: { full: 1d, incremental: 1h }, retention: { keep_last: 2 }",
      ),
      { defaults: "compression: { algorithm: zstd, level: 3 }" },
    );
    const first = await service.run("one");
    expect(first).toMatchObject({ policy: "one", type: "full", outcome: "success", attempts: 1 });
    expect(first.snapshot).toMatchObject({ name: "one", tags: ["nightly", "full"] });
    for (const id of [2, 3]) {
      await place.addRow(id);
      const report = await service.run("one", "incremental");
      expect(report.snapshot?.tags).toEqual(["nightly"]);
      expect(report.outcome).toBe("success");
    }
    const kept = await place.snapshots();
    expect(kept).toHaveLength(2);
    expect(kept.map(({ rows }) => rows)).toEqual([3, 2]);
  });

  test("tells what it is at, and does a verification or a prune alone when it is asked to", async () => {
    const place = await newPlace();
    const { service, reports } = await place.service(
      policy(place, "one", "schedule: { full: 1d }, retention: { keep_last: 1 }"),
    );
    const told: WorkUnderWay[] = [];
    let last: readonly WorkUnderWay[] = [];
    const end = service.onWork((work) => {
      last = work;
      told.push(...work);
    });
    await service.run("one");
    expect(told[0]).toMatchObject({ policy: "one", type: "full", step: "backup" });
    expect(new Set(told.map(({ step }) => step))).toEqual(new Set(["backup", "prune"]));
    expect(told.some(({ progress }) => (progress?.bytes ?? 0) > 0)).toBe(true);
    expect([last, service.work]).toEqual([[], []]);

    told.length = 0;
    await place.addRow(2);
    const verified = await service.runOnly("one", "verify");
    expect(verified).toMatchObject({ outcome: "success", type: undefined });
    expect(verified.prune).toBeUndefined();
    expect(verified.verification?.every(({ ok }) => ok)).toBe(true);
    expect(new Set(told.map(({ step }) => step))).toEqual(new Set(["verify"]));
    expect((await service.runOnly("one", "prune")).prune).toMatchObject({ removed: [] });
    expect(reports).toHaveLength(3);
    expect(await place.snapshots()).toHaveLength(1);

    end();
    told.length = 0;
    await service.runOnly("one", "verify");
    expect(told).toEqual([]);
    await expect(service.runOnly("two", "verify")).rejects.toThrow(ValidationError);
    await expect(service.runOnly("one", "backup" as never)).rejects.toThrow(ValidationError);
    expect((await service.repository("one")).location).toBe(place.vault);
    await expect(service.repository("two")).rejects.toThrow(ValidationError);
  });

  test("a policy's rules leave the snapshots of other policies alone", async () => {
    const place = await newPlace();
    const { service } = await place.service([
      policy(place, "few", "schedule: { full: 1d }, retention: { keep_last: 1 }"),
      policy(place, "many", "schedule: { full: 1d }"),
    ]);
    for (const name of ["many", "many", "few", "few"]) await service.run(name);
    const names = (await place.snapshots()).map(({ name }) => name);
    expect(names).toEqual(["few", "many", "many"]);
  });

  test("the audit log of their repository records of each policy what that says", async () => {
    const place = await newPlace();
    const { service } = await place.service(
      [
        policy(place, "silent", "schedule: { full: 1d }"),
        policy(place, "told", "schedule: { full: 1d }, audit: all"),
      ],
      { defaults: "audit: off" },
    );
    for (const name of ["silent", "told", "silent"]) await service.run(name);
    const entries = await (await Repository.open(place.vault, { logger: place.logger })).audit();
    expect(entries.map(({ details }) => details["name"])).toEqual(["told"]);
  });

  test("what fails is in the report; what cannot get better is not tried again", async () => {
    const place = await newPlace();
    const { service, reports } = await place.service(
      policy(
        { database: join(place.directory, "nowhere") },
        "one",
        "schedule: { full: 1d, retry_window: 1m }",
      ),
    );
    const report = await service.run("one");
    expect(report).toMatchObject({ outcome: "failure", attempts: 1, error: expect.any(ValidationError) });
    expect(reports).toEqual([report]);
    const [status] = await service.status();
    expect(status).toMatchObject({
      overdue: true,
      consecutiveFailures: 1,
      lastError: (report.error as Error).message,
    });
  });

  test("what may get better is tried again, with pauses, within its window", async () => {
    const place = await newPlace();
    const { service } = await place.service(
      policy(place, "one", "schedule: { full: 1d, retry_window: 20s }"),
    );
    expect((await service.run("one")).outcome).toBe("success");
    // Away is an IoError: the disk may be mounted again.
    renameSync(place.vault, `${place.vault}-away`);
    const running = service.run("one");
    const retried = () => place.logged.filter(({ message }) => message.includes("is tried again"));
    while (retried().length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    renameSync(`${place.vault}-away`, place.vault);
    const report = await running;
    expect(report.outcome).toBe("success");
    expect(report.attempts).toBeGreaterThan(1);
  });

  test("what waits to be tried again keeps no other policy waiting, and stops at once", async () => {
    const place = await newPlace();
    const { service, reports } = await place.service(
      [
        `away: { sources: [{ type: command, name: x, command: ["false"] }], schedule: { full: 1d } }`,
        policy(place, "good", "schedule: { full: 1d }"),
      ],
      { defaults: "scheduling: { concurrency: 1, retry_window: 1h }" },
    );
    void service.run("away");
    expect((await service.run("good")).outcome).toBe("success");
    expect(reports.map((report) => report.policy)).toEqual(["good"]);
    await service.stop();
    expect(reports[1]).toMatchObject({ policy: "away", outcome: "aborted", attempts: expect.any(Number) });
  });

  test("two runs of a policy follow one another", async () => {
    const place = await newPlace();
    const { service, reports } = await place.service(policy(place, "one", "schedule: { full: 1d }"));
    await Promise.all([service.run("one"), service.run("one"), service.run("one")]);
    expect(reports).toHaveLength(3);
    const snapshots = reports.map(({ snapshot }) => snapshot);
    for (const [index, snapshot] of snapshots.entries()) {
      const before = snapshots[index - 1];
      if (!before || !snapshot) continue;
      expect(snapshot.createdAt.getTime()).toBeGreaterThanOrEqual(
        before.createdAt.getTime() + before.durationMs - 1,
      );
    }
  });

  test("a policy that somebody else runs is left out, or waited for by a service that has begun", async () => {
    const place = await newPlace();
    const { service } = await place.service(policy(place, "one", "schedule: { full: 1d }"));
    const vault = await Repository.init(place.vault, { logger: place.logger });
    const other = await vault.holdPolicy(runsOf(place, "two"), {});
    const held = await vault.holdPolicy(runsOf(place, "one"), {});
    for (const report of [await service.run("one"), await service.runOnly("one", "verify")]) {
      expect(report).toMatchObject({ outcome: "skipped", attempts: report.attempts });
      expect(report.error).toMatchObject({
        code: "LOCKED",
        message: expect.stringMatching(
          new RegExp(`^It is being run by process ${process.pid} on .*, since 2`),
        ),
      });
    }
    expect(await place.snapshots()).toEqual([]);
    service.start();
    await service.status();
    const asked = service.run("one");
    await new Promise((resolve) => setTimeout(resolve, 2500));
    expect(await place.snapshots()).toEqual([]);
    await held.release();
    expect(await asked).toMatchObject({ outcome: "success" });
    await other.release();
    expect(await vault.leases()).toEqual([]);
  });

  test("a policy that does not exist, and a type that does not, are refused", async () => {
    const place = await newPlace();
    const { service } = await place.service(policy(place, "one", "schedule: { full: 1d }"));
    await expect(service.run("two")).rejects.toThrow('There is no policy "two". There are one.');
    await expect(service.run("one", "half" as never)).rejects.toThrow(ValidationError);
  });

  test("a verification that is due finds damage, which makes the run a failure", async () => {
    const place = await newPlace();
    const { service, clock, reports } = await place.service(
      policy(place, "one", "schedule: { full: 30d }, verification: { schedule: 1h, restore_test: true }"),
    );
    service.start();
    await quarters(service, clock, 5);
    expect(reports.map(({ type, outcome }) => [type, outcome])).toEqual([
      ["full", "success"],
      [undefined, "success"],
    ]);
    expect(reports[1]?.verification?.map(({ ok }) => ok)).not.toContain(false);
    renameSync(join(place.vault, "blobs"), join(place.vault, "no-blobs"));
    mkdirSync(join(place.vault, "blobs"));
    await quarters(service, clock, 4);
    expect(reports[2]).toMatchObject({ outcome: "failure" });
    const [status] = await service.status();
    expect(status).toMatchObject({ lastVerify: { ok: false }, consecutiveFailures: 1 });
  });
});

test("run by hand, it verifies where that was due since the newest snapshot", async () => {
  const place = await newPlace();
  const yaml = policy(place, "one", "schedule: { full: 1d }, verification: { schedule: 1d }");
  const later = (hours: number) => ({ at: new Date(Date.now() + hours * 3_600_000).toISOString() });
  const run = async (hours: number) => (await place.service(yaml, later(hours))).service.run("one");
  expect((await run(0)).verification).toBeUndefined();
  expect((await run(23)).verification).toBeUndefined();
  expect((await run(25)).verification?.length).toBeGreaterThan(0);
});

describe("a repository that is not there", () => {
  test("is not made in an empty directory, where a disk may be missing; create: true makes it", async () => {
    const place = await newPlace();
    mkdirSync(place.vault);
    const { service } = await place.service(policy(place, "one", "schedule: { full: 1d }"));
    expect((await service.run("one")).error).toMatchObject({
      message: expect.stringContaining("is its disk mounted?"),
    });
    const willing = await place.service(
      policy(place, "one", "schedule: { full: 1d }, storage: { create: true }"),
    );
    expect((await willing.service.run("one")).outcome).toBe("success");
  });

  test("is not made where the policy forbids it, nor by status", async () => {
    const place = await newPlace();
    const { service } = await place.service(
      policy(place, "one", "schedule: { full: 1d }, storage: { create: false }"),
    );
    const [status] = await service.status();
    expect(status).toMatchObject({
      overdue: true,
      reason: expect.stringContaining("There is no repository"),
    });
    expect((await service.run("one")).outcome).toBe("failure");
    expect(existsSync(place.vault)).toBe(false);
  });
});

describe("by its schedule", () => {
  test("runs a new policy at once, a full one in place of both, and then each when it is due", async () => {
    const place = await newPlace();
    const { service, clock, reports } = await place.service(
      policy(place, "one", 'schedule: { full: "0 0 * * *", incremental: "0 */6 * * *" }'),
      { at: "2026-11-05T12:30:00Z" },
    );
    service.start();
    await settle(service, clock);
    await quarters(service, clock, 4 * 24);
    expect(reports.map(({ type, startedAt }) => `${startedAt.toISOString().slice(8, 13)} ${type}`)).toEqual([
      "05T12 full",
      "05T18 incremental",
      "06T00 full",
      "06T06 incremental",
      "06T12 incremental",
    ]);
    expect(reports.every(({ outcome }) => outcome === "success")).toBe(true);
  });

  test("makes up once what it slept through, and what it missed while it was off", async () => {
    const place = await newPlace();
    const first = await place.service(policy(place, "one", 'schedule: { full: "0 2 * * *" }'), {
      at: "2026-11-05T12:00:00Z",
    });
    first.service.start();
    await settle(first.service, first.clock);
    expect(first.reports).toHaveLength(1);
    first.clock.sleep(5 * 86_400_000);
    await settle(first.service, first.clock);
    await quarters(first.service, first.clock, 8);
    expect(first.reports).toHaveLength(2);
    await first.service.stop();
    // Snapshots have the time of the machine, which the next service goes by.
    const second = await place.service(policy(place, "one", 'schedule: { full: "0 2 * * *" }'), {
      at: new Date(Date.now() + 3 * 86_400_000).toISOString(),
    });
    second.service.start();
    await settle(second.service, second.clock);
    expect(second.reports).toHaveLength(1);
    await settle(second.service, second.clock);
    expect(second.reports).toHaveLength(1);
  });

  test("makes up once what was to be verified and removed while it was off", async () => {
    const place = await newPlace();
    const stateDirectory = join(place.directory, "state");
    const what = "schedule: { full: 30d }, verification: { schedule: 7d }";
    const rest = `${what}, retention: { schedule: 7d, keep_last: 3 }`;
    const at = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString();
    const start = async (days: number) => {
      const made = await place.service(policy(place, "one", rest), { at: at(days), stateDirectory });
      made.service.start();
      await settle(made.service, made.clock);
      return made;
    };
    const first = await start(0);
    for (const step of ["verify", "prune"] as const) await first.service.runOnly("one", step);
    await first.service.stop();
    const second = await start(8);
    expect(second.reports).toMatchObject([{ type: undefined, verification: expect.any(Array), prune: {} }]);
    await second.service.stop();
    expect((await start(9)).reports).toEqual([]);
  });

  test("each run is as late as the jitter says, and the next one is told so", async () => {
    const place = await newPlace();
    const { service, clock, reports } = await place.service(
      policy(place, "one", 'schedule: { full: "0 2 * * *", jitter: 6h }'),
      { at: "2026-11-05T12:00:00Z" },
    );
    service.start();
    await settle(service, clock);
    const due = Date.parse("2026-11-06T02:00:00Z");
    const late = due + jitterOf("one", due, 6 * 3_600_000);
    expect(late).toBeGreaterThan(due + 60_000);
    expect((await service.status())[0]?.nextRun).toEqual(new Date(late));
    clock.sleep(late - clock.now() - 2000);
    await settle(service, clock);
    expect(reports).toHaveLength(1);
    await settle(service, clock);
    expect(reports).toHaveLength(2);
  });

  test("does not run at once where the repository has what was due", async () => {
    const place = await newPlace();
    const yaml = policy(place, "one", "schedule: { full: 1d }");
    await (await place.service(yaml)).service.run("one");
    const { service, clock, reports } = await place.service(yaml, { at: new Date().toISOString() });
    service.start();
    await settle(service, clock);
    await settle(service, clock);
    expect(reports).toEqual([]);
  });

  test("what somebody else runs is looked at again, and made up once, or not where they have done it", async () => {
    const place = await newPlace();
    const source = { source: place.database, name: "one", tags: ["full"] };
    const vault = await Repository.init(place.vault, { logger: place.logger });
    const { service, clock, reports } = await place.service(policy(place, "one", "schedule: { full: 1h }"), {
      at: new Date(Date.now() - 3_600_000).toISOString(),
    });
    const first = await vault.holdPolicy(runsOf(place, "one"), {});
    service.start();
    await settle(service, clock);
    expect([await place.snapshots(), reports]).toEqual([[], []]);
    await first.release();
    clock.sleep(29_000);
    await settle(service, clock);
    expect(reports).toHaveLength(1);
    const second = await vault.holdPolicy(runsOf(place, "one"), {});
    clock.sleep(3_600_000);
    await settle(service, clock);
    await vault.backup(source);
    await second.release();
    clock.sleep(29_000);
    await settle(service, clock);
    expect(reports).toHaveLength(1);
    expect(await place.snapshots()).toHaveLength(2);
    expect(place.logged.filter(({ message }) => message === "a run was left out")).toHaveLength(2);
  });

  test("another machine's database, under the same name, and a snapshot of next year, count for nothing", async () => {
    const place = await newPlace();
    const elsewhere = join(place.directory, "elsewhere");
    await (await connect(elsewhere)).createTable("t", [{ id: 1 }]);
    const yaml = policy(place, "one", "schedule: { full: 1d }");
    const vault = await Repository.init(place.vault, { logger: place.logger });
    await vault.backup({ source: elsewhere, name: "one", tags: ["full"] });
    const runs = async () => {
      const { service, clock, reports } = await place.service(yaml, { at: new Date().toISOString() });
      const statuses = await service.status();
      service.start();
      await settle(service, clock);
      await settle(service, clock);
      await service.stop();
      return { overdue: statuses[0]?.overdue, runs: reports.length };
    };
    const other = { policy: "one", sources: sourceKeysOf([{ type: "lancedb", path: elsewhere }]) };
    await using _run = await vault.holdPolicy(other, {});
    expect(await runs()).toEqual({ overdue: true, runs: 1 });
    expect(await runs()).toEqual({ overdue: false, runs: 0 });
    for (const { id } of (await place.snapshots()).filter(({ source }) => source.uri === place.database)) {
      await vault.delete(id);
    }
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 365 * 86_400_000 });
    onTestFinished(() => void vi.useRealTimers());
    await vault.backup({ source: place.database, name: "one", tags: ["full"] });
    vi.useRealTimers();
    expect(await runs()).toEqual({ overdue: true, runs: 1 });
  });

  test("what another process has taken since the listing began that others wait for is not taken twice", async () => {
    const place = await newPlace();
    const { service, clock, reports } = await place.service(policy(place, "one", "schedule: { full: 1h }"), {
      at: new Date(Date.now() - 3_600_000).toISOString(),
    });
    await service.run("one");
    service.start();
    await service.status();
    const repository = await service.repository("one");
    const list = repository.list.bind(repository);
    const held = Promise.withResolvers<void>();
    let listings = 0;
    repository.list = async (filter) => {
      const listed = await list(filter);
      if (++listings === 1) await held.promise;
      return listed;
    };
    const before = service.snapshots("one");
    await expect.poll(() => listings).toBe(1);
    const other = await Repository.open(place.vault, { logger: place.logger });
    await other.backup({ source: place.database, name: "one", tags: ["full"] });
    clock.sleep(3_600_000);
    await clock.pass(1000, 0);
    await expect.poll(() => listings).toBe(2);
    held.resolve();
    await before;
    await settle(service, clock);
    expect(reports).toHaveLength(1);
  });

  test("a storage that does not answer keeps no run longer than its timeout, and no stop waiting", async () => {
    const place = await newPlace();
    const { service, clock, reports } = await place.service([
      policy(place, "short", "schedule: { full: 1d, timeout: 300ms, retry_window: 1ms }"),
      policy(place, "long", "schedule: { full: 1d }"),
    ]);
    await Repository.init(place.vault, { logger: place.logger });
    service.start();
    await service.status();
    vi.spyOn(OpenRepositories.prototype, "open").mockReturnValue(new Promise(() => undefined));
    onTestFinished(() => void vi.restoreAllMocks());
    await clock.pass(1000, 0);
    await expect.poll(() => reports.map(({ policy }) => policy)).toEqual(["short"]);
    expect(reports[0]?.error).toMatchObject({ message: expect.stringContaining("longer than its timeout") });
    await service.stop();
    expect(reports[1]).toMatchObject({ policy: "long", outcome: "aborted" });
  });

  test("goes by the clock when that is set back by days, and runs nothing twice when by an hour", async () => {
    const place = await newPlace();
    const { service, clock, reports } = await place.service(
      policy(place, "one", 'schedule: { full: "0 2 * * *" }'),
      {
        at: "2026-11-05T01:50:00Z",
      },
    );
    service.start();
    await settle(service, clock);
    await quarters(service, clock, 2);
    expect(reports).toHaveLength(2);
    clock.sleep(-3_600_000);
    await quarters(service, clock, 8);
    expect(reports).toHaveLength(2);
    clock.sleep(-3 * 86_400_000);
    await quarters(service, clock, 4 * 24);
    expect(reports).toHaveLength(3);
  });

  test.each([
    ["Europe/Berlin", "2026-03-28T12:10:00Z", "30 2 * * *"],
    ["America/New_York", "2026-10-31T12:10:00Z", "15 1 * * *"],
    ["Australia/Lord_Howe", "2026-10-03T00:10:00Z", "15 2 * * *"],
    ["America/Santiago", "2026-09-05T12:10:00Z", "0 0 * * *"],
  ])("in %s a daily backup runs once a day over the change of the clock", async (zone, at, pattern) => {
    const place = await newPlace();
    const { service, clock, reports } = await place.service(
      policy(place, "one", `schedule: { full: "${pattern}", timezone: ${zone} }`),
      { at },
    );
    service.start();
    await settle(service, clock);
    await steps(service, clock, 2 * 48, 30);
    expect(reports).toHaveLength(3);
  });

  test("a policy that is not enabled does not run, and is not overdue", async () => {
    const place = await newPlace();
    const { service, clock, reports } = await place.service(
      policy(place, "one", "schedule: { full: 1h }, enabled: false"),
    );
    service.start();
    await quarters(service, clock, 8);
    expect(reports).toEqual([]);
    expect(await service.status()).toMatchObject([{ enabled: false, overdue: false }]);
    expect((await service.run("one")).outcome).toBe("success");
  });

  test("so many run at a time as the file says", async () => {
    const place = await newPlace();
    const names = ["a", "b", "c", "d", "e"];
    const { service } = await place.service(
      names.map((name) => policy(place, name, "schedule: { full: 1h }")),
      { defaults: "scheduling: { concurrency: 2 }" },
    );
    const runs = await Promise.all(names.map((name) => service.run(name)));
    const moments = runs.flatMap(({ startedAt, durationMs, snapshot }) => {
      const from = snapshot?.createdAt.getTime() ?? startedAt.getTime();
      return [
        { at: from, change: 1 },
        { at: from + Math.min(durationMs, snapshot?.durationMs ?? 0), change: -1 },
      ];
    });
    let [now, most] = [0, 0];
    for (const { change } of moments.toSorted((a, b) => a.at - b.at || a.change - b.change)) {
      now += change;
      most = Math.max(most, now);
    }
    expect(most).toBeLessThanOrEqual(2);
  });

  test("stop ends a run under way, waits for it, and begins nothing more", async () => {
    const place = await newPlace();
    const { service, clock, reports } = await place.service(
      [policy(place, "one", "schedule: { full: 1h }"), policy(place, "two", "schedule: { full: 1h }")],
      { defaults: "scheduling: { concurrency: 1 }" },
    );
    const runs = [service.run("one"), service.run("two")];
    service.start();
    await service.stop();
    for (const run of runs) expect((await run).outcome).toBe("aborted");
    await quarters(service, clock, 8);
    expect(reports).toHaveLength(2);
    const repository = existsSync(place.vault) ? await Repository.open(place.vault) : undefined;
    expect((await repository?.leases()) ?? []).toEqual([]);
  });
});

test("a time to end of more than timers take is not over at once", async () => {
  const place = await newPlace();
  const { service } = await place.service(policy(place, "one", "schedule: { full: 1h }"));
  const run = service.run("one");
  while (service.work.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await service.stop({ graceMs: 30 * 86_400_000 });
  expect((await run).outcome).toBe("success");
});

describe("status", () => {
  test("says when a policy ran last, what it has, when it runs next, and whether it is overdue", async () => {
    const place = await newPlace();
    const yaml = policy(place, "one", "schedule: { full: 1d, retry_window: 1h }");
    const first = await place.service(yaml, { at: new Date(Date.now() + 60_000).toISOString() });
    expect(await first.service.status()).toMatchObject([{ policy: "one", overdue: true, snapshots: 0 }]);
    const { snapshot } = await first.service.run("one");
    const [status] = await first.service.status();
    expect(status).toMatchObject({
      ...{ policy: "one", enabled: true, overdue: false, snapshots: 1, consecutiveFailures: 0 },
      ...{ snapshot: snapshot?.id, bytes: snapshot?.bytes, lastSuccess: snapshot?.createdAt },
      nextRun: new Date((snapshot?.createdAt.getTime() ?? 0) + 86_400_000),
    });
    const later = (hours: number) => ({ at: new Date(Date.now() + hours * 3_600_000).toISOString() });
    const overdueAfter = async (hours: number, maxAgeMs?: number) =>
      (await (await place.service(yaml, later(hours))).service.status({ maxAgeMs }))[0]?.overdue;
    expect(await overdueAfter(24.5)).toBe(false);
    expect(await overdueAfter(25.5)).toBe(true);
    expect(await overdueAfter(25.5, 26 * 3_600_000)).toBe(false);
    expect(await overdueAfter(2, 3_600_000)).toBe(true);
  });

  test("a repository that cannot be read is overdue, with the reason", async () => {
    const place = await newPlace();
    const { service } = await place.service(policy(place, "one", "schedule: { full: 1d }"));
    await service.run("one");
    writeFileSync(join(place.vault, "repository.json"), "{}");
    const other = await place.service(policy(place, "one", "schedule: { full: 1d }"));
    expect(await other.service.status()).toMatchObject([
      { overdue: true, reason: expect.stringContaining("repository.json") },
    ]);
  });
});

test("who looks for a repository that is not there keeps no run from making it", async () => {
  const place = await newPlace();
  const { service } = await place.service(policy(place, "one", "schedule: { full: 1d }"));
  const { settings } = service.policies.get("one")!;
  const watch = { request: () => undefined, watch: () => undefined, learn: () => undefined };
  const repositories = new OpenRepositories(place.logger, watch);
  const [looked, made] = await Promise.allSettled([
    repositories.open(settings),
    repositories.open(settings, { create: true }),
  ]);
  expect([looked.status, made.status]).toEqual(["rejected", "fulfilled"]);
  expect([await repositories.open(settings)]).toEqual([made.status === "fulfilled" && made.value]);
});

test("who asks at once for what a repository has shares one listing, which nothing that was made meanwhile is missing from", async () => {
  const place = await newPlace();
  const { service } = await place.service(policy(place, "one", "schedule: { full: 1d }"));
  await service.run("one");
  const repository = await service.repository("one");
  let listings = 0;
  const list = repository.list.bind(repository);
  const held = Promise.withResolvers<void>();
  repository.list = async (filter) => {
    const listed = await list(filter);
    if (++listings === 1) await held.promise;
    return listed;
  };
  const before = [service.snapshots("one"), service.snapshots("one"), service.status()];
  await expect.poll(() => listings).toBe(1);
  await place.addRow(2);
  await service.run("one");
  expect(await service.snapshots("one")).toHaveLength(2);
  held.resolve();
  expect(await Promise.all(before)).toHaveLength(3);
  expect((await before[0])?.length).toBe(1);
  expect(listings).toBeLessThanOrEqual(4);
});

test("a turn that cannot be had, with nobody who has it, is asked for with pauses, so often and until the time is over", async () => {
  const place = await newPlace();
  const vault = await Repository.init(place.vault, { logger: place.logger });
  let tries = 0;
  vault.holdPolicy = async () => {
    tries++;
    throw new LockedError("somebody removed it");
  };
  const turn = () =>
    new PolicyTurn({ policy: "one", sources: [], waits: false, openRepository: async () => vault });
  await expect(turn().take({ signal: AbortSignal.timeout(600) })).rejects.toThrow("timeout");
  expect(tries).toBeLessThanOrEqual(7);
  tries = 0;
  const { signal } = new AbortController();
  await expect(turn().take({ signal })).rejects.toThrow("somebody removed it");
  expect(tries).toBe(31);
});

test("whose a snapshot is, its database's id tells where one is kept; else the place, on this machine alone", async () => {
  const place = await newPlace();
  const vault = await Repository.init(place.vault, { logger: place.logger });
  const lancedb = [{ type: "lancedb" as const, path: place.database }];
  const before = sourceKeysOf(lancedb);
  const files = join(place.directory, "files");
  mkdirSync(files);
  writeFileSync(join(files, "a"), "a");
  const sections = [...lancedb, { type: "files" as const, paths: [files] }];
  const { id } = await vault.backup({ sources: [place.database, files], name: "one" });
  const snapshot = (await vault.list()).find((one) => one.id === id)!;
  const onHost = (host: string) => ({
    ...snapshot,
    parts: snapshot.parts.map((part) => ({ ...part, source: { ...part.source, host } })),
  });
  // A container has another host name at every run.
  expect(sourceKeysOf(lancedb)).not.toEqual(before);
  expect(hasSourcesOf(lancedb, "to run")(onHost("container-2"))).toBe(true);
  expect(hasSourcesOf(sections, "to run")(snapshot)).toBe(true);
  expect(hasSourcesOf(sections, "to run")(onHost("another"))).toBe(false);
  expect(hasSourcesOf(sections, "to tell")(onHost("another"))).toBe(true);
  const more = [...sections, { type: "command" as const, name: "x", command: ["true"] }];
  expect(hasSourcesOf(more, "to tell")(snapshot)).toBe(false);
  // A machine that can read the repository alone has no database there.
  renameSync(place.database, join(place.directory, "moved"));
  expect(hasSourcesOf(lancedb, "to tell")(onHost("another"))).toBe(true);
  expect(hasSourcesOf(lancedb, "to run")(onHost("another"))).toBe(false);
  await (await connect(place.database)).createTable("t", [{ id: 1 }]);
  expect(hasSourcesOf(lancedb, "to tell")(snapshot)).toBe(false);
  expect(hasSourcesOf([{ type: "lancedb", path: join(place.directory, "moved") }], "to run")(snapshot)).toBe(
    true,
  );
});

test("what a listener throws is a warning", async () => {
  const place = await newPlace();
  const { service } = await place.service(policy(place, "one", "schedule: { full: 1d }"));
  service.onRun(() => {
    throw new Error("thrown by a listener");
  });
  expect((await service.run("one")).outcome).toBe("success");
  expect(place.logged).toContainEqual(
    expect.objectContaining({ message: "a listener of the service failed" }),
  );
});
