import { existsSync, readdirSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { BackupManager } from "../../src/index.ts";
import { newestManifest } from "../support/files.ts";
import { run, runJson, runOnTerminal, withoutEscapes } from "./cli.ts";
import { addRow, countRows, dieAtWork, newPlace, type Place } from "./fixture.ts";

// undo and recover: what the guard leaves beside a database.

async function undoPoint({ database, directory }: Place): Promise<{ id: string; backupDir: string }> {
  const backupDir = join(directory, "backups");
  await using manager = new BackupManager({ uri: database, backupDir });
  return { id: await manager.createBackup("directory-copy"), backupDir };
}

test("undo lists a backup, restores it, and removes it", async () => {
  const place = await newPlace();
  const none = await run(["undo", "list", place.database]);
  expect(none).toMatchObject({ code: 0, stdout: "There is no backup of this database.\n" });
  const { id, backupDir } = await undoPoint(place);
  await addRow(place);

  const list = await run(["undo", "list", place.database, "--backup-dir", backupDir]);
  expect(list.stdout).toMatch(new RegExp(`^${id} .* ready +directory-copy .* docs words$`, "m"));

  const restore = ["undo", "restore", place.database, "latest", "--backup-dir", backupDir];
  expect((await run(restore)).code).toBe(2);
  expect(await runJson([...restore, "--dry-run"])).toEqual({ id, dryRun: true, tables: ["docs", "words"] });
  expect(await countRows(place.database, "words")).toBe(40);
  const restored = await runOnTerminal(restore, { type: [["[y/N]", "yes\n"]] });
  expect(restored.code).toBe(0);
  expect(withoutEscapes(restored.stdout)).toMatch(/words: is as it was, now version 6; passed over, .*: 5/);
  expect(await countRows(place.database, "words")).toBe(39);

  const clean = ["undo", "clean", place.database, "--backup-dir", backupDir];
  expect((await run(clean)).stderr).toContain("Name their ids, or --all.");
  expect((await run([...clean, id])).code).toBe(2);
  expect(await runJson([...clean, "--all", "--dry-run"])).toEqual({ dryRun: true, removed: [id] });
  expect(await runJson([...clean, "--all", "--before", "1h", "--yes"])).toEqual({
    dryRun: false,
    removed: [],
  });
  expect(await runJson([...clean, "--all", "--yes"])).toEqual({ dryRun: false, removed: [id] });
  expect(existsSync(join(backupDir, id))).toBe(false);
});

test("undo restore of what is not there is wrong use, and a conflict is told of", async () => {
  const place = await newPlace();
  const missing = await run(["undo", "restore", place.database, "backup_1", "--yes"]);
  expect(missing.code).toBe(2);
  expect(missing.stderr).toContain('There is no backup "backup_1"');
  const { id, backupDir } = await undoPoint(place);
  await addRow(place);
  const args = [
    "undo",
    "restore",
    place.database,
    id,
    "--backup-dir",
    backupDir,
    "--yes",
    "--fail-on-conflict",
  ];
  const conflict = await run([...args, "--json"]);
  expect(conflict.code).toBe(1);
  expect(JSON.parse(conflict.stdout)).toMatchObject({ error: { code: "CONFLICT" } });
  expect(await countRows(place.database, "words")).toBe(40);
});

test("recover rolls back what a killed process left; a dry run only tells", async () => {
  const place = await newPlace();
  expect((await run(["recover", place.database])).stdout).toBe("There was nothing to recover.\n");
  await dieAtWork(place);
  const damaged = await countRows(place.database, "words");
  expect(damaged).toBeLessThan(39);

  const planned = await run(["recover", place.database, "--dry-run"]);
  expect(planned.code).toBe(0);
  expect(planned.stdout).toMatch(/PROBLEM {2}journal backup_\d+: Guarded work on words was cut off/);
  expect(await countRows(place.database, "words")).toBe(damaged);

  const { code, stdout } = await run(["recover", place.database]);
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^backup_\d+: its process died; its tables are as before\.\n {2}words: is as it was/,
  );
  expect(await countRows(place.database, "words")).toBe(39);
});

test("recover leaves a table alone that others have committed to, and says what leads on", async () => {
  const place = await newPlace();
  await dieAtWork(place);
  await addRow(place);
  const conflict = await run(["recover", place.database]);
  expect(conflict.code).toBe(1);
  expect(conflict.stdout).toContain("others have committed since");
  for (const flag of ["--overwrite", "--keep"])
    expect(conflict.stdout).toContain(`recover ${place.database} ${flag} `);
  expect(conflict.stdout).toContain("or below .lancedb-backup/aside/others where the table goes again.");
  const foretold = await run(["recover", place.database, "--dry-run"]);
  expect(foretold.stdout).toMatch(/others have committed since: words, version \d+\. It is not rolled back/);
  const asked = await runOnTerminal(["recover", place.database, "--overwrite"], {
    columns: 500,
    type: [["[y/N]", "n\n"]],
  });
  expect(asked.code).toBe(1);
  expect(withoutEscapes(asked.stdout)).toMatch(/others have committed since: words, version \d+\./);
  expect((await run(["recover", place.database, "--overwrite", "--keep"])).code).toBe(2);
  expect((await run(["recover", place.database, "--overwrite"])).stderr).toContain("--yes");
  const kept = await run(["recover", place.database, "--keep"]);
  expect(kept.code).toBe(0);
  expect(kept.stdout).toContain("its backup is kept");
  const [backup] = await runJson<{ state: string }[]>(["undo", "list", place.database]);
  expect(backup?.state).toBe("kept");
});

test.each([["undo list"], ["recover"]])("%s of no database says so", async (command) => {
  const { directory } = await newPlace();
  const words = command.split(" ");
  const { code, stderr } = await run([...words, join(directory, "vault", "repository.json")]);
  expect(code).toBe(2);
  expect(stderr).toContain("is a file, not a database's directory");
  const missing = await run([...words, join(directory, "nowhere")]);
  expect(missing.code).toBe(2);
  expect(missing.stderr).toContain("There is no database at ");
});

test("recover asks before it moves a damaged newest version aside", async () => {
  const { database } = await newPlace();
  const head = newestManifest(join(database, "words.lance"));
  truncateSync(head, 10);
  const refused = await run(["recover", database]);
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain("--yes");
  const no = await runOnTerminal(["recover", database], { columns: 500, type: [["[y/N]", "n\n"]] });
  expect(no.code).toBe(1);
  expect(withoutEscapes(no.stdout)).toMatch(
    /newest manifest is damaged \(version 4\)[\s\S]*shows version 3\./,
  );
  expect(existsSync(head)).toBe(true);
  expect((await run(["recover", database, "--yes"])).stdout).toContain("it opens at version 3.");
});

test("recover tells of a table that has no whole version left, and fails", async () => {
  const { database } = await newPlace();
  const versions = join(database, "words.lance", "_versions");
  for (const name of readdirSync(versions)) truncateSync(join(versions, name), 0);
  const told = await run(["recover", database, "--yes"]);
  expect(told.code).toBe(1);
  expect(told.stdout).toMatch(/^words: No version of the table at /m);
  const { code, stdout } = await run(["recover", database, "--yes", "--json"]);
  expect(code).toBe(1);
  expect(JSON.parse(stdout)).toMatchObject({
    healed: [],
    unreadable: [{ table: "words", error: { code: "CORRUPT" } }],
  });
});
