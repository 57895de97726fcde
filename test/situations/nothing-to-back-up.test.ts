import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { BackupManager, PeriodicBackupManager, Repository, ValidationError } from "lancedb-backup";
import { describe, expect, test } from "vitest";
import { run } from "../cli/cli.ts";
import { newDatabase, newDirectory } from "../support/database.ts";

describe.each(["lance-version", "directory-copy"] as const)("createBackup by %s", (strategy) => {
  test("of a database without a table is refused, and leaves nothing", async () => {
    const place = await newDatabase();
    mkdirSync(place.uri, { recursive: true });
    const made = place.manager.createBackup(strategy);
    await expect(made).rejects.toMatchObject({
      code: "VALIDATION",
      message: expect.stringMatching(/There is no table in/),
    });
    expect(await place.manager.listBackups()).toEqual([]);
  });

  test("of an empty list of tables is refused; of a table that is not there yet it is not", async () => {
    const place = await newDatabase();
    await place.db.createTable("t", [{ id: 1 }]);
    await expect(place.manager.createBackup(strategy, { tables: [] })).rejects.toThrow(/tables is empty/);
    const id = await place.manager.createBackup(strategy, { tables: ["to-come"] });
    expect((await place.manager.listBackups()).map((backup) => backup.id)).toEqual([id]);
  });
});

describe.each([
  ["in quotes", '"data/db"', /quotes/],
  ["in single quotes", "'data/db'", /quotes/],
  ["that only a shell would resolve", "~/db", /~/],
])("a path %s makes no directory", (_, path, why) => {
  test.each<[string, () => unknown]>([
    ["BackupManager", () => new BackupManager({ uri: path })],
    ["a backup directory", () => new BackupManager({ uri: "data/db", backupDir: path })],
    ["PeriodicBackupManager", () => new PeriodicBackupManager({ uri: path })],
    ["Repository.init", () => Repository.init(path)],
  ])("%s", async (_name, call) => {
    const tried = (async () => call())();
    await expect(tried).rejects.toBeInstanceOf(ValidationError);
    await expect(tried).rejects.toThrow(why);
  });

  test("the command", async () => {
    const cwd = await newDirectory();
    const db = await connect(join(cwd, "db"));
    await db.createTable("t", [{ id: 1 }]);
    const before = readdirSync(cwd);
    for (const args of [
      ["init", path],
      ["doctor", path],
      ["backup", path, "--repo", path],
    ]) {
      expect(await run(args, { cwd })).toMatchObject({ code: 2, stderr: expect.stringMatching(why) });
    }
    expect(readdirSync(cwd)).toEqual(before);
  });
});
