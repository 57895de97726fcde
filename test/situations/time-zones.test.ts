import { join } from "node:path";
import { Repository } from "lancedb-backup";
import { expect, test } from "vitest";
import type { PruneReport } from "../../src/repository/index.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { run, runJson } from "../cli/cli.ts";
import { putSnapshot } from "../repository/fixture.ts";
import { newDirectory } from "../support/database.ts";

// Days begin at different moments: whose days counted is said, and times are shown in that zone.

async function newVault() {
  const vault = join(await newDirectory(), "vault");
  await Repository.init(vault);
  const storage = new LocalStorage(vault);
  const early = await putSnapshot(storage, { at: "2026-01-10T10:30:00Z" });
  const late = await putSnapshot(storage, { at: "2026-01-10T11:30:00Z" }); // the next day in Auckland
  return { env: { LANCEDB_BACKUP_REPO: vault }, early, late };
}

test.each([
  ["Pacific/Auckland", ["2026-01-11 00:30:00", "2026-01-10 23:30:00"], 2],
  ["America/New_York", ["2026-01-10 06:30:00", "2026-01-10 05:30:00"], 1],
])("days are those of %s, which is said in text and JSON", async (zone, times, kept) => {
  const { env } = await newVault();
  const args = ["prune", "--keep-daily", "5", "--dry-run", "--time-zone", zone];
  const { stdout } = await run(args, { env });
  expect(stdout).toContain(`rules: ${zone}.`);
  for (const time of times) expect(stdout).toContain(time);
  const report = await runJson<PruneReport>(args, { env });
  expect(report.timeZone).toBe(zone);
  expect(report.kept).toHaveLength(kept);
});

test("without the option it is the machine's, which is said too", async () => {
  const { env } = await newVault();
  const ran = { env: { ...env, TZ: "Asia/Kolkata" } };
  const { stdout } = await run(["prune", "--keep-daily", "1", "--dry-run"], ran);
  expect(stdout).toMatch(/rules: Asia\/(Kolkata|Calcutta)\./);
  expect(stdout).toContain("2026-01-10 17:00:00");
  const report = await runJson<PruneReport>(["prune", "--dry-run"], ran);
  expect(report.timeZone).toMatch(/^Asia\/(Kolkata|Calcutta)$/);
});
