import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { putSnapshot } from "../repository/fixture.ts";
import { newDirectory } from "../support/database.ts";
import { stampOf } from "../support/files.ts";
import { run, runJson } from "./cli.ts";
import { countRows, dieAtWork, holdTable, newPlace, snapshotOf } from "./fixture.ts";

// What is said of snapshots later, how old they are, what takes the room, and backups that are foretold or recover first.

const HOUR = 3_600_000;

/** A repository with a snapshot of `/a`, 30 hours old, and one of `/b`, one hour old. */
async function aged() {
  const repo = join(await newDirectory(), "vault");
  await runJson(["init", repo]);
  const storage = new LocalStorage(repo);
  const put = (uri: string, hours: number) =>
    putSnapshot(storage, { at: Date.now() - hours * HOUR, uri, sourceId: uri.slice(1), tags: ["taken"] });
  return { repo, env: { LANCEDB_BACKUP_REPO: repo }, old: await put("/a", 30), young: await put("/b", 1) };
}

test("check fails where the newest snapshot of a source is too old, or there is none, and only reads", async () => {
  const { repo, env, young } = await aged();
  const before = stampOf(repo);
  const late = await run(["check", "--max-age", "26h", "--json"], { env });
  expect(late.code).toBe(1);
  expect(JSON.parse(late.stdout)).toMatchObject({
    ...{ ok: false, maxAgeMs: 26 * HOUR },
    sources: [
      { source: "/b", id: "b", snapshot: young.id, overdue: false },
      { source: "/a", id: "a", overdue: true },
    ],
  });
  const good = await run(["check", "--max-age", "2d"], { env });
  expect(good).toMatchObject({ code: 0, stdout: expect.stringContaining("/a") });
  expect((await run(["check", "b", "--max-age", "26h"], { env })).code).toBe(0);
  expect((await run(["check", "c", "--max-age", "26h"], { env })).stdout).toContain("none");
  expect(stampOf(repo)).toEqual(before);
  expect((await run(["check", "--max-age", "soon"], { env })).code).toBe(2);
});

test("list tells of a table that fell by all snapshots, and of one of those that it shows", async () => {
  const repo = join(await newDirectory(), "vault");
  await runJson(["init", repo]);
  const storage = new LocalStorage(repo);
  const put = (uri: string, hours: number, rows: number, ...tags: string[]) =>
    putSnapshot(storage, { at: Date.now() - hours * HOUR, uri, sourceId: uri.slice(1), rows, tags });
  await put("/back", 9, 1000, "full");
  await put("/back", 8, 10, "low");
  await put("/back", 7, 1000);
  const before = await put("/open", 5, 1000, "full");
  await put("/open", 4, 10, "low");
  await put("/open", 3, 10);
  const ago = (hours: number) => new Date(Date.now() - hours * HOUR).toISOString();
  const told = async (...filter: string[]) =>
    (await run(["list", "--repo", repo, ...filter])).stdout.match(/^.*: table .*$/gm) ?? [];
  const fall = [
    expect.stringContaining(`/open: table t had 1,000 rows and then 10, from snapshot ${before.id} to`),
  ];
  for (const filter of [
    ["--tag", "full"],
    ["--tag", "low"],
  ])
    expect(await told(...filter), filter.join(" ")).toEqual(fall);
  expect(await told("--after", ago(3.5))).toEqual([]); // neither of its snapshots is shown
  expect(await told("--before", ago(7.5))).toEqual([]); // the rows are back since
});

test("pin, tag and unpin; list and info show it, prune keeps it, and delete refuses it", async () => {
  const { repo, env, old } = await aged();
  const pinned = await runJson(["pin", old.id, "--reason", "the audit"], { env });
  expect(pinned).toMatchObject({ id: old.id, tags: ["taken"], pinned: { reason: "the audit" } });
  const tagged = await run(["tag", "a", "--source", "a", "--add", "x"], { env });
  expect(tagged.code).toBe(2); // there is no snapshot of the name
  expect((await run(["tag", old.id, "--add", "x", "--remove", "taken"], { env })).stdout).toContain(
    "its tags are x",
  );
  expect((await run(["list"], { env })).stdout).toContain("(pinned) x");
  expect((await run(["info", old.id], { env })).stdout).toMatch(/Pinned +since .*: the audit/);
  const refused = await run(["delete", old.id, "--yes"], { env });
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("is pinned since") });
  const readOnly = await run(["unpin", old.id, "--read-only"], { env });
  expect(readOnly).toMatchObject({ code: 1, stderr: expect.stringContaining("for reading") });
  expect(await runJson(["unpin", old.id], { env })).toEqual({ id: old.id, tags: ["x"] });
  const stats = await run(["stats", "--repo", repo], {});
  expect(stats).toMatchObject({ code: 0, stdout: expect.stringMatching(/History +0 B/) });
});

