import { readdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { expect, test } from "vitest";
import { run, runJson, runOnTerminal, withoutEscapes } from "./cli.ts";
import { addRow, damage, largestBlob, newPlace, type Place, snapshotOf } from "./fixture.ts";

// verify, scrub and prune.

function dataFile({ database }: Place): string {
  const data = join(database, "words.lance/data");
  return join(
    data,
    readdirSync(data)
      .filter((name) => name.endsWith(".lance"))
      .sort()[0] as string,
  );
}

test("verify: all is well", async () => {
  const place = await newPlace();
  const id = await snapshotOf(place);
  const { code, stdout } = await run(["verify"], { env: place.env });
  expect(code).toBe(0);
  expect(stdout).toMatch(new RegExp(`^ok {6}${id} integrity: .*every byte hashed`, "m"));
  expect(stdout).toMatch(/\nAll is well: 3 checks\.\n$/);
  const tested = await runJson<{ check: string }[]>(["verify", "latest", "--restore-test"], {
    env: place.env,
  });
  expect(tested.length).toBeGreaterThan(3);
});

test("verify: damage ends with 3, as text and as JSON", async () => {
  const place = await newPlace();
  const id = await snapshotOf(place);
  damage(largestBlob(place));
  const { code, stdout } = await run(["verify"], { env: place.env });
  expect(code).toBe(3);
  expect(stdout).toMatch(new RegExp(`^DAMAGE {2}${id} integrity: `, "m"));
  const json = await run(["verify", id, "--json"], { env: place.env });
  expect(json.code).toBe(3);
  expect(JSON.parse(json.stdout)).toContainEqual(
    expect.objectContaining({
      snapshot: id,
      check: "integrity",
      ok: false,
      error: expect.objectContaining({ code: "CORRUPT" }),
    }),
  );
  expect((await run(["verify", "--sizes-only", "--quiet"], { env: place.env })).stderr).toBe("");
});

test("verify: a snapshot that is too small is damage; a bad size is wrong use", async () => {
  const place = await newPlace();
  await snapshotOf(place);
  expect((await run(["verify", "latest", "--min-bytes", "1GB"], { env: place.env })).code).toBe(3);
  expect((await run(["verify", "latest", "--min-bytes", "1kB"], { env: place.env })).code).toBe(0);
  expect((await run(["verify", "--min-bytes", "much"], { env: place.env })).code).toBe(2);
  expect((await run(["verify", "--read", "200%"], { env: place.env })).code).toBe(2);
});

test("scrub finds a flipped bit and heals it, and asks before it does", async () => {
  const place = await newPlace();
  await snapshotOf(place);
  const args = ["scrub", place.database];
  const well = await run(args, { env: place.env });
  expect(well.code).toBe(0);
  expect(well.stdout).toMatch(/No damage\.\n$/);

  damage(dataFile(place));
  const found = await run(args, { env: place.env });
  expect(found.code).toBe(3);
  expect(found.stdout).toMatch(/^DAMAGE {2}.*words/m);

  const refused = await run([...args, "--heal"], { env: place.env });
  expect(refused.code).toBe(2);
  const { code, stdout } = await runOnTerminal([...args, "--heal"], {
    env: place.env,
    type: [["Heal it? [y/N]", "y\n"]],
  });
  expect(code).toBe(0);
  expect(withoutEscapes(stdout)).toMatch(/HEALED {2}.*words/);
  expect((await run(args, { env: place.env })).code).toBe(0);
});

test("scrub of a database that has no snapshot is wrong use", async () => {
  const place = await newPlace();
  const { code, stderr } = await run(["scrub", place.database], { env: place.env });
  expect(code).toBe(2);
  expect(stderr).toContain(`has no snapshot of ${place.database}`);
});

test("prune shows its plan, asks, and frees what nobody needs", async () => {
  const place = await newPlace();
  const old = await snapshotOf(place, "--latest-only");
  await addRow(place);
  const kept = await snapshotOf(place, "--latest-only");
  const args = ["prune", "--keep-last", "1", "--grace-hours", "0"];
  const planned = await run([...args, "--dry-run"], { env: place.env });
  expect(planned.code).toBe(0);
  expect(planned.stdout).toMatch(new RegExp(`^${old} .* remove +no rule keeps it$`, "m"));
  expect(planned.stdout).toMatch(new RegExp(`^${kept} .* keep +keepLast 1`, "m"));
  expect(planned.stdout).toContain("1 snapshot to remove, 1 kept.");

  const refused = await run(args, { env: place.env });
  expect(refused).toMatchObject({ code: 2, stdout: "" });
  const no = await runOnTerminal(args, { env: place.env, type: [["[y/N]", "\n"]] });
  expect(no.code).toBe(1);
  expect(await runJson(["list"], { env: place.env })).toHaveLength(2);

  const done = await runJson<{ removed: unknown[]; freed: { blobs: number } }>([...args, "--yes"], {
    env: place.env,
  });
  expect(done.removed).toHaveLength(1);
  expect(done.freed.blobs).toBeGreaterThan(0);
  expect((await run(["verify"], { env: place.env })).code).toBe(0);
});

test("prune without a rule removes no snapshot, and does not ask", async () => {
  const place = await newPlace();
  await snapshotOf(place);
  const { code, stdout } = await run(["prune"], { env: place.env });
  expect(code).toBe(0);
  expect(stdout).toContain("0 snapshots removed, 1 kept.");
});

test("verify latest where the newest document is damaged is damage, and says what to do", async () => {
  const place = await newPlace();
  await snapshotOf(place);
  const id = await snapshotOf(place);
  writeFileSync(join(place.repo, "snapshots", `${id}.json`), "{");
  const { code, stdout } = await run(["verify", "latest"], { env: place.env });
  expect(code).toBe(3);
  expect(stdout).toMatch(new RegExp(`^DAMAGE {2}${id} document: `, "m"));
  expect(stdout).toContain(`-> Snapshot ${id} cannot be restored`);
  expect(stdout).toContain(`lancedb-backup delete ${id} --repo ${place.repo} removes it`);
  const json = await run(["verify", "latest", "--json"], { env: place.env });
  expect(JSON.parse(json.stdout)).toMatchObject([{ snapshot: id, check: "document", ok: false }]);
});

test("verify --quarantine moves a damaged blob aside, and the next backup stores it anew", async () => {
  const place = await newPlace();
  const id = await snapshotOf(place);
  const blob = largestBlob(place);
  damage(blob);
  await snapshotOf(place); // takes the blob for what it was
  const found = await run(["verify"], { env: place.env });
  expect(found.stdout).toContain(
    `lancedb-backup verify --quarantine --repo ${place.repo} moves damaged blobs`,
  );
  const moved = await run(["verify", "--quarantine"], { env: place.env });
  expect(moved.code).toBe(3);
  expect(moved.stdout).toMatch(/quarantine: 1 damaged blob moved to .*quarantine\. The next backup/);
  expect(readdirSync(join(place.repo, "quarantine"))).toEqual([basename(blob)]);
  expect((await run(["verify"], { env: place.env })).stdout).toMatch(
    new RegExp(`${id} integrity: .*is missing`),
  );
  await snapshotOf(place);
  expect((await run(["verify"], { env: place.env })).code).toBe(0);
  expect((await run(["verify", "--quarantine", "--sizes-only"], { env: place.env })).code).toBe(2);
});
