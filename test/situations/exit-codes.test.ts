import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { run, runJson } from "../cli/cli.ts";
import { damage, largestBlob, newPlace, type Place, snapshotOf } from "../cli/fixture.ts";
import { leave } from "../repository/lease/leases.ts";

// A script asks the exit code: 0 done, 3 damage, 4 done but something was left out or postponed.

/** Takes a file away that older versions of `words` need and the newest does not; answers with its path in the table. */
async function loseOldFile({ database }: Place): Promise<string> {
  const data = join(database, "words.lance/data");
  const before = readdirSync(data);
  const db = await connect(database);
  const table = await db.openTable("words");
  await table.delete("true");
  await table.add([{ id: 1, text: "new", group: "g", score: 1, vector: new Array(8).fill(0.5) }]);
  db.close();
  rmSync(join(data, before[0] ?? ""));
  return `data/${before[0]}`;
}

test("an older version's file is missing: the backup is made, says so, and ends with 4; doctor finds it", async () => {
  const place = await newPlace();
  const lost = await loseOldFile(place);
  const text = await run(["backup", place.database], { env: place.env });
  expect(text.code).toBe(4);
  const json = await run(["backup", place.database, "--json"], { env: place.env });
  expect(json.code).toBe(4);
  const { tables } = JSON.parse(json.stdout) as { tables: { id: string; leftOut: string[] }[] };
  const leftOut = tables.find(({ id }) => id === "words")?.leftOut ?? [];
  expect(leftOut.length).toBeGreaterThan(0);
  for (const what of leftOut) {
    expect(what).toContain(lost);
    expect(text.stdout).toContain(`Not in the snapshot: words: ${what}`);
  }
  const doctor = await run(["doctor", place.database], { env: place.env });
  expect(doctor.stdout).toMatch(/warning {2}versions words: \d+ older versions? cannot be read in full/);
  expect(doctor.stdout).toContain(lost);
});

test("a restore of such a snapshot says so too, with 4", async () => {
  const place = await newPlace();
  const lost = await loseOldFile(place);
  await run(["backup", place.database], { env: place.env });
  const restored = await run(["restore", "latest", join(place.directory, "restored")], { env: place.env });
  expect(restored.code).toBe(4);
  expect(restored.stdout).toContain(`Not restored: words: `);
  expect(restored.stdout).toContain(lost);
});

test("whole databases: 0 for backup, restore, prune, and a restore of one table alone", async () => {
  const place = await newPlace();
  await snapshotOf(place);
  const target = (name: string) => join(place.directory, name);
  for (const words of [
    ["restore", "latest", target("all")],
    ["restore", "latest", target("one"), "--table", "docs"],
    ["prune", "--keep-last", "1", "--yes"],
  ]) {
    expect(await run(words, { env: place.env })).toMatchObject({ code: 0 });
  }
});

test("a prune that a lease holds up ends with 4, and says by whom, in text and JSON", async () => {
  const place = await newPlace();
  const id = await snapshotOf(place);
  await runJson(["delete", id, "--yes"], { env: place.env });
  await leave(new LocalStorage(place.repo), "shared", "alive");
  const args = ["prune", "--grace-hours", "0", "--lock-timeout", "0.2", "--yes"];
  const text = await run(args, { env: place.env });
  expect(text.code).toBe(4);
  const json = await run([...args, "--json"], { env: place.env });
  expect(json.code).toBe(4);
  const { postponed } = JSON.parse(json.stdout) as { postponed: string };
  expect(postponed).toContain(`process ${process.pid}`);
  expect(text.stdout).toMatch(/^Not freed: .*in use/m);
});

test("a damaged blob is 3, for verify and for scrub", async () => {
  const place = await newPlace();
  await snapshotOf(place);
  damage(largestBlob(place));
  expect((await run(["verify", "latest"], { env: place.env })).code).toBe(3);
});

test("the help and the documentation name all of them", async () => {
  const { stdout } = await run(["--help"]);
  for (const code of [0, 1, 2, 3, 4, 130]) expect(stdout).toMatch(new RegExp(`^ +${code} +\\S`, "m"));
});