test("backup --dry-run shows what would be read; --recover rolls dead work back first", async () => {
  const place = await newPlace();
  const { database, env } = place;
  const foretold = await run(["backup", database, "--dry-run", "--exclude", "docs"], { env });
  expect(foretold).toMatchObject({ code: 0, stdout: expect.stringContaining("Would read ") });
  expect(foretold.stdout).toContain("Not in the snapshot: docs");
  expect(await runJson(["list"], { env })).toEqual([]);
  const rows = await countRows(database, "words");
  await dieAtWork(place);
  expect((await run(["backup", database], { env })).code).toBe(1);
  const taken = await runJson<{ recovered: object[] }>(["backup", database, "--recover"], { env });
  expect(taken.recovered).toMatchObject([{ action: "rolled-back", tables: [{ table: "words" }] }]);
  expect(await countRows(database, "words")).toBe(rows);
});

test("a backup that waits says for whom after a second", async () => {
  const place = await newPlace();
  const letGo = await holdTable(place);
  const waits = run(["backup", place.database], {
    env: place.env,
    onOutput: (written) => {
      if (/Waiting for .*words.* process/.test(written)) void letGo();
    },
  });
  expect(await waits).toMatchObject({ code: 0, stderr: expect.stringContaining("Waiting for ") });
  expect(await snapshotOf(place)).toBeDefined();
});

test("restore --rows and --as: shown first, asked, and done", async () => {
  const place = await newPlace();
  const { database, directory, env } = place;
  await snapshotOf(place);
  const db = await connect(database);
  const words = await db.openTable("words");
  const rows = await words.countRows();
  await words.delete("id < 3");
  db.close();
  const restore = ["restore", "latest", database, "--table", "words"];
  const planned = await run([...restore, "--rows", "id < 5", "--dry-run"], { env });
  expect(planned).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/: 3 to add, 0 to change, [12] the same/),
  });
  expect((await run([...restore, "--rows", "id < 5"], { env })).code).toBe(2); // nobody to ask
  const keys = join(directory, "keys.txt");
  writeFileSync(keys, "0\n1\n");
  expect(await runJson([...restore, "--keys", keys, "--yes"], { env })).toMatchObject({
    added: 2,
    changed: 0,
  });
  expect(await countRows(database, "words")).toBe(rows - 1);
  const both = await run([...restore, "--rows", "id < 5", "--in-place"], { env });
  expect(both).toMatchObject({ code: 2, stderr: expect.stringContaining("leave --in-place out") });
  const beside = ["restore", "latest", database, "--in-place", "--as", "words=words_before", "--yes"];
  expect(await run(beside, { env })).toMatchObject({
    code: 0,
    stdout: expect.stringContaining("words as words_before"),
  });
  expect(await countRows(database, "words_before")).toBe(rows);
});

test("a damaged newest document gives advice, and a path that is not there is not offered to be made one", async () => {
  const { repo, env, young, old } = await aged();
  const missing = await run(["list", "--repo", `${repo}x`], { env });
  expect(missing).toMatchObject({ code: 2, stderr: expect.stringContaining("Is the path misspelt") });
  expect(missing.stderr).not.toContain("init");
  writeFileSync(join(repo, "snapshots", `${young.id}.json`), "{");
  const info = await run(["info", "latest"], { env });
  expect(info).toMatchObject({
    code: 1,
    stderr: expect.stringContaining(`lancedb-backup delete ${young.id}`),
  });
  const asked = await run(["delete", old.id, "--dry-run"], { env });
  expect(asked.stdout).toMatch(/^To delete: snapshot /);
});
