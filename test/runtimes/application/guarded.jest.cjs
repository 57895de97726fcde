const { mkdtempSync, rmSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { join } = require("node:path");
const { BackupManager, ValidationError } = require("lancedb-backup");

test("the package under Jest, by require", async () => {
  const root = mkdtempSync(join(tmpdir(), "lancedb-backup-jest-"));
  try {
    const manager = new BackupManager({ uri: join(root, "db"), backupDir: join(root, "backups") });
    const make = manager.withBackup("lance-version", (db) => db.createTable("t", [{ id: 1 }]));
    await expect(make).resolves.toBeDefined();
    await expect(manager.createBackup("no such strategy")).rejects.toBeInstanceOf(ValidationError);
    const fail = manager.withBackup("lance-version", async (db) => {
      await (await db.openTable("t")).add([{ id: 2 }]);
      throw new Error("the application's own");
    });
    await expect(fail).rejects.toThrow("the application's own");
    const table = await (await manager.connection()).openTable("t");
    expect(await table.countRows()).toBe(1);
  } finally {
    rmSync(root, { recursive: true });
  }
}, 60_000);
