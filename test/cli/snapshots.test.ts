import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { connect } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { newDirectory } from "../support/database.ts";
import { newestManifest } from "../support/files.ts";
import { run, runJson, runOnTerminal, withoutEscapes } from "./cli.ts";
import { addRow, giveAway, newPlace, STRANGER, snapshotOf } from "./fixture.ts";

// init, backup, list, info, delete: as somebody at a terminal, or a script, would call them.

test("init makes a repository, and says what to do next", async () => {
  const repo = join(await newDirectory(), "vault");
  const { code, stdout, stderr } = await run(["init", repo]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toBe(
    `Made a repository at ${repo}.\nNext: lancedb-backup backup <database> --repo ${repo}\n`,
  );
  expect(existsSync(join(repo, "repository.json"))).toBe(true);
});

test("init a second time is wrong use, and changes nothing", async () => {
  const { repo } = await newPlace();
  const { code, stderr } = await run(["init", "--repo", repo]);
  expect(code).toBe(2);
  expect(stderr).toContain("is already a repository");
});

test("backup, list and info tell of the same snapshot", async () => {
  const place = await newPlace();
  const { code, stdout, stderr } = await run([
    ...["backup", place.database, "--repo", place.repo],
    ...["--name", "nightly", "--tag", "keep", "--tag", "first"],
  ]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^Snapshot \S+: 2 tables, \d+ files, \d+ kB \(new: \d+ files, \d+ kB\), in .+\.\n$/);
  expect(stderr).toMatch(/^Reading: \d+ files, \d+ kB\n$/);
  const id = /Snapshot (\S+):/.exec(stdout)?.[1] ?? "";

  const list = await run(["list"], { env: place.env });
  const [titles, line, ...rest] = list.stdout.trimEnd().split("\n");
  expect(titles).toMatch(/^ID +TIME +NAME +TABLES +ROWS +SIZE +NEW +TAGS +SOURCE$/);
  expect(line?.split(/ {2,}/)).toEqual([
    id,
    expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/),
    "nightly",
    "2",
    "78",
    expect.stringMatching(/ kB$/),
    expect.stringMatching(/ kB$/),
    "keep first",
    place.database,
  ]);
  expect(rest).toEqual([]);

  const info = await run(["info", "nightly", "--versions"], { env: place.env });
  expect(info.stdout).toContain(id);
  expect(info.stdout).toMatch(/^docs +4 +4 +39 +\d+ +\d+ kB$/m);
  expect(info.stdout).toMatch(/^words +2 +\S+ \S+ +40$/m);
});

test("--quiet shows no progress, and a second backup stores nothing", async () => {
  const place = await newPlace();
  await snapshotOf(place);
  const { stdout, stderr } = await run(["backup", place.database, "--quiet"], { env: place.env });
  expect(stderr).toBe("");
  expect(stdout).toContain("(new: 0 files, 0 B)");
});

test("list filters, limits, and gives ids alone", async () => {
  const place = await newPlace();
  const first = await snapshotOf(place, "--tag", "a");
  await addRow(place);
  const second = await snapshotOf(place, "--tag", "b");
  const ids = async (...options: string[]) =>
    (await run(["list", "--ids", ...options], { env: place.env })).stdout.split("\n").filter(Boolean);
  expect((await ids()).sort()).toEqual([first, second].sort());
  expect(await ids("--tag", "a")).toEqual([first]);
  expect(await ids("--limit", "1")).toHaveLength(1);
  expect(await ids("--before", "1h")).toEqual([]);
  expect((await ids("--after", "1h ago")).sort()).toEqual([first, second].sort());
  const none = await run(["list", "--tag", "c"], { env: place.env });
  expect(none.stdout).toBe("There is no such snapshot.\n");
});

