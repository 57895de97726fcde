import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { BackupService, IoError, loadPolicies, Repository, ValidationError } from "../../src/index.ts";
import type { PolicySettings } from "../../src/policy/policy-set.ts";
import { PolicyTurn } from "../../src/policy/policy-turn.ts";
import { runPolicy } from "../../src/policy/run-policy.ts";
import { ServiceState, stateDirectory } from "../../src/policy/service-state.ts";
import { newDirectory, recordingLogger } from "../support/database.ts";
import { newReceiver, newToldService } from "../support/notice-receivers.ts";
import { writePolicies } from "../support/policies.ts";
import { TestClock } from "../support/test-clock.ts";

const HOUR = 3_600_000;
const kindsOf = (received: readonly { body: string }[]) =>
  received.map(({ body }) => JSON.parse(body).type.replace("backup.", ""));

describe("after a restart it is known", () => {
  test("how many runs have failed in a row and why, how the last verification went, and who was told", async () => {
    const { received, url } = await newReceiver();
    const { service, again, away, back, clock, directory } = await newToldService(
      `[{ type: webhook, url: "${url}/" }]`,
      { rest: ", verification: { schedule: 1h }" },
    );
    await service.run("one");
    expect((await service.runOnly("one", "verify")).outcome).toBe("success");
    away();
    for (let i = 1; i <= 3; i++) {
      const restarted = again();
      await restarted.run("one");
      await restarted.stop();
    }
    const [status] = await again().status();
    expect(status).toMatchObject({
      consecutiveFailures: 3,
      lastError: expect.stringContaining(join(directory, "db")),
      lastVerify: { at: expect.any(Date), ok: true },
    });
    expect(kindsOf(received)).toEqual(["failure"]);
    clock.sleep(25 * HOUR);
    const later = again();
    await later.run("one");
    await later.stop();
    expect(kindsOf(received)).toEqual(["failure", "failure"]);
    back();
    const last = again();
    await last.run("one");
    await last.stop();
    expect(kindsOf(received)).toEqual(["failure", "failure", "recovery"]);
    expect(await again().status()).toMatchObject([{ consecutiveFailures: 0 }]);
  });

  test("which notice has not arrived: it is sent again, when its time has come, with the same id", async () => {
    let isUp = false;
    const { received, url } = await newReceiver(() => (isUp ? 200 : 500));
    const {
      service,
      again,
      away,
      clock,
      stateDirectory: state,
    } = await newToldService(`[{ type: webhook, url: "${url}/s3cret", on: [failure], repeat: 100d }]`);
    away();
    await service.run("one");
    await service.stop();
    const before = received.length;
    expect(before).toBeGreaterThan(0);
    isUp = true;
    const soon = again();
    await soon.run("one");
    await soon.stop();
    expect(received).toHaveLength(before);
    clock.sleep(HOUR);
    const later = again();
    await later.run("one");
    await later.stop();
    expect(received).toHaveLength(before + 1);
    expect(new Set(received.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
    const last = again();
    await last.run("one");
    await last.stop();
    expect(received).toHaveLength(before + 1);
    // What is kept is nobody else's, and holds no secret.
    expect(statSync(state).mode & 0o077).toBe(0);
    const texts = readdirSync(state).map((name) => readFileSync(join(state, name), "utf8"));
    expect(texts).toHaveLength(1);
    expect(texts.join()).not.toContain("s3cret");
  });

  test("a service that stays sends it again by itself, with longer and longer pauses", async () => {
    const { received, until, url } = await newReceiver(() => 404);
    const { service, away, clock, logged } = await newToldService(
      `[{ type: webhook, url: "${url}/", on: [failure], repeat: 100d }]`,
    );
    away();
    const begun = clock.now();
    service.start();
    await service.run("one");
    await until(1);
    const warnings = () => logged.filter(({ message }) => message === "a notice was not sent");
    const nexts = () => warnings().map(({ meta }) => Date.parse(String(meta?.["nextAttempt"])));
    for (let count = 1; count <= 4; count++) {
      while (warnings().length < count) await new Promise((resolve) => setTimeout(resolve, 5));
      while (received.length === count) await clock.pass(10_000, 1);
      expect(clock.now()).toBeGreaterThanOrEqual(nexts()[count - 1] ?? 0);
    }
    const pauses = nexts().map((next, index, all) => next - (all[index - 1] ?? begun));
    for (const [index, pause] of pauses.entries()) expect(pause).toBeGreaterThanOrEqual(60_000 * 2 ** index);
  });
});

/** A source that goes on until there is a file `go`. */
const SLOW = (directory: string) =>
  `{ type: command, name: slow, command: [sh, -c, "until [ -e ${directory}/go ]; do sleep 0.02; done; echo x"] }`;

describe("overdue is told", () => {
  const overdueOnly = (url: string) => `[{ type: webhook, url: "${url}/", on: [overdue, recovery] }]`;

  test("by the service, also where a run hangs, once while it lasts; then that it is over", async () => {
    const { received, until, url } = await newReceiver();
    const { service, clock, directory } = await newToldService(overdueOnly(url), {
      ...{ schedule: "incremental: 1h, retry_window: 10m", source: SLOW },
    });
    const go = join(directory, "go");
    writeFileSync(go, "");
    const ended = () => new Promise<void>((resolve) => void service.onRun(() => resolve()));
    let end = ended();
    service.start();
    await service.status();
    await clock.pass(1000, 0);
    await end;
    unlinkSync(go);
    clock.sleep(HOUR);
    end = ended();
    while (service.work.length === 0) await clock.pass(1000, 5);
    await clock.pass(8 * 60_000, 0);
    expect(received).toEqual([]);
    while (received.length === 0) await clock.pass(10_000, 1);
    await clock.pass(10 * 60_000, 0);
    const { message, lastSuccess } = JSON.parse(received[0]?.body ?? "").data;
    expect(message).toMatch(
      /^Policy one is overdue: a run was due .*\. A run has been under way since .*\.$/,
    );
    expect(lastSuccess).toEqual(expect.any(String));
    writeFileSync(go, "");
    await end;
    expect(kindsOf(await until(2))).toEqual(["overdue", "recovery"]);
  });

  test("by the service of a policy that never had a snapshot, when it has had its time", async () => {
    const { received, url } = await newReceiver();
    const { service, clock } = await newToldService(overdueOnly(url), {
      ...{ schedule: "full: 1d, retry_window: 10m", source: SLOW },
    });
    service.start();
    await service.status();
    await clock.pass(9 * 60_000, 0);
    expect(received).toEqual([]);
    while (received.length === 0) await clock.pass(10_000, 1);
    expect(JSON.parse(received[0]?.body ?? "").data.message).toContain("there is no snapshot of it");
  });

  test("not where somebody else has run it meanwhile", async () => {
    const { received, until, url } = await newReceiver();
    const { service, again, clock } = await newToldService(overdueOnly(url), {
      schedule: "max_age: 1h, retry_window: 1ms",
    });
    const first = (await service.run("one")).snapshot?.createdAt.getTime() ?? 0;
    service.start();
    await service.status();
    while (Date.now() < first + 1000) await new Promise((resolve) => setTimeout(resolve, 20));
    const second = (await again().run("one")).snapshot?.createdAt.getTime() ?? 0;
    expect(second).toBeGreaterThan(first + 900);
    // By the first it is overdue, by the second it is not yet.
    clock.sleep(second + HOUR - 1500 - clock.now());
    await clock.pass(1000, 300);
    expect(received).toEqual([]);
    clock.sleep(60_000);
    await clock.pass(1000, 0);
    expect(kindsOf(await until(1))).toEqual(["overdue"]);
  });

  test("by status where it is to, and that it is over; as often as `repeat` says", async () => {
    const { received, url } = await newReceiver();
    const { service, again, clock } = await newToldService(overdueOnly(url));
    await service.run("one");
    const day = 86_400_000;
    const look = async (options: { notify?: boolean; maxAgeMs?: number }) => {
      const other = again();
      const [status] = await other.status(options);
      await other.stop();
      return status?.overdue;
    };
    clock.sleep(2 * HOUR);
    expect(await look({ maxAgeMs: HOUR })).toBe(true);
    expect(received).toEqual([]);
    expect(await look({ notify: true, maxAgeMs: HOUR })).toBe(true);
    expect(await look({ notify: true, maxAgeMs: HOUR })).toBe(true);
    expect(kindsOf(received)).toEqual(["overdue"]);
    clock.sleep(day);
    expect(await look({ notify: true, maxAgeMs: HOUR })).toBe(true);
    expect(kindsOf(received)).toEqual(["overdue", "overdue"]);
    expect(await look({ notify: true, maxAgeMs: 10 * day })).toBe(false);
    expect(await look({ notify: true, maxAgeMs: 10 * day })).toBe(false);
    expect(kindsOf(received)).toEqual(["overdue", "overdue", "recovery"]);
  });
});

test("another machine knows by the repository's audit log how many runs failed, and how the last verification went", async () => {
  const { service, set, directory, table } = await newToldService("[]", {
    schedule: "full: 1d, retry_window: 1ms",
    rest: ", fail_on_shrink: true",
  });
  const elsewhere = async () => {
    const { logger } = recordingLogger();
    const other = new BackupService(set, { logger, stateDirectory: join(directory, "elsewhere") });
    const [status] = await other.status();
    await other.stop();
    return status;
  };
  await service.run("one");
  await service.runOnly("one", "verify");
  expect(await elsewhere()).toMatchObject({ consecutiveFailures: 0, lastVerify: { ok: true } });
  await table.delete("id > 10");
  for (let i = 0; i < 2; i++) expect((await service.run("one")).outcome).toBe("failure");
  expect(await elsewhere()).toMatchObject({ consecutiveFailures: 2, lastError: "SHRUNK" });
  renameSync(join(directory, "vault/blobs"), join(directory, "vault/no-blobs"));
  mkdirSync(join(directory, "vault/blobs"));
  await service.runOnly("one", "verify");
  expect(await elsewhere()).toMatchObject({ lastVerify: { ok: false } });
});

test("a run that takes longer than its timeout is a failure, which is told", async () => {
  const { until, url } = await newReceiver();
  const { service } = await newToldService(`[{ type: webhook, url: "${url}/" }]`, {
    ...{ source: SLOW, schedule: "full: 1d, timeout: 300ms, retry_window: 1s" },
  });
  const report = await service.run("one");
  expect(report).toMatchObject({ outcome: "failure", error: { code: "IO" } });
  const [{ body } = { body: "" }] = await until(1);
  expect(JSON.parse(body)).toMatchObject({
    type: "backup.failure",
    data: { message: expect.stringContaining("took longer than its timeout, 300 ms"), failures: 1 },
  });
});

test("what others take of a run's places is not its time; where it has taken too long, why it failed before is told", async () => {
  const { set } = await newToldService("[]", { schedule: "full: 1d, timeout: 1s, retry_window: 800ms" });
  const settings = set.get("one")?.settings as PolicySettings;
  const [{ logger }, away] = [recordingLogger(), new IoError("the bucket is away")];
  const { signal } = new AbortController();
  const runWith = (enter: () => Promise<void>, second: () => Promise<never>) => {
    let tries = 0;
    return runPolicy(
      {
        ...{ settings, logger, signal, now: Date.now, onStep: () => undefined, onBegin: () => undefined },
        turn: new PolicyTurn({
          ...{ policy: "one", sources: [], waits: false },
          openRepository: () => (++tries === 1 ? Promise.reject(away) : second()),
        }),
        slot: { leave: () => undefined, enter: () => (tries === 0 ? Promise.resolve() : enter()) },
      },
      { type: "full", prune: false, verify: false },
    );
  };
  const wrong = new ValidationError("another error");
  const [waited, hung] = await Promise.all([
    runWith(
      () => sleep(1100),
      () => Promise.reject(wrong),
    ),
    runWith(
      () => Promise.resolve(),
      () => sleep(1100).then(() => Promise.reject(wrong)),
    ),
  ]);
  expect(waited).toMatchObject({ outcome: "failure", attempts: 2, error: wrong });
  expect(hung.error).toMatchObject({
    message: expect.stringMatching(/took longer than its timeout, 1.0 s, .* had failed: the bucket is away/),
    cause: away,
  });
});

test("who hears that a first run fails does not hear besides that there is no snapshot", async () => {
  const { received, url } = await newReceiver();
  const { service, away } = await newToldService(`[{ type: webhook, url: "${url}/" }]`);
  away();
  await service.run("one");
  expect(await service.status({ notify: true })).toMatchObject([{ overdue: true }]);
  await service.stop();
  expect(kindsOf(received)).toEqual(["failure"]);
});

test("a verification that goes well does not end that backups fail", async () => {
  const { received, url } = await newReceiver();
  const { service, away, back } = await newToldService(`[{ type: webhook, url: "${url}/" }]`);
  await service.run("one");
  away();
  await service.run("one");
  expect((await service.runOnly("one", "verify")).outcome).toBe("success");
  expect(await service.status()).toMatchObject([{ consecutiveFailures: 1, lastVerify: { ok: true } }]);
  back();
  await service.run("one");
  await service.stop();
  expect(kindsOf(received)).toEqual(["failure", "recovery"]);
});

test("10,000 policies are loaded, one of them is shown, and their service starts and tells how they stand, within seconds of a processor", async () => {
  const directory = await newDirectory();
  await Repository.init(join(directory, "vault"));
  const policies = Array.from(
    { length: 10_000 },
    (_, i) =>
      `p${i}: { sources: [{ type: lancedb, path: db }], schedule: { full: "${i % 60} ${i % 24} * * *" }, description: "\${NAME}" }`,
  );
  const file = writePolicies(directory, {
    defaults: `notifications: [{ type: webhook, url: "http://127.0.0.1:9/" }]`,
    policies,
  });
  const { logger } = recordingLogger();
  const before = process.cpuUsage();
  const set = await loadPolicies(file, { NAME: "x" });
  expect(set.get("p9999")?.show()).toContainEqual(
    expect.objectContaining({ key: "description", value: `$\{NAME}` }),
  );
  const service = new BackupService(set, {
    ...{ logger, clock: new TestClock(), stateDirectory: join(directory, "state") },
  });
  service.start();
  const statuses = await service.status();
  await service.stop();
  const { user, system } = process.cpuUsage(before);
  expect(statuses).toHaveLength(10_000);
  expect((user + system) / 1e6).toBeLessThan(10);
});

describe("the directory of the state", () => {
  test("is the option's, or the variable's, or systemd's, or the user's own", () => {
    const of = (env: NodeJS.ProcessEnv, platform: NodeJS.Platform = "linux") =>
      stateDirectory(undefined, env, platform);
    expect(stateDirectory(false, { LANCEDB_BACKUP_STATE: "/else" })).toBeUndefined();
    expect(stateDirectory("/given", { LANCEDB_BACKUP_STATE: "off" })).toBe("/given");
    expect(of({ LANCEDB_BACKUP_STATE: "off", STATE_DIRECTORY: "/var/lib/a" })).toBeUndefined();
    expect(of({ LANCEDB_BACKUP_STATE: "/else", STATE_DIRECTORY: "/var/lib/a" })).toBe("/else");
    expect(of({ STATE_DIRECTORY: "/var/lib/a:/var/lib/b", HOME: "/home/me" })).toBe("/var/lib/a");
    expect(of({ XDG_STATE_HOME: "/xdg", HOME: "/home/me" })).toBe("/xdg/lancedb-backup");
    expect(of({ XDG_STATE_HOME: "relative", HOME: "/home/me" })).toBe("/home/me/.local/state/lancedb-backup");
    expect(of({ HOME: "/Users/me" }, "darwin")).toBe("/Users/me/Library/Application Support/lancedb-backup");
    expect(() => stateDirectory("", {})).toThrow(ValidationError);
    expect(() => stateDirectory(1 as never, {})).toThrow(TypeError);
  });

  test("that cannot be made is a warning, and what is known lasts until the process ends", async () => {
    const { set, directory, away } = await newToldService("[]");
    const { logger, logged } = recordingLogger();
    writeFileSync(join(directory, "file"), "");
    const service = new BackupService(set, { logger, stateDirectory: join(directory, "file/state") });
    away();
    await service.run("one");
    await service.run("one");
    expect(await service.status()).toMatchObject([{ consecutiveFailures: 2 }]);
    const warnings = logged.filter(({ message }) => message.includes("for the next start"));
    expect(warnings).toHaveLength(1);
    await service.stop();
  });

  test("of a file that is cut short nothing is known, which is a warning", async () => {
    const { service, again, away, logged, stateDirectory: state } = await newToldService("[]");
    away();
    await service.run("one");
    const [name = ""] = readdirSync(state);
    const text = readFileSync(join(state, name), "utf8");
    writeFileSync(join(state, name), text.slice(0, 100));
    expect(await again().status()).toMatchObject([{ consecutiveFailures: 0 }]);
    expect(logged).toContainEqual(
      expect.objectContaining({ level: "warn", message: "the stored state of a policy cannot be read" }),
    );
    await again().run("one");
    expect(await again().status()).toMatchObject([{ consecutiveFailures: 1 }]);
  });
});

test("a state that cannot be written is one warning, forgets nothing of other policies, and is written when it can be", async () => {
  const directory = await newDirectory();
  const { set } = await newToldService("[]");
  const { settings: one } = set.get("one")!;
  const [two, three] = ["two", "three"].map((name) => ({ ...one, name })) as [typeof one, typeof one];
  const { logger, logged } = recordingLogger();
  const state = new ServiceState(directory, logger);
  const fail = (settings: typeof one) =>
    state.change(settings, (before) => ({ ...before, failures: before.failures + 1 }));
  await fail(one);
  const [file] = readdirSync(directory) as [string];
  await fail(two);
  const other = readdirSync(directory).find((name) => name !== file) as string;
  // A directory is where the file is to be.
  unlinkSync(join(directory, other));
  mkdirSync(join(directory, other, "x"), { recursive: true });
  const broken = () => logged.filter(({ message }) => message.includes("cannot be stored")).length;
  await fail(two);
  const unwritten = state.read(two).failures;
  await fail(two);
  expect(state.read(two).failures).toBe(unwritten + 1);
  expect([state.read(one).failures, broken()]).toEqual([1, 1]);
  await fail(three);
  rmSync(join(directory, other), { recursive: true });
  await fail(two);
  const restarted = new ServiceState(directory, logger);
  expect([one, two, three].map((of) => restarted.read(of).failures)).toEqual([1, unwritten + 2, 1]);
});
