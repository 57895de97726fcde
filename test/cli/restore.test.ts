import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { run, runJson, runOnTerminal, withoutEscapes } from "./cli.ts";
import { addRow, countRows, newPlace, snapshotOf } from "./fixture.ts";

test("restore into a new directory", async () => {
  const place = await newPlace();
  const id = await snapshotOf(place);
  const target = join(place.directory, "restored");
  const { code, stdout } = await run(["restore", "latest", target], { env: place.env });
  expect(code).toBe(0);
  expect(stdout).toMatch(
    new RegExp(`^Restored snapshot ${id} to ${target}: 2 tables, \\d+ files, .*\\.\\n$`),
  );
  expect(await countRows(target, "words")).toBe(39);
});

test("restore of one table at an older version; a dry run writes nothing", async () => {
  const place = await newPlace();
  await snapshotOf(place);
  const target = join(place.directory, "restored");
  const args = [
    "restore",
    "latest",
    target,
    "--table",
    "words",
    "--table-version",
    "words=2",
    "--parallel",
    "2",
  ];
  const planned = await runJson<{ dryRun: boolean; tables: unknown[] }>([...args, "--dry-run"], {
    env: place.env,
  });
  expect(planned).toMatchObject({ dryRun: true, tables: [{ id: "words", restoredVersion: 2, rows: 40 }] });
  expect(existsSync(target)).toBe(false);
  await runJson(args, { env: place.env });
  expect(readdirSync(target)).toEqual(["words.lance"]);
  expect(await countRows(target, "words")).toBe(40);
});

test("restore to a moment before everything is refused, and says since when there is something", async () => {
  const place = await newPlace();
  await snapshotOf(place);
  const { code, stderr } = await run(["restore", "latest", join(place.directory, "x"), "--at", "1w"], {
    env: place.env,
  });
  expect(code).toBe(2);
  expect(stderr).toMatch(/no table that is as old as .*oldest version/);
});

test("restore into a directory that is not empty is refused", async () => {
  const place = await newPlace();
  await snapshotOf(place);
  const target = join(place.directory, "taken");
  mkdirSync(target);
  writeFileSync(join(target, "precious"), "");
  const { code, stderr } = await run(["restore", "latest", target], { env: place.env });
  expect(code).toBe(2);
  expect(stderr).toContain(`The target ${target} is not empty: it has precious.`);
  expect(readdirSync(target)).toEqual(["precious"]);
});

test("restore in place asks with the plan, and needs --yes where nobody can be asked", async () => {
  const place = await newPlace();
  await snapshotOf(place);
  await addRow(place);
  const args = ["restore", "latest", place.database, "--in-place"];
  const refused = await run(args, { env: place.env });
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain("--yes");
  expect(await countRows(place.database, "words")).toBe(40);

  const { code, stdout } = await runOnTerminal(args, { env: place.env, type: [["[y/N]", "y\n"]] });
  expect(code).toBe(0);
  const shown = withoutEscapes(stdout);
  expect(shown).toMatch(/^docs +4 +39 .* needs no change$/m);
  expect(shown).toMatch(/^words +4 +39 .* goes back +5$/m);
  expect(await countRows(place.database, "words")).toBe(39);
});

test("restore in place brings a table back that is gone, and leaves a new one alone", async () => {
  const place = await newPlace();
  await snapshotOf(place, "--table", "words");
  rmSync(join(place.database, "words.lance"), { recursive: true });
  const args = ["restore", "latest", place.database, "--in-place", "--yes"];
  const { code, stdout } = await run(args, { env: place.env });
  expect(code).toBe(0);
  expect(stdout).toContain("Left as they are: docs.");
  expect(await countRows(place.database, "words")).toBe(39);
});

test("restore in place from another database's snapshot says so, and needs more than --yes", async () => {
  const place = await newPlace();
  await snapshotOf(place);
  const other = await newPlace({ rows: 7 });
  const id = await snapshotOf({ ...other, env: place.env });
  const { env } = place;
  const latest = await run(["restore", "latest", place.database, "--in-place", "--yes"], { env });
  expect(latest).toMatchObject({ code: 0 }); // its own, though the other is newer
  const args = ["restore", id, place.database, "--in-place"];

  const planned = await run([...args, "--dry-run", "--yes"], { env });
  expect(planned.code).toBe(0);
  expect(planned.stdout).toContain(`was taken from another database: ${other.database} on `);
  const refused = await run([...args, "--yes"], { env });
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain(`Snapshot ${id} was taken from another database: ${other.database} on `);
  expect(refused.stderr).toContain("--other-source");
  const no = await runOnTerminal(args, { env, columns: 200, type: [["[y/N]", "n\n"]] });
  expect(no.code).toBe(1);
  expect(withoutEscapes(no.stdout)).toMatch(/another database: .*\nRestore it anyway\?/);
  expect(await countRows(place.database, "words")).toBe(39);

  expect((await run([...args, "--yes", "--other-source"], { env })).code).toBe(0);
  expect(await countRows(place.database, "words")).toBe(6);
});
