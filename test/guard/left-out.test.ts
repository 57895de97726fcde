import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { BackupStrategy } from "../../src/index.ts";
import { newDatabase } from "../support/database.ts";
import { makeSampleTable } from "../support/sample.ts";

test.each(Object.values(BackupStrategy))(
  "a backup by hand leaves tables out where that is asked for, and restores the others, %s",
  async (strategy) => {
    const { db, uri, manager, logged } = await newDatabase();
    const main = await makeSampleTable(db, "main");
    const tmp = await makeSampleTable(db, "tmp");
    await db.cloneTable("clone", join(uri, "main.lance"));
    await expect(manager.createBackup(strategy)).rejects.toMatchObject({ code: "UNSUPPORTED" });
    const id = await manager.createBackup(strategy, { exclude: ["t*"], onUnsupported: "leave-out" });
    const warned = logged.filter(({ level }) => level === "warn");
    expect(warned).toEqual([
      {
        level: "warn",
        message: "a table is left out of a backup",
        meta: expect.objectContaining({ table: "clone" }),
      },
    ]);
    const [backup] = await manager.listBackups();
    expect(backup?.tables).toEqual(["main"]);
    if (strategy === BackupStrategy.DirectoryCopy) {
      const copy = await connect(backup?.path ?? "");
      expect(await copy.tableNames()).toEqual(["main"]);
      copy.close();
    }
    const rows = await main.countRows();
    await main.delete("true");
    await tmp.delete("true");
    await manager.restoreBackup(id);
    expect(await (await db.openTable("main")).countRows()).toBe(rows);
    expect(await (await db.openTable("tmp")).countRows()).toBe(0);
    await manager.cleanupBackup(id);
  },
);
