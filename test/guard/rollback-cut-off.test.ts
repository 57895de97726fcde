import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Connection, connect } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { JournalEntry } from "../../src/guard/journal/journal-entry.ts";
import { armRestore, planRestore } from "../../src/guard/restore/arm-restore.ts";
import { takeDirectory } from "../../src/guard/rollback/set-aside.ts";
import { ConflictError, RestoreError } from "../../src/index.ts";
import { endOperation, newOwner } from "../../src/lance/lock/lock-owner.ts";
import { lancedb, newDatabase, type TestDatabase } from "../support/database.ts";
import { dieInside } from "../support/die-inside.ts";
import { otherFileSystem } from "../support/other-file-system.ts";

// Rollbacks and restores that ended half-way, where others have committed to a table that is to go.

const failure = new Error("on purpose");
const idsOf = async (db: Connection) =>
  (await (await db.openTable("t")).query().toArray()).map(({ id }: { id: number }) => Number(id)).sort();

/** What lies in `aside/others`, as a database of its own. */
async function keptForOthers({ uri }: TestDatabase): Promise<Connection> {
  const others = join(uri, ".lancedb-backup", "aside", "others");
  const [only, ...more] = readdirSync(others);
  expect(more).toEqual([]);
  return connect(join(others, only ?? ""));
}

describe("a table that guarded work made and others wrote to, taken away by a recovery that was killed then", () => {
  async function takenAway() {
    const place = await newDatabase();
    await place.db.createTable("u", [{ id: 1 }]);
    dieInside(place, `await db.createTable("t", [{ id: 1 }])`);
    await (await place.db.openTable("t")).add([{ id: 2 }]);
    const [id = ""] = readdirSync(join(place.uri, ".lancedb-backup", "journal"));
    await takeDirectory({ database: place.uri, asideName: id, by: id }, "t.lance");
    expect(await place.db.tableNames()).toEqual(["u"]);
    return place;
  }

  test("is back, with a conflict", async () => {
    const place = await takenAway();
    const { entries } = await place.manager.recover();
    expect(entries).toMatchObject([{ action: "conflict", conflicts: [{ table: "t", versions: [2] }] }]);
    expect(await idsOf(place.db)).toEqual([1, 2]);
  });

  test("is kept for them, where it is to go all the same", async () => {
    const place = await takenAway();
    const { entries } = await place.manager.recover({ onConflict: "overwrite" });
    expect(entries).toMatchObject([{ action: "rolled-back" }]);
    expect(await place.db.tableNames()).toEqual(["u"]);
    expect(await idsOf(await keptForOthers(place))).toEqual([1, 2]);
  });

  test("is kept for them, too, where another has its name by now", async () => {
    const place = await takenAway();
    await place.db.createTable("t", [{ id: 7 }]);
    await place.manager.recover();
    expect(await idsOf(await keptForOthers(place))).toEqual([1, 2]);
    expect(await idsOf(place.db)).toEqual([7]);
  });
});

test("a table with a long name goes, too", async () => {
  const place = await newDatabase();
  const name = "t".repeat(240);
  const work = place.manager.withBackup("lance-version", async (guarded) => {
    await guarded.createTable(name, [{ id: 1 }]);
    throw failure;
  });
  await expect(work).rejects.toBe(failure);
  expect(await place.db.tableNames()).toEqual([]);
});

test("a restore of a guarded backup that is completed keeps for others what goes with a table", async () => {
  const place = await newDatabase();
  await place.db.createTable("u", [{ id: 1 }]);
  const work = place.manager.withBackup("lance-version", async (guarded) => {
    await guarded.createTable("t", [{ id: 1 }]);
    await (await place.db.openTable("t")).add([{ id: 2 }]);
    throw failure;
  });
  await expect(work).rejects.toBeInstanceOf(ConflictError);
  const [id = ""] = readdirSync(join(place.uri, ".lancedb-backup", "journal"));
  const record = new JournalEntry(place.uri, id).read("held");
  if (!record) throw new Error("no backup was kept");
  const owner = newOwner();
  const plan = await planRestore(lancedb, place.uri, id, record, "overwrite");
  await armRestore(place.uri, owner, { id, record }, plan, "overwrite");
  endOperation(owner);
  const { entries } = await place.manager.recover();
  expect(entries).toMatchObject([{ action: "held" }, { action: "restored" }]);
  expect(await place.db.tableNames()).toEqual(["u"]);
  expect(await idsOf(await keptForOthers(place))).toEqual([1, 2]);
  await place.manager.cleanupBackup(id);
  expect(await idsOf(await keptForOthers(place))).toEqual([1, 2]);
});

test("a conflict whose backup cannot be closed says all of it, and is recovered later", async () => {
  const mount = await otherFileSystem();
  if (!mount) return;
  const place = await newDatabase({ backupDir: join(mount, "backups") });
  const table = await place.db.createTable("t", [{ id: 1 }]);
  const filler = join(mount, "filler");
  mkdirSync(filler);
  const work = place.manager.withBackup("directory-copy", async (guarded) => {
    await (await guarded.openTable("t")).add([{ id: 2 }]);
    await table.checkoutLatest();
    await table.add([{ id: 3 }]);
    try {
      for (let index = 0; ; index++) writeFileSync(join(filler, `${index}`), Buffer.alloc(4096));
    } catch (error) {
      expect(error).toMatchObject({ code: "ENOSPC" });
    }
    throw failure;
  });
  const error = (await work.catch((reason: unknown) => reason)) as RestoreError;
  expect(error).toBeInstanceOf(RestoreError);
  expect(error.workError).toBe(failure);
  expect(error.restoreError).toBeInstanceOf(ConflictError);
  expect(existsSync(error.backupPath ?? "")).toBe(true);
  rmSync(filler, { recursive: true });
  const { entries } = await place.manager.recover({ onConflict: "keep" });
  expect(entries).toMatchObject([{ action: "kept" }]);
  expect(await idsOf(place.db)).toEqual([1, 2, 3]);
  const [backup] = await place.manager.listBackups();
  await place.manager.restoreBackup(backup?.id ?? "");
  expect(await idsOf(place.db)).toEqual([1]);
});