describe("delete", () => {
  test("asks on a terminal, and does it for a yes", async () => {
    const place = await newPlace();
    const id = await snapshotOf(place);
    const no = await runOnTerminal(["delete", id], { env: place.env, type: [["[y/N]", "n\n"]] });
    expect(no.code).toBe(1);
    expect(withoutEscapes(no.stdout)).toContain("Nothing was done.");
    expect(readdirSync(join(place.repo, "snapshots"))).toHaveLength(1);

    const yes = await runOnTerminal(["delete", id], { env: place.env, type: [["[y/N]", "y\n"]] });
    expect(yes.code).toBe(0);
    const shown = withoutEscapes(yes.stdout);
    expect(shown).toContain(`To delete: snapshot ${id} of ${place.database}`);
    expect(shown).toContain(`Deleted snapshot ${id}.`);
    expect(readdirSync(join(place.repo, "snapshots"))).toEqual([]);
  });

  test("needs --yes where nobody can be asked; --dry-run changes nothing", async () => {
    const place = await newPlace();
    const id = await snapshotOf(place);
    const refused = await run(["delete", id], { env: place.env });
    expect(refused).toMatchObject({ code: 2, stdout: "" });
    expect(refused.stderr).toContain("--yes");
    expect(await runJson(["delete", id, "--dry-run"], { env: place.env })).toEqual({ id, dryRun: true });
    expect(await runJson(["list"], { env: place.env })).toHaveLength(1);
    expect(await runJson(["delete", id, "--yes"], { env: place.env })).toEqual({ id, dryRun: false });
    expect(await runJson(["list"], { env: place.env })).toEqual([]);
  });

  test("takes a damaged snapshot by its whole id", async () => {
    const place = await newPlace();
    const id = await snapshotOf(place);
    writeFileSync(join(place.repo, "snapshots", `${id}.json`), "{");
    const { code, stderr } = await run(["delete", id, "--yes"], { env: place.env });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(readdirSync(join(place.repo, "snapshots"))).toEqual([]);
  });

  test("takes a damaged one by the beginning of its id, naming it; never as the latest", async () => {
    const place = await newPlace();
    const id = await snapshotOf(place);
    writeFileSync(join(place.repo, "snapshots", `${id}.json`), "{");
    const latest = await run(["delete", "latest", "--yes"], { env: place.env });
    expect(latest.code).toBe(2);
    expect(latest.stderr).toContain(`lancedb-backup delete ${id} --repo ${place.repo}`);
    const begin = id.slice(0, 20);
    const planned = await run(["delete", begin, "--dry-run"], { env: place.env });
    expect(planned.stdout).toContain(`To delete: snapshot ${id}, whose document is damaged.`);
    expect(await runJson(["delete", begin, "--yes"], { env: place.env })).toEqual({ id, dryRun: false });
    expect(readdirSync(join(place.repo, "snapshots"))).toEqual([]);
  });
});

test("a backup of a directory without a table is wrong use, unless it is meant", async () => {
  const { database, env } = await newPlace();
  const directory = await newDirectory();
  const refused = await run(["backup", join(database, "words.lance")], { env });
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain(`It is the directory of a table; its database is ${database}.`);
  expect((await run(["backup", directory], { env })).stderr).toContain("back it up with --allow-empty.");
  expect(await runJson(["list"], { env })).toEqual([]);
  expect(await runJson(["backup", directory, "--allow-empty"], { env })).toMatchObject({ tables: [] });
});

test("a database named by an address is found by it", async () => {
  const { database, env } = await newPlace();
  const address = pathToFileURL(database).href;
  const { id } = await runJson<{ id: string }>(["backup", address], { env });
  for (const source of [address, database]) {
    expect(await runJson(["list", "--source", source], { env })).toMatchObject([{ id }]);
  }
  expect((await run(["list", "--source", "file://%"], { env })).code).toBe(2);
});

test("two repositories in one command are wrong use, unless one is the environment's", async () => {
  const { directory, repo, env } = await newPlace();
  const page = join(directory, "page.html");
  for (const args of [
    ["init", join(directory, "a"), "--repo", join(directory, "b")],
    ["report", repo, "--repo", "b", "--html", page],
  ]) {
    const { code, stderr } = await run(args);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining("Name one.") });
  }
  const other = join(directory, "it's another");
  const made = await run(["init", other], { env });
  expect(made.stdout).toContain(`backup <database> --repo '${directory}/it'\\''s another'`);
  expect(existsSync(join(directory, "a"))).toBe(false);
});

