import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { BackupService, loadPolicies, sourceFromUrl } from "../../src/index.ts";
import { servePage } from "../../src/page/index.ts";
import { runsIn } from "../../src/page/recorded-runs.ts";
import { NewestEntries } from "../../src/page/repository-content.ts";
import type { AuditEntry } from "../../src/repository/index.ts";
import { TestClock } from "../support/test-clock.ts";
import { ask, listen, newPage, pageTokens, visit } from "./page-place.ts";

test("what is asked for on the page is in the audit log by the token's name, and known after a restart", async () => {
  const { directory, service, url, ran, page } = await newPage();
  mkdirSync(join(directory, "restored"));
  const [operator, administrator] = [await visit(url, "operator"), await visit(url, "administrator")];
  const backup = ran();
  expect((await operator.post("/policies/one/run", { type: "full" })).status).toBe(202);
  const id = (await backup).snapshot?.id ?? "";
  const verification = ran();
  expect((await operator.post("/policies/one/verify")).status).toBe(202);
  await verification;
  const restore = { root: join(directory, "restored"), name: "back" };
  const path = `/policies/one/snapshots/${id}`;
  expect((await administrator.post(`${path}/restore`, restore)).status).toBe(202);
  const repository = await service.repository("one");
  await expect.poll(() => repository.restores()).toHaveLength(1);
  await service.runOnly("one", "verify");

  const entries = (await repository.audit()).map(({ operation, actor, outcome }) => [
    operation,
    actor.name,
    outcome,
  ]);
  expect(entries.filter(([operation]) => operation !== "prune")).toEqual([
    ["verify", undefined, "success"],
    ["restore", "administrator", "success"],
    ["verify", "operator", "success"],
    ["backup", "operator", "success"],
  ]);
  expect(await repository.restores()).toMatchObject([
    { actor: "administrator", snapshot: id, targets: [join(directory, "restored", "back")] },
  ]);

  const rows = [
    ["Verification", undefined],
    ["Restore", "administrator"],
    ["Verification", "operator"],
    ["Full backup", "operator"],
  ];
  const shown = rowsOf((await operator.get("/policies/one")).body);
  expect(shown.filter(([what]) => what !== "Removal of old snapshots")).toEqual(rows);
  await page.close();
  await service.stop();

  await using another = new BackupService(await loadPolicies(join(directory, "backup.yaml")));
  const tokens = await pageTokens();
  await using second = await servePage(another, { listen: "127.0.0.1:0", tokens });
  const reader = await visit(second.url, "reader");
  expect(rowsOf((await reader.get("/policies/one")).body)).toEqual(rows);
});

test("what failed or was removed before the service began is shown: in words where this machine did it, else by the log", async () => {
  const { directory, service, page } = await newPage({
    policies: `  broken: { sources: [{ type: command, name: b, command: ["false"] }], schedule: { retry_window: 0s } }
  few: { sources: [{ type: lancedb, path: db }], retention: { keep_last: 1 } }`,
    stateDirectory: "state",
  });
  expect((await service.run("broken")).outcome).toBe("failure");
  for (const _ of [1, 2]) expect((await service.run("few")).outcome).toBe("success");
  expect((await service.runOnly("few", "verify")).outcome).toBe("success");
  expect((await service.run("few")).prune?.removed).toHaveLength(1);
  const repository = await service.repository("few");
  // Attempts of one run, that came to nothing.
  const failing = { source: sourceFromUrl("command:b", { argv: ["false"] }), name: "one" };
  for (const _ of [1, 2]) await expect(repository.backup(failing)).rejects.toThrow("false");
  const kinds = (await repository.audit()).map(({ operation, outcome }) => `${operation} ${outcome}`);
  await page.close();
  await service.stop();

  const after = async (state: string | false) => {
    const policies = await loadPolicies(join(directory, "backup.yaml"));
    await using another = new BackupService(policies, { stateDirectory: state });
    const tokens = await pageTokens();
    await using served = await servePage(another, { listen: "127.0.0.1:0", tokens });
    const { get } = await visit(served.url, "reader");
    const bodies = await Promise.all(["broken", "few", "one"].map((name) => get(`/policies/${name}`)));
    return bodies.map(({ body }) => body.slice(body.indexOf('id="runs-head"')));
  };
  const [broken = "", few = "", one = ""] = await after(join(directory, "state"));
  expect(rowsOf(broken)).toEqual([["Full backup", undefined]]);
  expect(broken).toMatch(/Failed.*false/s);
  // A verification of a snapshot that is gone since is still known.
  const removal = ["Removal of old snapshots", undefined];
  expect(rowsOf(few)).toEqual([removal, ["Full backup", undefined], ["Verification", undefined], removal]);
  expect(few.match(/1 snapshot removed\./g)).toHaveLength(2);
  expect(kinds.slice(0, 2)).toEqual(["backup failure", "backup failure"]);
  expect(rowsOf(one)).toEqual([["Backup", undefined]]);
  const [elsewhere = ""] = await after(false);
  expect(rowsOf(elsewhere)).toEqual([["Full backup", undefined]]);
  expect(elsewhere).toMatch(/Failed.*class="came"><span>[A-Z_]+/s);
});

