import { chmodSync, mkdirSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { ImageReader } from "../../src/lance/image.ts";
import { listManifests } from "../../src/lance/manifest.ts";
import { filesBelow, newestManifest } from "../support/files.ts";
import { run, runJson } from "./cli.ts";
import { countRows, dieAtWork, giveAway, newPlace, STRANGER, snapshotOf } from "./fixture.ts";

interface Finding {
  readonly check: string;
  readonly about: string;
  readonly level: string;
  readonly details: string;
  readonly advice?: string;
}

/** What is not "ok" of these kinds. */
async function findings(args: readonly string[], checks: readonly string[]): Promise<Finding[]> {
  const { stdout } = await run(["doctor", ...args, "--json"]);
  const all = (JSON.parse(stdout) as { findings: Finding[] }).findings;
  return all.filter(({ check, level }) => level !== "ok" && checks.includes(check));
}

test("advice can be pasted, whatever paths are called", async () => {
  const place = await newPlace();
  const database = join(place.directory, "it's a db");
  renameSync(place.database, database);
  const repo = join(place.directory, "a vault");
  renameSync(place.repo, repo);
  const [found] = await findings([database, "--repo", repo], ["repository"]);
  expect(found?.advice).toBe(
    `lancedb-backup backup '${place.directory}/it'\\''s a db' --repo '${place.directory}/a vault'`,
  );
});

test("all is well: versions, file systems, tables and the repository; and nothing is changed", async () => {
  const place = await newPlace();
  await snapshotOf(place);
  const now = () => ({ database: filesBelow(place.database), repository: filesBelow(place.repo) });
  const before = now();
  const { code, stdout } = await run(["doctor", place.database, "--repo", place.repo]);
  expect(code).toBe(0);
  expect(now()).toEqual(before);
  for (const line of [
    /^ok {7}version @lancedb\/lancedb: 0\.\d+\.\d+$/m,
    /^ok {7}links .*: Reflinks: (yes|no)\. Hard links: (yes|no)\.$/m,
    /^ok {7}space .*: [\d.,]+ of [\d.,]+ GB are free for the database\.$/m,
    /^ok {7}journal .*: Nothing was left in the journal\.$/m,
    /^ok {7}table words: Version 4: 39 rows, \d+ files, all present with the right sizes\.$/m,
    /^ok {7}repository .*: 1 snapshot of .*; the newest was taken /m,
    /^warning {2}repository .*: It lies on the same file system as the database: if that disk is lost, so are both\.$/m,
    /^0 problems, \d warnings?\.$/m,
  ]) {
    expect(stdout).toMatch(line);
  }
});

test("without a database it looks at versions alone; of none that is there it says so", async () => {
  const { ok, findings: all } = await runJson<{ ok: boolean; findings: Finding[] }>(["doctor"]);
  expect(ok).toBe(true);
  expect(new Set(all.map(({ check }) => check))).toEqual(new Set(["version"]));
  const { code, stderr } = await run(["doctor", "nowhere"]);
  expect(code).toBe(2);
  expect(stderr).toContain("There is no database at ");
});

test("a damaged newest version, a missing file and a directory without a table", async () => {
  const { database } = await newPlace();
  truncateSync(newestManifest(join(database, "words.lance")), 10);
  const path = await dataFileOf(join(database, "docs.lance"));
  rmSync(join(database, "docs.lance", path));
  mkdirSync(join(database, "empty.lance"));
  const found = await findings([database], ["table", "manifest"]);
  expect(found).toEqual([
    expect.objectContaining({
      about: "docs",
      level: "problem",
      details: expect.stringContaining(`${path} is missing`),
      advice: expect.stringContaining("scrub"),
    }),
    expect.objectContaining({
      check: "manifest",
      about: "words",
      level: "problem",
      details: expect.stringContaining("version 4"),
      advice: expect.stringContaining("shows version 3"),
    }),
    expect.objectContaining({ about: "empty.lance", level: "warning" }),
  ]);
  expect((await run(["doctor", database])).code).toBe(1);
  expect((await run(["recover", database, "--yes"])).stdout).toContain(
    "words: damaged version 4 moved aside; it opens at version 3.",
  );
  expect(await findings([database], ["aside"])).toHaveLength(1);
});

test("tables that cannot be captured, and why; branches; tags", async () => {
  const { database } = await newPlace();
  const db = await connect(database);
  await db.cloneTable("clone", join(database, "words.lance"));
  const docs = await db.openTable("docs");
  await (await docs.branches()).create("side");
  await (await docs.tags()).create("v2", 2);
  db.close();
  mkdirSync(join(database, "words.lance/_refs/tags"), { recursive: true });
  writeFileSync(join(database, "words.lance/_refs/tags/ü.json"), JSON.stringify({ version: 1 }));
  expect(await findings([database], ["table", "tags", "branches"])).toEqual([
    expect.objectContaining({
      about: "clone",
      level: "warning",
      details: expect.stringContaining("shallow clone"),
    }),
    expect.objectContaining({ about: "docs", check: "branches", details: expect.stringContaining("side") }),
    expect.objectContaining({
      about: "docs",
      check: "tags",
      level: "note",
      details: expect.stringContaining('"v2" is on version 2'),
    }),
    expect.objectContaining({
      about: "words",
      check: "tags",
      level: "problem",
      details: expect.stringContaining("ü"),
    }),
  ]);
});

test("what a killed process left, and a backup that waits", async () => {
  const place = await newPlace();
  await dieAtWork(place);
  expect(await findings([place.database], ["journal"])).toEqual([
    expect.objectContaining({ level: "problem", advice: expect.stringContaining("lancedb-backup recover") }),
  ]);
  await run(["recover", place.database]);
  expect(await findings([place.database], ["journal"])).toEqual([]);
});

test("a repository without a snapshot of the database, with a damaged document, and none at all", async () => {
  const place = await newPlace();
  const of = (...args: string[]) => findings([place.database, ...args], ["repository"]);
  expect(await of("--repo", place.repo)).toContainEqual(
    expect.objectContaining({ level: "warning", details: expect.stringContaining("It has no snapshot of") }),
  );
  const id = await snapshotOf(place);
  writeFileSync(join(place.repo, "snapshots", `${id}.json`), "{}");
  expect(await of("--repo", place.repo)).toContainEqual(
    expect.objectContaining({ level: "problem", details: expect.stringContaining(id) }),
  );
  expect(await of("--repo", join(place.directory, "nowhere"))).toEqual([
    expect.objectContaining({ level: "problem", details: expect.stringContaining("There is no repository") }),
  ]);
});

/** The first data file of a table's newest version. */
async function dataFileOf(dataset: string): Promise<string> {
  const [newest] = await listManifests(dataset);
  const image = newest && (await new ImageReader(dataset).read(newest));
  return image?.files.find((file) => file.path.startsWith("data/"))?.path ?? "";
}

test("a table of which nothing is whole: the advice names the newest snapshot of that very database", async () => {
  const place = await newPlace();
  const id = await snapshotOf(place);
  const other = await newPlace();
  await snapshotOf({ ...other, env: place.env });
  const versions = join(place.database, "words.lance/_versions");
  for (const name of filesBelow(versions)) truncateSync(join(versions, name), 10);
  const [found] = await findings([place.database, "--repo", place.repo], ["manifest"]);
  const command = `restore ${id} ${place.database} --in-place --table words --repo ${place.repo}`;
  expect(found?.advice).toBe(`No version of it is whole. Restore the table: lancedb-backup ${command}`);
  expect((await run([...command.split(" "), "--yes"])).code).toBe(0);
  expect(await countRows(place.database, "words")).toBe(39);
});

test("what only looks like a table is not to be removed while it holds something", async () => {
  const { database, repo } = await newPlace();
  renameSync(repo, join(database, "a.lance"));
  mkdirSync(join(database, "b.lance/data"), { recursive: true });
  mkdirSync(join(database, "c.lance"));
  mkdirSync(Buffer.from(`${database}/\xff.lance`, "latin1"));
  const found = await findings([database], ["table"]);
  const adviceFor = (name: string) => found.find(({ about }) => about === name)?.advice;
  expect(adviceFor("a.lance")).toContain("Move it out of the database");
  expect(adviceFor("b.lance")).toContain("move that elsewhere");
  expect(adviceFor("c.lance")).toBe("It is empty: remove it.");
  expect(adviceFor("\ufffd.lance")).toContain("Rename it");
});

test("a table's directory and a repository are no databases, and are not to be backed up", async () => {
  const place = await newPlace();
  const table = await run(["doctor", join(place.database, "words.lance"), "--repo", place.repo]);
  expect(table.code).toBe(1);
  expect(table.stdout).toContain(`not a database; the database is ${place.database}.`);
  expect(table.stdout).not.toContain("lancedb-backup backup /");
  const repository = await run(["doctor", place.repo]);
  expect(repository.code).toBe(1);
  expect(repository.stdout).toContain("It is a repository, not a database.");
});

test("a database whose tables are gone is seen beside its newest snapshot", async () => {
  const place = await newPlace();
  const id = await snapshotOf(place);
  for (const name of ["words", "docs"]) rmSync(join(place.database, `${name}.lance`), { recursive: true });
  expect(await findings([place.database], ["table"])).toMatchObject([{ level: "note" }]);
  expect(await findings([place.database, "--repo", place.repo], ["table"])).toMatchObject([
    {
      level: "problem",
      details: expect.stringContaining("has 2 tables."),
      advice: expect.stringContaining(id),
    },
  ]);
});

test("a damaged newest version that the repository has is brought back, not moved aside", async () => {
  const place = await newPlace();
  const id = await snapshotOf(place);
  truncateSync(newestManifest(join(place.database, "words.lance")), 10);
  const [found] = await findings([place.database, "--repo", place.repo], ["manifest"]);
  const command = `scrub ${place.database} --heal --repo ${place.repo}`;
  expect(found?.advice).toContain(`lancedb-backup ${command} brings it back from snapshot ${id}.`);
  expect((await run([...command.split(" "), "--yes"])).code).toBe(0);
  expect(await findings([place.database], ["manifest"])).toEqual([]);
  expect(await countRows(place.database, "words")).toBe(39);
});

test("what this user may not read or write is told", async () => {
  const place = await newPlace();
  await snapshotOf(place);
  giveAway(place.directory);
  const look = async () => {
    const { stdout } = await run(["doctor", place.database, "--repo", place.repo, "--json"], STRANGER);
    const { findings: all } = JSON.parse(stdout) as { findings: Finding[] };
    return all.filter(({ level }) => level === "problem");
  };
  expect(await look()).toEqual([]);
  const file = join(place.database, "docs.lance", await dataFileOf(join(place.database, "docs.lance")));
  chmodSync(file, 0);
  expect(await look()).toMatchObject([
    { check: "table", details: expect.stringContaining("permission denied") },
  ]);
  chmodSync(file, 0o644);
  chmodSync(join(place.repo, "snapshots"), 0o555);
  expect(await look()).toMatchObject([
    { check: "permissions", details: expect.stringContaining("snapshots cannot be written to by ") },
  ]);
  chmodSync(join(place.database, "words.lance"), 0);
  expect(await look()).toMatchObject([
    { check: "permissions", about: join(place.database, "words.lance") },
    {},
  ]);
});

test("snapshots of another database with the same path: on which host, and go on only if it is the same", async () => {
  const place = await newPlace();
  await snapshotOf(place);
  const [first] = await runJson<{ source: { id: string; host: string } }[]>(["list"], { env: place.env });
  rmSync(join(place.database, ".lancedb-backup/identity"), { recursive: true });
  const found = await findings([place.database, "--repo", place.repo], ["repository"]);
  const { details } = found.find((one) => one.details.includes("no snapshot of"))!;
  expect(details).toContain(`this path on ${first?.source.host}. Only if it is the same database: `);
  expect(details).toContain(`backup --source-id ${first?.source.id}`);
});
