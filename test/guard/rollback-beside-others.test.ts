import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { expect, onTestFinished, test } from "vitest";
import { BackupManager, BackupStrategy, ConflictError } from "../../src/index.ts";
import { newDatabase, newDirectory } from "../support/database.ts";

const rows = (count: number, from = 0) => Array.from({ length: count }, (_, index) => ({ id: from + index }));

test.each(Object.values(BackupStrategy))(
  "%s: a cleanup by others takes our versions: a conflict, not silence",
  async (strategy) => {
    const { db, manager } = await newDatabase();
    await db.createTable("t", rows(10));
    const work = manager.withBackup(strategy, async (guarded) => {
      await (await guarded.openTable("t")).add(rows(50));
      const cleanupOlderThan = new Date(Date.now() + 1000);
      await (await db.openTable("t")).optimize({ cleanupOlderThan, deleteUnverified: true });
      throw new Error("mine");
    });
    await expect(work).rejects.toThrow(ConflictError);
    const [kept] = await manager.listBackups();
    expect(kept?.state).toBe("kept");
    await manager.restoreBackup(kept?.id ?? "");
    expect(await (await db.openTable("t")).countRows()).toBe(10);
  },
);

test.each(Object.values(BackupStrategy))(
  "%s: others write into a table that the work dropped: the way back is kept",
  async (strategy) => {
    const { db, manager } = await newDatabase();
    const stale = await db.createTable("t", rows(10));
    const work = manager.withBackup(strategy, async (guarded) => {
      await guarded.dropTable("t");
      await stale.add(rows(2));
      throw new Error("mine");
    });
    await expect(work).rejects.toThrow(ConflictError);
    const [kept] = await manager.listBackups();
    await manager.restoreBackup(kept?.id ?? "");
    expect(
      await (await connect(manager.uri)).openTable("t").then((table) => table.query().toArray()),
    ).toHaveLength(10);
  },
);

test("a relative uri means one database, also when the working directory changes", async () => {
  const [directory, before] = [await newDirectory(), process.cwd()];
  const logger = { debug: () => 0, info: () => 0, warn: () => 0, error: () => 0 };
  const counts = async (name: string) =>
    (await (await connect(join(directory, name, "dbx"))).openTable("t")).countRows();
  for (const name of ["a", "b"]) {
    mkdirSync(join(directory, name));
    await (await connect(join(directory, name, "dbx"))).createTable("t", rows(2));
  }
  onTestFinished(() => process.chdir(before));
  process.chdir(join(directory, "a"));
  const manager = new BackupManager({ uri: "dbx", backupDir: "backups", logger });
  process.chdir(join(directory, "b"));
  await manager.withBackup("directory-copy", async (db) => (await db.openTable("t")).delete("true"));
  expect([await counts("a"), await counts("b")]).toEqual([0, 2]);
});
