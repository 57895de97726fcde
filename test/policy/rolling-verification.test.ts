import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { BackupService } from "../../src/policy/backup-service.ts";
import { loadPolicies } from "../../src/policy/policies.ts";
import { silent } from "../crash/silent.ts";
import { newDirectory } from "../support/database.ts";

test("a policy's verification reads its share of all blobs, and looks at the newest snapshot's sizes; both are in the audit log", async () => {
  const directory = await newDirectory();
  const file = join(directory, "backup.yaml");
  mkdirSync(join(directory, "notes"));
  writeFileSync(join(directory, "notes/a.txt"), "content");
  const policy = `policies:
  notes:
    storage: { type: local, path: ./vault, create: true }
    sources: [{ type: files, paths: [./notes] }]
    verification: { schedule: 1d, rolling: 30d }
`;
  writeFileSync(file, policy);
  const policies = await loadPolicies(file);
  expect(policies.get("notes")?.settings.verification).toMatchObject({
    rollingMs: 30 * 86_400_000,
    readData: false,
  });
  await using service = new BackupService(policies, { logger: silent });
  expect(await service.run("notes")).toMatchObject({ outcome: "success", attempts: 1 });
  const { verification } = await service.runOnly("notes", "verify");
  expect(verification?.at(-1)).toMatchObject({
    check: "rolling",
    ok: true,
    oldestBlobSeconds: expect.any(Number),
  });
  expect(verification?.find(({ check }) => check === "integrity")?.details).toContain("sizes only");
  expect(
    JSON.parse(readFileSync(join(directory, "vault/verify/rolling.json"), "utf8")).body.at,
  ).toBeDefined();
  const recorded = await (await service.repository("notes")).audit();
  expect(recorded.map(({ operation }) => operation)).toEqual(["verify", "verify", "backup"]);
  writeFileSync(file, policy.replace("30d", "often"));
  await expect(loadPolicies(file)).rejects.toThrow("rolling");
});
