import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Connection } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { BackupNotFoundError, BackupStrategy, ConflictError, RestoreError } from "../../src/index.ts";
import { leftovers, newDatabase, type TestDatabase } from "../support/database.ts";
import { arrangeTables } from "../support/kinds-of-work.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";
import { rowsOf, snapshotOf } from "../support/snapshot.ts";

// Somebody else writes to the same table, past the guard, while guarded work runs and then fails. What they
// were told had succeeded must not vanish.

const onPurpose = new Error("on purpose");

/** Another program adds one row; answers with its version. */
async function theirCommit({ db }: TestDatabase, name = "main", id = 5000): Promise<number> {
  return (await (await db.openTable(name)).add(sampleRows(id, 1))).version;
}

async function has({ db }: TestDatabase, where: string, name = "main"): Promise<boolean> {
  return (await (await db.openTable(name)).countRows(where)) > 0;
}

describe.each(Object.values(BackupStrategy))("%s", (strategy) => {
  const fail = (
    place: TestDatabase,
    work: (db: Connection) => Promise<unknown>,
    options: { onConflict?: "fail" | "overwrite"; tables?: string[] } = {},
  ) =>
    place.manager
      .withBackup(
        strategy,
        async (db) => {
          await work(db);
          throw onPurpose;
        },
        options,
      )
      .then(
        () => undefined,
        (error: unknown) => error,
      );

  test("theirs after ours: ConflictError names table and version, nothing changes, the backup is kept", async () => {
    const place = await newDatabase();
    await arrangeTables(place.db);
    const before = await snapshotOf(place.db);
    let version = 0;
    const error = await fail(place, async (db) => {
      await (await db.openTable("main")).add(sampleRows(100, 1));
      await (await db.openTable("other")).delete("true");
      version = await theirCommit(place);
    });
    expect(error).toBeInstanceOf(ConflictError);
    expect(error).toMatchObject({
      code: "CONFLICT",
      conflicts: [{ table: "main", versions: [version] }],
      cause: onPurpose,
    });
    const { message } = error as ConflictError;
    expect(message).toContain("main");
    expect(message).toContain(String(version));
    // All or none: the table without a conflict did not go back either.
    expect(await has(place, "id = 100")).toBe(true);
    expect(await has(place, "id = 5000")).toBe(true);
    expect(await (await place.db.openTable("other")).countRows()).toBe(0);

    const [kept, ...more] = await place.newManager().listBackups();
    expect(more).toEqual([]);
    expect(kept).toMatchObject({ state: "kept", strategy, tables: ["main", "other"] });
    expect(message).toContain(kept?.id ?? "?");

    // The tables can be worked on, and the kept backup is still the state from before all of it.
    await place.manager.withBackup(strategy, async (db) =>
      (await db.openTable("main")).add(sampleRows(200, 1)),
    );
    const { tables } = await place.manager.restoreBackup(kept?.id ?? "");
    expect(await snapshotOf(place.db)).toEqual(before);
    expect(tables.find(({ table }) => table === "main")?.passedOver).toContain(version);
    const table = await place.db.openTable("main");
    await table.checkout(version);
    expect(await table.countRows("id = 5000")).toBe(1);
    await place.manager.cleanupBackup(kept?.id ?? "");
    expect(await place.manager.listBackups()).toEqual([]);
    expect(leftovers(place)).toEqual([]);
  });

  test("theirs between ours, and many", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    const versions: number[] = [];
    const error = await fail(place, async (db) => {
      const table = await db.openTable("main");
      for (let n = 0; n < 4; n++) {
        await table.add(sampleRows(100 + n, 1));
        versions.push(await theirCommit(place, "main", 5000 + n));
      }
      await table.delete("id < 10");
    });
    expect(error).toBeInstanceOf(ConflictError);
    const [{ id: backup } = { id: undefined }] = await place.manager.listBackups();
    expect(error).toMatchObject({ conflicts: [{ table: "main", versions }], backup });
    expect(backup).toBeDefined();
    for (let n = 0; n < 4; n++) expect(await has(place, `id = ${5000 + n}`)).toBe(true);
  });

  test("onConflict overwrite goes back all the same; theirs stay reachable by number, and are logged", async () => {
    const place = await newDatabase();
    await arrangeTables(place.db);
    const before = await snapshotOf(place.db);
    let version = 0;
    const work = async (db: Connection) => {
      await (await db.openTable("main")).add(sampleRows(100, 1));
      version = await theirCommit(place);
    };
    expect(await fail(place, work, { onConflict: "overwrite" })).toBe(onPurpose);
    expect(await snapshotOf(place.db)).toEqual(before);
    const table = await place.db.openTable("main");
    await table.checkout(version);
    expect(await table.countRows("id = 5000")).toBe(1);
    expect(
      place.logged.some(({ level, meta }) => level === "warn" && JSON.stringify(meta).includes(`${version}`)),
    ).toBe(true);
    expect(leftovers(place)).toEqual([]);
  });

  test.each([{ tables: ["main"] }, {}])(
    "only theirs: nothing of ours to undo, so theirs stay (%o)",
    async (options) => {
      const place = await newDatabase();
      await arrangeTables(place.db);
      const work = async (db: Connection) => {
        await theirCommit(place);
        await (await db.openTable("other")).delete("true");
      };
      expect(await fail(place, work, options)).toBe(onPurpose);
      expect(await has(place, "id = 5000")).toBe(true);
      expect(await (await place.db.openTable("other")).countRows()).toBe(9);
      expect(leftovers(place)).toEqual([]);
    },
  );

  test("theirs before our first write belongs to what is kept", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    const work = async (db: Connection) => {
      const table = await db.openTable("main");
      await theirCommit(place);
      await table.delete("true");
    };
    expect(await fail(place, work)).toBe(onPurpose);
    expect(await (await place.db.openTable("main")).countRows()).toBe(40);
  });

  test("theirs in a table that we made, and in one that we dropped and made again", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    for (const drop of [false, true]) {
      const name = drop ? "main" : "fresh";
      const error = await fail(place, async (db) => {
        if (drop) await db.dropTable("main");
        await db.createTable(name, sampleRows(0, 3));
        await theirCommit(place, name);
      });
      expect(error, name).toBeInstanceOf(ConflictError);
      expect((error as ConflictError).conflicts).toEqual([{ table: name, versions: [drop ? 6 : 2] }]);
      expect(await has(place, "id = 5000", name)).toBe(true);
    }
    // By hand, the order of things can be chosen: the newest first.
    for (const { id } of (await place.manager.listBackups()).reverse()) {
      await place.manager.restoreBackup(id);
      await place.manager.cleanupBackup(id);
    }
    expect(await place.db.tableNames()).toEqual(["main"]);
    expect(await (await place.db.openTable("main")).countRows()).toBe(39);
  });

  test("they dropped the table that we wrote to: it comes back as it was", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    const before = await snapshotOf(place.db);
    const work = async (db: Connection) => {
      await (await db.openTable("main")).add(sampleRows(100, 1));
      rmSync(join(place.uri, "main.lance"), { recursive: true });
    };
    expect(await fail(place, work)).toBe(onPurpose);
    expect(await snapshotOf(place.db)).toEqual(before);
    expect(leftovers(place)).toEqual([]);
  });

  test("they dropped it and made another: that one is theirs", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    const before = await snapshotOf(place.db);
    const error = await fail(place, async (db) => {
      await (await db.openTable("main")).add(sampleRows(100, 1));
      await place.db.dropTable("main");
      await place.db.createTable("main", [{ theirs: 1 }]);
    });
    expect(error).toBeInstanceOf(ConflictError);
    expect(await rowsOf(await place.db.openTable("main"))).toEqual([{ theirs: 1, _rowid: "0n" }]);
    const [kept] = await place.manager.listBackups();
    await place.manager.restoreBackup(kept?.id ?? "");
    expect(await snapshotOf(place.db)).toEqual(before);
  });

  test("success does not mind theirs", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    await place.manager.withBackup(strategy, async (db) => {
      await (await db.openTable("main")).add(sampleRows(100, 1));
      await theirCommit(place);
    });
    expect(await has(place, "id = 100")).toBe(true);
    expect(await has(place, "id = 5000")).toBe(true);
    expect(leftovers(place)).toEqual([]);
  });

  test("a conflict that LanceDB reports to the work rolls back like any error", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    const theirs = await place.db.openTable("main");
    const outcome = place.manager.withBackup(strategy, async (db) => {
      const table = await db.openTable("main");
      await table.add(sampleRows(100, 1));
      await theirs.checkoutLatest();
      await theirs.add(sampleRows(600, 1), { mode: "overwrite" });
      await table.add(sampleRows(101, 1)); // not onto a table that was overwritten
    });
    await expect(outcome).rejects.toThrow(ConflictError);
    expect(await rowsOf(await place.db.openTable("main"))).toHaveLength(1);
    const [kept] = await place.manager.listBackups();
    expect(kept?.state).toBe("kept");
  });
});

