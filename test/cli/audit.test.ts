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
  expect(whole).toMatchObject({ code: 0, stdout: expect.stringContaining("is whole") });
  const expected = /--expect (\d+:[0-9a-f]{64})/.exec(whole.stdout)?.[1] ?? "";
  rmSync(join(repo, "audit/0000000001.json"));
  const broken = await run(["audit", "--verify", "--expect", expected], { env });
  expect(broken).toMatchObject({ code: 3, stdout: expect.stringMatching(/MISSING +entry 1 is missing/) });
  expect((await run(["audit", "--verify", "--expect", "1:2"], { env })).code).toBe(2);
});
