import { rmSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Repository } from "../../src/repository/index.ts";
import { silent } from "../crash/silent.ts";
import { run, runJson } from "./cli.ts";
import { newPlace } from "./fixture.ts";

test("audit lists who did what, restores alone, and tells by --verify of an entry that is gone with exit code 3", async () => {
  const { env, database, directory, repo } = await newPlace();
  const repository = await Repository.open(repo, { logger: silent });
  const { id } = await repository.backup({ source: database });
  const target = join(directory, "back");
  await runJson(["restore", id, target], { env: { ...env, LANCEDB_BACKUP_ACTOR: "ci" } });
  const { stdout, code } = await run(["audit", "--limit", "1"], { env });
  expect(code).toBe(0);
  expect(stdout).toMatch(/ENTRY +TIME +WHO +WHAT[\s\S]*ci \(.*@.*\) +restore +success/);
  expect(await runJson(["audit", "--restores"], { env })).toMatchObject([
    { snapshot: id, targets: [target], outcome: "success", actor: "ci" },
  ]);
  const whole = await run(["audit", "--verify"], { env });
  expect(whole).toMatchObject({ code: 0, stdout: expect.stringContaining("is complete") });
  const expected = /--expect (\d+:[0-9a-f]{64})/.exec(whole.stdout)?.[1] ?? "";
  rmSync(join(repo, "audit/0000000001.json"));
  const broken = await run(["audit", "--verify", "--expect", expected], { env });
  expect(broken).toMatchObject({ code: 3, stdout: expect.stringMatching(/MISSING +entry 1 is missing/) });
  expect((await run(["audit", "--verify", "--expect", "1:2"], { env })).code).toBe(2);
});

test("what is recorded the environment says, and --audit in its place; of policies their file alone", async () => {
  const { env, database, repo } = await newPlace();
  const off = { ...env, LANCEDB_BACKUP_AUDIT: "off" };
  const { id } = await runJson<{ id: string }>(["backup", database], { env: off });
  await runJson(["pin", id, "--audit", "all"], { env: off });
  const repository = await Repository.open(repo, { logger: silent });
  expect((await repository.audit()).map(({ operation }) => operation)).toEqual(["pin"]);
  const wrong = await run(["list"], { env: { ...env, LANCEDB_BACKUP_AUDIT: "some" } });
  expect(wrong.stderr).toContain('LANCEDB_BACKUP_AUDIT must be auto or all or off, not "some".');
  for (const option of [["--audit", "off"], ["--read-only"]]) {
    const refused = await run(["run", "--once", "--config", "none.yaml", ...option]);
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringMatching(/audit|read-only/) });
  }
});