describe("a rollback that fails", () => {
  test("RestoreError holds both errors and the place of the backup, which is kept", async () => {
    const place = await newDatabase({ link: "hardlink" });
    await makeSampleTable(place.db, "main");
    const outcome = place.manager.withBackup(BackupStrategy.DirectoryCopy, async (db) => {
      await (await db.openTable("main")).add(sampleRows(100, 1));
      const [backup] = await place.manager.listBackups();
      expect(backup?.state).toBe("active");
      await expect(place.manager.restoreBackup(backup?.id ?? "")).rejects.toMatchObject({ code: "LOCKED" });
      await expect(place.manager.cleanupBackup(backup?.id ?? "")).rejects.toMatchObject({ code: "LOCKED" });
      rmSync(join(place.uri, "main.lance", "data"), { recursive: true });
      rmSync(join(backup?.path ?? "", "main.lance", "data"), { recursive: true });
      throw onPurpose;
    });
    const error = await outcome.catch((e: unknown) => e);
    expect(error).toBeInstanceOf(RestoreError);
    expect(error).toMatchObject({ code: "RESTORE", workError: onPurpose, restoreError: { code: "CORRUPT" } });
    const { backupPath, message } = error as RestoreError;
    expect(backupPath).toContain(place.backupDir);
    expect(message).toContain(backupPath);
    const [kept] = await place.manager.listBackups();
    expect(kept).toMatchObject({ path: backupPath, state: "interrupted" });
  });
});

