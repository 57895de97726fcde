import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { BackupStrategy, Repository, UnsupportedError } from "../../src/index.ts";
import { listTables } from "../../src/lance/database.ts";
import { locateTable } from "../../src/lance/namespaces.ts";
import { lancedb, newDatabase } from "../support/database.ts";

// In a namespace LanceDB takes any name: also one that ends as the directory of a root table does.

const NAMES = ["t.lance", "a.lance.lance", "0123abcd_t"];

async function arrange() {
  const place = await newDatabase();
  await place.db.createNamespace(["ns"]);
  for (const name of NAMES) await place.db.createTable(name, [{ id: 1 }, { id: 2 }], ["ns"]);
  await place.db.createTable("x.lance", [{ id: 1 }]);
  await place.db.createTable("0123abcd_t", [{ id: 1 }]);
  return place;
}

const IDS = ["__manifest", "0123abcd_t", ...NAMES.map((name) => `ns$${name}`), "x.lance"].sort();

test("every directory stands for the table that it is", async () => {
  const place = await arrange();
  const tables = await listTables(place.uri);
  expect(tables.map(({ id }) => id)).toEqual(IDS);
  for (const { id, directory } of tables) expect(await locateTable(lancedb, place.uri, id)).toBe(directory);
});

describe.each(Object.values(BackupStrategy))("%s", (strategy) => {
  test("a full backup has all of them, and brings them back", async () => {
    const place = await arrange();
    const id = await place.manager.createBackup(strategy);
    expect((await place.manager.listBackups())[0]?.tables.toSorted()).toEqual(IDS);
    for (const name of NAMES) await (await place.db.openTable(name, ["ns"])).delete("true");
    await place.manager.restoreBackup(id);
    const db = await connect(place.uri);
    for (const name of NAMES) expect(await (await db.openTable(name, ["ns"])).countRows(), name).toBe(2);
  });

  test("guarded work on them is rolled back", async () => {
    const place = await arrange();
    const error = new Error("on purpose");
    const outcome = place.manager.withBackup(strategy, async (db) => {
      await (await db.openTable("t.lance", ["ns"])).delete("true");
      await db.dropTable("a.lance.lance", ["ns"]);
      await db.createTable("new.lance", [{ id: 1 }], ["ns"]);
      throw error;
    });
    await expect(outcome).rejects.toBe(error);
    const db = await connect(place.uri);
    expect(await db.tableNames(["ns"])).toEqual(NAMES.toSorted());
    for (const name of NAMES) expect(await (await db.openTable(name, ["ns"])).countRows(), name).toBe(2);
  });

  test("LanceDB drops the directory of such a table as if it were a root table: it comes back", async () => {
    const place = await arrange();
    const error = new Error("on purpose");
    const outcome = place.manager.withBackup(strategy, async (db) => {
      await db.dropAllTables();
      expect(readdirSync(place.uri).filter((name) => name.endsWith(".lance"))).toEqual([]);
      throw error;
    });
    await expect(outcome).rejects.toBe(error);
    const db = await connect(place.uri);
    for (const name of NAMES) expect(await (await db.openTable(name, ["ns"])).countRows(), name).toBe(2);
  });

  test("a table of which no list has the name is refused, not left out", async () => {
    const place = await arrange();
    await place.db.createTable("a/b", [{ id: 1 }], ["ns"]);
    const outcome = place.manager.createBackup(strategy);
    await expect(outcome).rejects.toThrow(UnsupportedError);
    await expect(outcome).rejects.toThrow(/ns\$a\/b/);
    await place.manager.createBackup(strategy, { tables: ["ns$t.lance"] });
  });
});

test("a dataset that is no table of LanceDB's is in a full backup too", async () => {
  const place = await arrange();
  const other = await newDatabase();
  await other.db.createTable("t", [{ id: 1 }]);
  const { cp } = await import("node:fs/promises");
  await cp(join(other.uri, "t.lance"), join(place.uri, "pictures"), { recursive: true });
  const id = await place.manager.createBackup(BackupStrategy.DirectoryCopy);
  expect(existsSync(join(place.backupDir, id, "pictures", "_versions"))).toBe(true);
  rmSync(join(place.uri, "pictures"), { recursive: true });
  await place.manager.restoreBackup(id);
  expect(existsSync(join(place.uri, "pictures", "_versions"))).toBe(true);
});

test("a snapshot of a repository has them, and refuses what it cannot have", async () => {
  const place = await arrange();
  await using repository = await Repository.init(join(place.directory, "repository"));
  const snapshot = await repository.backup({ source: place.uri });
  expect(snapshot.tables.map(({ id }) => id).toSorted()).toEqual(IDS);
  const target = join(place.directory, "target");
  await repository.restore(snapshot.id, { target });
  const db = await connect(target);
  for (const name of NAMES) expect(await (await db.openTable(name, ["ns"])).countRows(), name).toBe(2);
  await place.db.createTable("a/b", [{ id: 1 }], ["ns"]);
  await expect(repository.backup({ source: place.uri })).rejects.toThrow(UnsupportedError);
});