test("entries that are asked for by two at once are there once", async () => {
  const { service } = await newPage();
  await service.run("one");
  const repository = await service.repository("one");
  const newest = new NewestEntries();
  await newest.read(repository);
  await service.runOnly("one", "verify");
  await Promise.all([newest.read(repository), newest.read(repository)]);
  const numbers = (await newest.read(repository)).map(({ number }) => number);
  expect(numbers).toEqual([...new Set(numbers)]);
});

test("what fails behind a backup that went well is shown, by what failed", async () => {
  const { service, directory, url } = await newPage();
  const { snapshot } = await service.run("one");
  const blobs = readdirSync(join(directory, "vault", "blobs"), { recursive: true, withFileTypes: true });
  for (const blob of blobs.filter((each) => each.isFile())) rmSync(join(blob.parentPath, blob.name));
  const report = await service.runOnly("one", "verify");
  expect([report.outcome, report.step]).toEqual(["failure", "verify"]);
  const { body } = await (await visit(url, "reader")).get("/policies/one");
  expect(body.slice(body.indexOf('id="runs-head"'))).toContain("Verification");
  const failed = { policy: "one", kind: "prune", at: new Date(), outcome: "failure" } as const;
  const listed = await (await service.repository("one")).list();
  const runs = runsIn([{ snapshots: listed, entries: [] }], [{ ...failed, snapshot: snapshot?.id }], () => 0);
  expect(runs.map(({ kind, outcome }) => [kind, outcome])).toEqual([
    ["prune", "failure"],
    ["full", "success"],
  ]);
});

test("of what failed before a restart it is known who asked for it, besides why it failed", () => {
  const at = new Date();
  const entry = (operation: AuditEntry["operation"], number: number) =>
    ({
      ...{ operation, number, at, outcome: "failure", durationMs: 10 },
      ...{ actor: { name: "anna" }, details: { name: "one", error: "IO" } },
    }) as unknown as AuditEntry;
  const failed = {
    policy: "one",
    at,
    outcome: "failure",
    durationMs: 10,
    details: "the disk is away",
  } as const;
  const content = { snapshots: [], entries: [entry("verify", 1), entry("backup", 2)] };
  const remembered = [{ ...failed, kind: "verify" } as const, { ...failed, kind: "full" } as const];
  expect(runsIn([content], remembered, () => 0)).toEqual(remembered.map((run) => ({ ...run, by: "anna" })));
});

test("of many policies fifty are shown at a time, those in trouble first; the others are found by name", async () => {
  const off = Array.from({ length: 120 }, (_, index) => {
    const name = `shop-${String(index).padStart(3, "0")}`;
    return `  ${name}: { enabled: false, sources: [{ type: lancedb, path: db }] }`;
  });
  const { url, service } = await newPage({ policies: off.join("\n") });
  await service.run("one");
  const { get } = await visit(url, "reader");
  const namesOn = async (path: string) =>
    [...(await get(path)).body.matchAll(/<h3><a href="[^"]+">([^<]+)<\/a>/g)].map(([, name]) => name);
  const first = await namesOn("/");
  expect(first.slice(0, 3)).toEqual(["gated", "one", "shop-000"]);
  expect(first).toHaveLength(50);
  expect(await namesOn("/?page=3")).toHaveLength(22);
  expect(await namesOn("/?page=99")).toHaveLength(22);
  expect(await namesOn("/?page=x")).toHaveLength(50);
  expect(await namesOn("/?q=SHOP-11")).toHaveLength(10);
  expect((await get("/?q=none")).body).toContain("No policy is called so.");
  expect((await get("/")).body).toContain("122 policies");
  expect((await ask(`${url}/?q=shop`)).status).toBe(401);
});

test.runIf(process.env["NIGHTLY"] === "1")(
  "10,000 policies are looked at once for all who look at the page, and what happens meanwhile is shown in the end",
  async () => {
    const many = Array.from({ length: 10_000 }, (_, index) => {
      return `  p${index}: { sources: [{ type: lancedb, path: db }], schedule: { full: "${index % 60} ${index % 24} * * *" } }`;
    });
    const clock = new TestClock(new Date());
    const { url, service } = await newPage({ policies: many.join("\n"), clock });
    const { get, cookie } = await visit(url, "reader");
    let looks = 0;
    const status = service.status.bind(service);
    service.status = (options) => {
      looks++;
      return status(options);
    };
    const bodies = await Promise.all(Array.from({ length: 30 }, () => get("/")));
    expect(bodies.every(({ body }) => body.includes("10,002 policies"))).toBe(true);
    expect(looks).toBe(1);
    const { open, saw } = listen(`${url}/events`, cookie);
    await open;
    await service.run("one");
    await saw("one: full backup, done.");
    await clock.pass(15_000);
    await expect.poll(async () => (await get("/?q=one")).body, { interval: 2000 }).toContain("Well");
    expect((await get("/policies/one")).status).toBe(200);
  },
);

/** What was done, and who asked for it, as the page of a policy has it. */
function rowsOf(body: string): unknown[][] {
  const latest = body.slice(body.indexOf('id="runs-head"'));
  return [
    ...latest.matchAll(/<th scope="row"[^>]*>(?:<a[^>]*>)?([^<]+).*?(?:asked for by (\w+)|<\/tr>)/gs),
  ].map(([, what, by]) => [what, by]);
}
