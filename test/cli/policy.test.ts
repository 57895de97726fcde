import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { type PolicyStatus, Repository, type RunReport } from "../../src/index.ts";
import { newDirectory } from "../support/database.ts";
import { filesBelow } from "../support/files.ts";
import { newReceiver } from "../support/notice-receivers.ts";
import { writePolicies } from "../support/policies.ts";
import { MAIN, run, runJson } from "./cli.ts";
import { newPlace, type Place, STRANGER } from "./fixture.ts";

/** A file with policies beside a database. */
async function newConfig(policies: (place: Place) => string | string[]) {
  const place = await newPlace();
  const vault = join(place.directory, "policy-vault");
  const storage = "type: local, path: policy-vault";
  const write = (policies: string | string[]) => writePolicies(place.directory, { storage, policies });
  const file = write(policies(place));
  return { place, vault, file, write };
}

const policy = (place: Place, name: string, rest: string) =>
  `${name}: { sources: [{ type: lancedb, path: "${place.database}" }], ${rest} }`;

describe("policy", () => {
  test("list, show and check tell of a file and change nothing", async () => {
    const { place, file, vault } = await newConfig((place) =>
      policy(place, "one", `schedule: { full: "0 2 * * *" }, description: "$\{SECRET_WORD}"`),
    );
    const env = { SECRET_WORD: "s3cret" };
    const list = await run(["policy", "list", "--config", file], { env });
    expect(list).toMatchObject({ code: 0, stderr: "" });
    expect(list.stdout).toMatch(/POLICY .*FULL .*\none +lancedb +0 2 \* \* \* +UTC /);
    const show = await run(["policy", "show", "one"], { env: { ...env, LANCEDB_BACKUP_CONFIG: file } });
    expect(show.stdout).toMatch(/description +\$\{SECRET_WORD\} +.*backup\.yaml:4/);
    const check = await run(["policy", "check", "--config", file], { env });
    expect(check.code).toBe(0);
    expect(check.stdout).toMatch(
      /^ok {2}one → .*\n.*: \d+ tables?\n.*the first run makes it\n {4}runs next: /,
    );
    for (const { stdout, stderr } of [list, show, check]) expect(stdout + stderr).not.toContain("s3cret");
    expect(existsSync(vault)).toBe(false);
    renameSync(place.database, `${place.database}-away`);
    const away = await run(["policy", "check", "--config", file, "--json"], { env });
    expect(away.code).toBe(1);
    expect(JSON.parse(away.stdout)).toMatchObject([
      { ok: false, problems: [expect.stringContaining(`There is no database at ${place.database}`)] },
    ]);
  });

  test("check names a file that cannot be read, by who runs it", async () => {
    const { place, file, write } = await newConfig(() => "");
    const secret = join(place.directory, "files/secret");
    mkdirSync(join(place.directory, "files"));
    writeFileSync(secret, "x", { mode: 0o600 });
    if (STRANGER.uid === undefined) chmodSync(secret, 0);
    write(`one: { sources: [{ type: files, paths: [${place.directory}/files] }] }`);
    chmodSync(place.directory, 0o777);
    chmodSync(file, 0o644);
    const check = await run(["policy", "check", "--config", file, "--json"], STRANGER);
    expect(check.code).toBe(1);
    expect(JSON.parse(check.stdout)).toMatchObject([
      { ok: false, problems: [expect.stringContaining(secret)] },
    ]);
  });

  test("everything that is wrong in a file is told, a line each", async () => {
    const { file } = await newConfig((place) => [policy(place, "one", "retention: { keep: 1 }"), "two: {}"]);
    const ran = await run(["policy", "check", "--config", file]);
    expect(ran.code).toBe(2);
    const lines = ran.stderr.trim().split("\n");
    expect(lines).toHaveLength(2);
    expect(lines[0]).toContain(`${file}:4: policies.one.retention.keep: there is no such key`);
    expect(lines[1]).toContain(`${file}:5: policies.two.sources: it is missing`);
  });

  test("a file or a policy that is not named, or not there, is wrong use", async () => {
    const { file } = await newConfig((place) => policy(place, "one", "enabled: true"));
    expect(await run(["policy", "list"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("Which policies?"),
    });
    expect((await run(["policy", "show", "two", "--config", file])).code).toBe(2);
    expect((await run(["run", "one", "--config", file])).code).toBe(2);
    expect((await run(["status", "--config", file, "--max-age", "soon"])).code).toBe(2);
    expect((await run(["status", "--config", `${file}.none`])).code).not.toBe(0);
  });
});

describe("run --once and status", () => {
  test("run the policies once, and tell what is overdue by exit code 1", async () => {
    const { place, file, vault } = await newConfig((place) => [
      policy(place, "one", "schedule: { full: 1d }, retention: { keep_last: 3 }"),
      policy(place, "off", "schedule: { full: 1d }, enabled: false"),
    ]);
    const before = await run(["status", "--config", file]);
    expect(before.code).toBe(1);
    expect(before.stdout).toMatch(/one +overdue +never/);
    const reports = await runJson<RunReport[]>(["run", "--once", "--config", file]);
    expect(reports).toMatchObject([
      { policy: "one", type: "full", outcome: "success", snapshot: { name: "one", tags: ["full"] } },
    ]);
    const text = await run(["run", "--once", "one", "--type", "incremental", "--config", file]);
    expect(text.stdout).toMatch(/^one: success, incremental snapshot \w+-\w+, .* in /);
    const status = await runJson<PolicyStatus[]>(["status", "--config", file]);
    expect(status).toMatchObject([
      { policy: "one", overdue: false, snapshots: 2 },
      { policy: "off", overdue: false, enabled: false },
    ]);
    expect((await run(["status", "one", "--config", file, "--max-age", "26h"])).code).toBe(0);
    // Who can only read asks as well, and changes nothing.
    chmodSync(place.directory, 0o755);
    const listing = () => filesBelow(vault).toSorted();
    const files = listing();
    expect(await run(["status", "one", "--config", file], STRANGER)).toMatchObject({ code: 0, stderr: "" });
    expect(listing()).toEqual(files);
    expect((await run(["status", "one", "--config", file, "--max-age", "1ms"])).code).toBe(1);
    renameSync(place.database, `${place.database}-away`);
    const failed = await run(["run", "--once", "--config", file, "--json"]);
    expect(failed.code).toBe(1);
    expect(JSON.parse(failed.stdout)).toMatchObject([{ outcome: "failure", error: { code: "VALIDATION" } }]);
    rmSync(join(vault, "repository.json"));
    expect((await run(["status", "one", "--config", file])).code).toBe(0);
  });
});

/** The service as a process, and what it has said so far. */
function startService(
  file: string,
  { options = [], env }: { options?: string[]; env?: NodeJS.ProcessEnv } = {},
) {
  const child = spawn(process.execPath, [MAIN, "run", "--config", file, ...options], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, ...env },
  });
  let said = "";
  const waiting = new Set<() => void>();
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said += text;
    for (const look of waiting) look();
  });
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.on("close", (code, signal) => resolve(code ?? signal));
  });
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  /** Waits until it has said something so often. */
  const until = (wanted: RegExp, times = 1) =>
    new Promise<void>((resolve, reject) => {
      const look = () => {
        if ([...said.matchAll(new RegExp(wanted, "g"))].length < times) return;
        waiting.delete(look);
        resolve();
      };
      waiting.add(look);
      void ended.then((code) => reject(new Error(`it ended (${code}): ${said}`)));
      look();
    });
  return { child, until, ended, said: () => said };
}