describe("a rollback whose entry cannot be looked at", () => {
  test("RestoreError holds both errors, and recover() goes back when it can be seen again", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    let owner = { path: "", text: "" };
    const outcome = place.manager.withBackup("lance-version", async (db) => {
      await (await db.openTable("main")).add(sampleRows(100, 1));
      const [backup] = await place.manager.listBackups();
      const path = join(place.uri, ".lancedb-backup/journal", backup?.id ?? "", "owner.json");
      owner = { path, text: readFileSync(path, "utf8") };
      writeFileSync(path, "{");
      throw onPurpose;
    });
    const error = await outcome.catch((e: unknown) => e);
    expect(error).toBeInstanceOf(RestoreError);
    expect(error).toMatchObject({ code: "RESTORE", workError: onPurpose, restoreError: { code: "CORRUPT" } });
    writeFileSync(owner.path, owner.text);
    await place.manager.recover();
    expect(await (await place.db.openTable("main")).countRows()).toBe(39);
  });
});

describe("a backup that is used up", () => {
  test("cleanup twice, restore after cleanup, and an id that never was", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    for (const strategy of Object.values(BackupStrategy)) {
      const id = await place.manager.createBackup(strategy);
      await place.manager.cleanupBackup(id);
      for (const gone of [id, "backup_1"]) {
        await expect(place.manager.cleanupBackup(gone)).rejects.toThrow(BackupNotFoundError);
        const error = await place.manager.restoreBackup(gone).catch((e: unknown) => e);
        expect(error).toBeInstanceOf(BackupNotFoundError);
        expect(error).toMatchObject({ id: gone, message: expect.stringContaining(gone) });
      }
    }
  });
});
