import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { filesBelow } from "../support/files.ts";
import { run, runJson } from "./cli.ts";
import { addRow, newPlace, snapshotOf } from "./fixture.ts";

interface Report {
  readonly dryRun: boolean;
  readonly copied: readonly { readonly snapshot: { readonly id: string }; readonly storedBytes: number }[];
  readonly present: readonly string[];
  readonly failed: readonly { readonly snapshot: string; readonly error: { readonly code: string } }[];
}

test("copy shows what it would do, copies, says what is there, and ends with 3 where something is damaged", async () => {
  const place = await newPlace();
  const { env } = place;
  const other = join(place.directory, "other");
  const first = await snapshotOf(place, "--name", "first", "--tag", "keep");
  expect(await run(["copy", other], { env })).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("There is no repository"),
  });
  await runJson(["init", other]);
  expect(await run(["copy", place.repo], { env })).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("the same repository"),
  });
  const planned = await run(["copy", other, "--dry-run"], { env });
  expect(planned).toMatchObject({ code: 0, stdout: expect.stringContaining("1 snapshot to copy to") });
  const copied = await run(["copy", other, "--tag", "keep"], { env });
  expect(copied).toMatchObject({ code: 0, stderr: expect.stringContaining("Copying:") });
  expect(copied.stdout).toContain(first);
  expect(copied.stdout).toContain("1 snapshot copied to");
  await addRow(place);
  const second = await snapshotOf(place);
  const [digest = ""] = await newBlobsOf(place.repo, other);
  const blob = join(place.repo, "blobs", digest);
  chmodSync(blob, 0o600);
  writeFileSync(blob, readFileSync(blob).fill(255, 10, 20));
  const damaged = await run(["copy", other, "--json", "--quiet"], { env });
  const report = JSON.parse(damaged.stdout) as Report;
  expect(damaged.code).toBe(3);
  expect(report).toMatchObject({ dryRun: false, copied: [], present: [first] });
  expect(report.failed).toMatchObject([{ snapshot: second, error: { code: "CORRUPT" } }]);
  expect((await run(["verify", "--repo", other])).code).toBe(0);
});

async function newBlobsOf(repository: string, other: string): Promise<string[]> {
  const there = new Set(filesBelow(join(other, "blobs")));
  return filesBelow(join(repository, "blobs")).filter((name) => !there.has(name));
}