describe("run", () => {
  test("stays, reads its file anew on SIGHUP, keeps the old one where the new one is wrong, and ends on SIGTERM", async () => {
    const { place, file, write } = await newConfig((place) => policy(place, "one", "schedule: { full: 1s }"));
    const service = startService(file);
    await service.until(/one: success/, 2);
    write(policy(place, "two", "schedule: { full: 1s, every: 1s }"));
    service.child.kill("SIGHUP");
    await service.until(/the policies stay as they were.*there is no such key/);
    write(policy(place, "two", "schedule: { full: 1s }"));
    service.child.kill("SIGHUP");
    await service.until(/two: success/, 2);
    const before = service.said().split("The policies were read again.")[1] ?? "";
    expect(before).not.toContain("one: success");
    service.child.kill("SIGTERM");
    expect(await service.ended).toBe(0);
    const leases = await runJson<{ leases: unknown[] }>([
      "unlock",
      "--repo",
      join(place.directory, "policy-vault"),
    ]);
    expect(leases.leases).toEqual([]);
  });
});

test("SIGTERM ends the service within its time also where a run does not stop, and what that has started", async () => {
  const { place, file, vault } = await newConfig((place) => {
    const [pid, out] = [join(place.directory, "pid"), join(place.directory, "out")];
    const stubborn = `trap '' TERM; echo $$ > ${pid}.new; mv ${pid}.new ${pid}; while :; do sleep 0.1; done > ${out}`;
    return `one: { sources: [{ type: command, name: slow, command: [sh, -c, "${stubborn}"] }], schedule: { full: 1d } }`;
  });
  const service = startService(file, { options: ["--stop-timeout", "0.3"] });
  const pidFile = join(place.directory, "pid");
  while (!existsSync(pidFile)) await new Promise((resolve) => setTimeout(resolve, 20));
  const pid = Number(readFileSync(pidFile, "utf8"));
  service.child.kill("SIGTERM");
  expect(await service.ended).toBe(1);
  expect(service.said()).toContain("Runs under way did not stop in time. They made no snapshot.");
  // Of one that has ended, and that nobody has asked for, there is no command line.
  const isThere = () => existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`).length > 0;
  while (isThere()) await new Promise((resolve) => setTimeout(resolve, 20));
  expect(await (await Repository.open(vault)).list()).toEqual([]);
});

test("two processes never run a policy at once: the second says who does, and what the dead held bars nobody", async () => {
  const { place, file, vault } = await newConfig((place) => {
    const [begun, go] = [join(place.directory, "begun"), join(place.directory, "go")];
    const slow = `echo $$ > ${begun}; while ! [ -e ${go} ]; do sleep 0.1; done; echo x`;
    return `one: { sources: [{ type: command, name: slow, command: [sh, -c, "${slow}"] }], schedule: { full: 1d } }`;
  });
  const first = spawn(process.execPath, [MAIN, "run", "--once", "--config", file], { stdio: "ignore" });
  onTestFinished(() => void first.kill("SIGKILL"));
  while (!existsSync(join(place.directory, "begun"))) await new Promise((resolve) => setTimeout(resolve, 20));
  const second = await run(["run", "--once", "--config", file]);
  const who = `process ${first.pid} on ${hostname()}, since `;
  expect(second).toMatchObject({
    code: 4,
    stdout: expect.stringMatching(`^one: skipped: It is being run by ${who}2`),
  });
  first.kill("SIGKILL");
  writeFileSync(join(place.directory, "go"), "");
  expect(await run(["run", "--once", "--config", file])).toMatchObject({ code: 0 });
  expect(await (await Repository.open(vault)).list()).toHaveLength(1);
});

const SECONDS = process.env["NIGHTLY"] ? 180 : 4;

test(`a service that is killed at any moment for ${SECONDS} s loses no snapshot, and leaves nothing behind that bars the next; what fails is told`, async () => {
  const { until, url } = await newReceiver();
  const state = { LANCEDB_BACKUP_STATE: join(await newDirectory(), "state") };
  const { place, file, vault } = await newConfig((place) => [
    policy(place, "one", "schedule: { incremental: 1s }, retention: { keep_last: 1000 }"),
    `gone: { sources: [{ type: files, paths: [nowhere] }], schedule: { full: 1s, retry_window: 1ms }, notifications: [{ type: webhook, url: "${url}" }] }`,
  ]);
  const told = new Set<string>();
  const end = performance.now() + SECONDS * 1000;
  for (let round = 0; performance.now() < end; round++) {
    const service = startService(file, { env: state });
    await service.until(/one: success/, 1 + (round % 2));
    if (round === 0) await service.until(/gone: failure/);
    // Somewhere in the next run, or between two.
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 1500));
    service.child.kill("SIGKILL");
    await service.ended;
    for (const [, id = ""] of service.said().matchAll(/success, \w+ snapshot (\S+),/g)) told.add(id);
  }
  const list = await runJson<{ id: string }[]>(["list", "--repo", vault]);
  const there = new Set(list.map(({ id }) => id));
  expect([...told].filter((id) => !there.has(id))).toEqual([]);
  expect((await run(["verify", "--repo", vault])).code).toBe(0);
  // The next run begins at once: what the dead held bars nobody.
  const next = await run(["run", "--once", "one", "--config", file]);
  expect(next).toMatchObject({ code: 0, stderr: expect.not.stringContaining("Waiting for") });
  // Whenever it was killed, what never went well is known as such, and somebody was told.
  const status = await run(["status", "--notify", "--config", file, "--json"], { env: state });
  expect(status.code).toBe(1);
  const [, gone] = JSON.parse(status.stdout) as PolicyStatus[];
  expect(gone).toMatchObject({
    policy: "gone",
    overdue: true,
    lastError: expect.stringContaining("nowhere"),
  });
  expect(gone?.consecutiveFailures).toBeGreaterThan(0);
  const [notice] = await until(1);
  expect(JSON.parse(notice?.body ?? "")).toMatchObject({
    type: expect.stringMatching(/^backup\.(failure|overdue)$/),
    data: { policy: "gone" },
  });
  expect(
    (await run(["prune", "--repo", vault, "--keep-last", "1", "--grace-hours", "0", "--yes"])).code,
  ).toBe(0);
  expect(readFileSync(join(vault, "repository.json"), "utf8")).toContain("lancedb-backup repository");
  expect(place.database).toBeTruthy();
});