test.each([["info zzz"], ["delete nope --yes"], ["verify zzz"], ["diff a b"], ["restore zzz x"]])(
  "%s: what is not there is wrong use",
  async (words) => {
    const { env } = await newPlace();
    expect((await run(words.split(" "), { env })).code).toBe(2);
  },
);

test("a damaged table stops a backup, which says how the others are kept meanwhile", async () => {
  const { database, repo, env } = await newPlace();
  truncateSync(newestManifest(join(database, "words.lance")), 10);
  const { code, stderr } = await run(["backup", database], { env });
  expect(code).toBe(1);
  expect(stderr).toContain(`No snapshot was made. lancedb-backup doctor ${database} --repo ${repo} says`);
  expect(stderr).toContain("--table, once for each of the others");
  expect((await run(["backup", database, "--table", "docs"], { env })).code).toBe(0);
});

test("a table is left out by its name or because it cannot be backed up, and backup, info and list say so", async () => {
  const { database, env } = await newPlace();
  const nested = join(database, "0a1b2c3d_ns$a");
  mkdirSync(join(nested, "b/_versions"), { recursive: true });
  const { stderr } = await run(["backup", database], { env });
  expect(stderr).toMatch(
    /"ns\$a\/b" has a "\/" .* with --table, or it with --exclude\. No snapshot was made\./,
  );
  rmSync(nested, { recursive: true });
  const db = await connect(database);
  await db.cloneTable("clone", join(database, "words.lance"));
  db.close();
  const refused = await run(["backup", database], { env });
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("--on-unsupported leave-out")]);
  const options = ["--exclude", "doc?", "--on-unsupported", "leave-out"];
  const { code, stdout } = await run(["backup", database, ...options], { env });
  expect([code, stdout]).toEqual([
    4,
    expect.stringMatching(/Not in the snapshot: clone: .*\n.*docs: it was/),
  ]);
  const info = await run(["info", "latest"], { env });
  expect(info.stdout).toMatch(
    /Not in the snapshot:\n {2}clone: .*shallow clone.*\n {2}docs: it was excluded/,
  );
  expect((await run(["list"], { env })).stdout).toContain("1 (2 left out)");
  const [listed] = await runJson<{ leftOut: unknown[] }[]>(["list"], { env });
  expect(listed?.leftOut).toMatchObject([{ table: "clone", why: "unsupported" }, { table: "docs" }]);
  expect((await run(["backup", database, "--on-unsupported", "skip"], { env })).code).toBe(2);
});

test.each([
  [
    "a file",
    (table: string) => join(table, "data", readdirSync(join(table, "data"))[0] ?? ""),
    "Could not read",
  ],
  ["a table's directory", (table: string) => table, "permission denied (EACCES)"],
])("where %s of the database cannot be read, that is what is said", async (_, locked, told) => {
  const { directory, database, repo, env } = await newPlace();
  giveAway(directory);
  chmodSync(locked(join(database, "words.lance")), 0);
  const { code, stderr } = await run(["backup", database], { env, ...STRANGER });
  expect(code).toBe(1);
  const [error = ""] = stderr.split("\n").filter((line) => line.startsWith("error:"));
  expect(error).toContain(told);
  expect(error).toMatch(/^error: Could not \w+ \S*words\.lance/);
  expect(error).not.toMatch(new RegExp(`Could not back up into ${repo}|Unexpected`));
});

test("init inside of a repository or a table is refused, and beside tables warned of", async () => {
  const { database, directory, repo } = await newPlace();
  for (const place of [
    join(repo, "deep/er"),
    join(database, "words.lance/vault"),
    join(database, "vault.lance"),
  ]) {
    const { code, stderr } = await run(["init", place]);
    expect({ place, code }).toEqual({ place, code: 2 });
    expect(stderr).toMatch(/lies inside of|would be taken for a table/);
    expect(existsSync(place)).toBe(false);
  }
  expect((await run(["init", join(database, "vault")])).stderr).toContain("lies in a database's directory");
  expect((await run(["init", join(directory, "other")])).stderr).toBe("");
});
