import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { newDatabase, newDirectory, type TestDatabase } from "../support/database.ts";
import { dieInside } from "../support/die-inside.ts";

// The disk of the backup directory is not mounted while recovery runs: what only the copy holds is not given up.

const WORK = `const t = await db.openTable("t"); await t.add([{ id: 2 }]); await (await t.tags()).delete("good")`;

/** A table whose tag `good` was deleted by directory-copy work that was killed; the backups are away then. */
async function dead(): Promise<TestDatabase & { readonly disk: string }> {
  const disk = join(await newDirectory(), "disk");
  const place = await newDatabase({ backupDir: join(disk, "backups") });
  const table = await place.db.createTable("t", [{ id: 1 }]);
  await (await table.tags()).create("good", 1);
  dieInside(place, WORK, {}, "directory-copy");
  renameSync(disk, `${disk}.away`);
  return { ...place, disk };
}

const journalOf = ({ uri }: TestDatabase) => readdirSync(join(uri, ".lancedb-backup/journal"));
const tagsOf = async ({ db }: TestDatabase) =>
  Object.keys(await (await (await db.openTable("t")).tags()).list());

describe("recovery while the backup disk is away", () => {
  test.each([undefined, "keep", "overwrite"] as const)(
    "onConflict %s is refused, and all is back when the disk is",
    async (onConflict) => {
      const place = await dead();
      const report = place.newManager().recover({ onConflict });
      await expect(report).rejects.toMatchObject({ code: "IO", message: expect.stringContaining("mounted") });
      const write = place.newManager().withBackup("lance-version", async (db) => db.dropTable("t"));
      await expect(write).rejects.toMatchObject({ code: "IO" });
      expect(journalOf(place)).toHaveLength(1);
      renameSync(`${place.disk}.away`, place.disk);
      const { entries } = await place.newManager().recover();
      expect(entries).toMatchObject([{ action: "rolled-back" }]);
      expect(await tagsOf(place)).toEqual(["good"]);
      expect([journalOf(place), readdirSync(place.backupDir)]).toEqual([[], []]);
    },
  );

  test("an empty directory in the copies' place is no way back, and keep gives them up", async () => {
    const place = await dead();
    mkdirSync(place.backupDir, { recursive: true });
    await expect(place.newManager().recover()).rejects.toMatchObject({
      code: "IO",
      message: expect.stringMatching(/tag "good" .*is missing/),
    });
    expect(await (await place.db.openTable("t")).countRows()).toBe(2);
    const { entries } = await place.newManager().recover({ onConflict: "keep" });
    expect(entries).toMatchObject([{ action: "kept" }]);
    expect(journalOf(place)).toEqual([]);
  });

  test("what has ended stays in the journal until its copy is removed", async () => {
    const place = await dead();
    const entry = join(place.uri, ".lancedb-backup/journal", journalOf(place)[0] ?? "");
    renameSync(join(entry, "armed.json"), join(entry, "done.json"));
    await expect(place.newManager().recover()).rejects.toMatchObject({ code: "IO" });
    expect(journalOf(place)).toHaveLength(1);
    renameSync(`${place.disk}.away`, place.disk);
    await place.newManager().recover();
    expect([journalOf(place), readdirSync(place.backupDir)]).toEqual([[], []]);
  });
});

test("a lance-version backup is restored and cleaned up where the backup directory is gone", async () => {
  const place = await newDatabase();
  const { manager, db, backupDir } = place;
  const table = await db.createTable("t", [{ id: 1 }]);
  await manager.cleanupBackup(await manager.createBackup("directory-copy"));
  const id = await manager.createBackup("lance-version");
  rmSync(backupDir, { recursive: true });
  await table.add([{ id: 2 }]);
  await manager.restoreBackup(id);
  await table.checkoutLatest();
  expect(await table.countRows()).toBe(1);
  await manager.cleanupBackup(id);
  expect([await manager.listBackups(), existsSync(dirname(backupDir))]).toEqual([[], true]);
});
