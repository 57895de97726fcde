import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { BackupService, loadPolicies } from "../../src/index.ts";
import { servePage } from "../../src/page/index.ts";
import { NewestEntries, runsIn } from "../../src/page/recorded-runs.ts";
import { ask, newPage, TOKENS, visit } from "./page-place.ts";

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

  const rowsOf = (body: string) => {
    const latest = body.slice(body.indexOf('id="runs-head"'));
    return [
      ...latest.matchAll(/<td data-head="What">(?:<a[^>]*>)?([^<]+).*?(?:asked for by (\w+)|<\/tr>)/gs),
    ].map(([, what, by]) => [what, by]);
  };
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
  const tokens = (await TOKENS).map(({ name, role, hash }) => ({ name, role, hash }));
  await using second = await servePage(another, { listen: "127.0.0.1:0", tokens });
  const reader = await visit(second.url, "reader");
  expect(rowsOf((await reader.get("/policies/one")).body)).toEqual(rows);
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
  const runs = runsIn([{ snapshots: listed, entries: [] }], [{ ...failed, snapshot: snapshot?.id }]);
  expect(runs.map(({ kind, outcome }) => [kind, outcome])).toEqual([
    ["prune", "failure"],
    ["full", "success"],
  ]);
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
