import { type Connection, connect } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { BackupStrategy, ConflictError } from "../../src/index.ts";
import { leftovers, newDatabase, type TestDatabase } from "../support/database.ts";

// `__manifest` is everybody's: whoever makes a table in any namespace commits to it. What goes back is entries of it.

const STRATEGIES = Object.values(BackupStrategy);
const rows = [{ id: 1 }, { id: 2 }];
const error = new Error("on purpose");

async function arrange(): Promise<TestDatabase> {
  const place = await newDatabase();
  await place.db.createNamespace(["ns"], { properties: { of: "ours" } });
  await place.db.createNamespace(["other"]);
  await place.db.createTable("u", rows, ["ns"]);
  return place;
}

async function countOf({ uri }: TestDatabase, name: string, path: string[]): Promise<number> {
  const db = await connect(uri);
  return (await db.openTable(name, path)).countRows();
}

async function namespacesOf({ uri }: TestDatabase, path: string[] = []): Promise<string[]> {
  const { namespaces } = await (await connect(uri)).listNamespaces(path);
  return namespaces.toSorted();
}

describe.each(STRATEGIES)("%s", (strategy) => {
  test("a restore leaves tables alone that were made since, in namespaces that were made since too", async () => {
    const place = await arrange();
    const id = await place.manager.createBackup(strategy);
    await place.db.createTable("later", rows, ["ns"]);
    await place.db.createNamespace(["late"]);
    await place.db.createTable("x", rows, ["late"]);
    await (await place.db.openTable("u", ["ns"])).delete("true");
    const { tables } = await place.manager.restoreBackup(id);
    expect(tables).toMatchObject([
      { table: "ns$u", action: "restore" },
      { table: "__manifest", action: "keep" },
    ]);
    expect(await countOf(place, "u", ["ns"])).toBe(2);
    expect(await countOf(place, "later", ["ns"])).toBe(2);
    expect(await countOf(place, "x", ["late"])).toBe(2);
    expect(await (await connect(place.uri)).tableNames(["ns"])).toEqual(["later", "u"]);
  });

  test("a table that was dropped comes back with a backup of it alone, its namespace too", async () => {
    const place = await arrange();
    const id = await place.manager.createBackup(strategy, { tables: ["ns$u"] });
    expect((await place.manager.listBackups())[0]?.tables.toSorted()).toEqual(["__manifest", "ns$u"]);
    await place.db.dropTable("u", ["ns"]);
    await place.db.dropNamespace(["ns"]);
    await place.db.createTable("x", rows, ["other"]);
    const { tables } = await place.manager.restoreBackup(id);
    expect(tables).toMatchObject([
      { table: "ns$u", action: "rebuild" },
      { table: "__manifest", action: "merge" },
    ]);
    expect(await countOf(place, "u", ["ns"])).toBe(2);
    expect(await countOf(place, "x", ["other"])).toBe(2);
    expect(await (await connect(place.uri)).describeNamespace(["ns"])).toMatchObject({
      properties: { of: "ours" },
    });
    await place.manager.restoreBackup(id);
    expect(await (await connect(place.uri)).tableNames(["ns"])).toEqual(["u"]);
  });

  test("a table that others dropped and made anew is put back where it lies now", async () => {
    const place = await arrange();
    const id = await place.manager.createBackup(strategy, { tables: ["ns$u"] });
    await place.db.dropTable("u", ["ns"]);
    await place.db.createTable("u", [{ id: 7 }], ["ns"]);
    const stale = await place.db.openTable("u", ["ns"]);
    await expect(place.manager.restoreBackup(id, { onConflict: "fail" })).rejects.toThrow(ConflictError);
    expect(await countOf(place, "u", ["ns"])).toBe(1);
    await place.manager.restoreBackup(id);
    expect(await countOf(place, "u", ["ns"])).toBe(2);
    await stale.add([{ id: 3 }]).catch(() => undefined);
    expect(await countOf(place, "u", ["ns"])).toBeGreaterThanOrEqual(2);
  });

  test("a table that the backup did not have goes, and its entry with it", async () => {
    const place = await arrange();
    const id = await place.manager.createBackup(strategy, { tables: ["ns$u", "ns$new"] });
    await place.db.createTable("new", rows, ["ns"]);
    await place.manager.restoreBackup(id);
    expect(await (await connect(place.uri)).tableNames(["ns"])).toEqual(["u"]);
    await place.db.createTable("new", rows, ["ns"]);
  });

  test("a table that others drop beside guarded work comes back when that fails", async () => {
    const place = await arrange();
    const work = async () => {
      await place.db.dropTable("u", ["ns"]);
      throw error;
    };
    await expect(place.manager.withBackup(strategy, work, { tables: ["ns$u"] })).rejects.toBe(error);
    expect(await countOf(place, "u", ["ns"])).toBe(2);
    expect(leftovers(place)).toEqual([]);
  });

  const TOGETHER: readonly { name: string; work: (db: Connection) => Promise<unknown> }[] = [
    { name: "makes a table", work: (db) => db.createTable("mine", rows, ["ns"]) },
    { name: "makes a table where others do", work: (db) => db.createTable("mine", rows, ["other"]) },
    { name: "drops a table", work: (db) => db.dropTable("u", ["ns"]) },
    { name: "makes a namespace", work: (db) => db.createNamespace(["mine"]) },
    {
      name: "drops a table and its namespace",
      work: async (db) => {
        await db.dropTable("u", ["ns"]);
        await db.dropNamespace(["ns"]);
      },
    },
    {
      name: "drops a table and makes it anew",
      work: async (db) => {
        await db.dropTable("u", ["ns"]);
        await db.createTable("u", [{ id: 7 }], ["ns"]);
      },
    },
  ];

  test.each(TOGETHER)("work that $name and fails leaves alone what others make", async ({ work }) => {
    const place = await arrange();
    const outcome = place.manager.withBackup(strategy, async (db) => {
      await work(db);
      await place.db.createTable("x", rows, ["other"]);
      throw error;
    });
    await expect(outcome).rejects.toBe(error);
    expect(await countOf(place, "x", ["other"])).toBe(2);
    expect(await countOf(place, "u", ["ns"])).toBe(2);
    expect(await namespacesOf(place)).toEqual(["ns", "other"]);
    const db = await connect(place.uri);
    expect([await db.tableNames(["ns"]), await db.tableNames(["other"])]).toEqual([["u"], ["x"]]);
    expect(await db.describeNamespace(["ns"])).toMatchObject({ properties: { of: "ours" } });
    expect(leftovers(place)).toEqual([]);
    await work(db); // LanceDB itself can still do it
  });

  test("a namespace of failed work in which others have made a table stays", async () => {
    const place = await arrange();
    const outcome = place.manager.withBackup(strategy, async (db) => {
      await db.createNamespace(["mine"]);
      await db.createNamespace(["mine", "inner"]);
      await db.createTable("m", rows, ["mine"]);
      await place.db.createTable("theirs", rows, ["mine", "inner"]);
      throw error;
    });
    await expect(outcome).rejects.toBe(error);
    expect(await countOf(place, "theirs", ["mine", "inner"])).toBe(2);
    expect(await (await connect(place.uri)).tableNames(["mine"])).toEqual([]);
  });

  test("commits of others to a table of failed work are a conflict, and the table stays listed", async () => {
    const place = await arrange();
    const outcome = place.manager.withBackup(strategy, async (db) => {
      await db.createTable("mine", rows, ["ns"]);
      await (await place.db.openTable("mine", ["ns"])).add([{ id: 3 }]);
      throw error;
    });
    await expect(outcome).rejects.toMatchObject({ conflicts: [{ table: "ns$mine", versions: [2] }] });
    expect(await countOf(place, "mine", ["ns"])).toBe(3);
  });

  test("a table that work dropped and others wrote to is listed again", async () => {
    const place = await arrange();
    const stale = await place.db.openTable("u", ["ns"]);
    const outcome = place.manager.withBackup(strategy, async (db) => {
      await db.dropTable("u", ["ns"]);
      await stale.add([{ id: 3 }]);
      throw error;
    });
    await expect(outcome).rejects.toThrow(ConflictError);
    expect(await countOf(place, "u", ["ns"])).toBe(3);
  });

  test("two guarded operations make tables in one namespace at the same time", async () => {
    const place = await arrange();
    const other = place.newManager({ lockTimeoutMs: 300 });
    await place.manager.withBackup(strategy, async (db) => {
      await db.createTable("first", rows, ["ns"]);
      await other.withBackup(strategy, (db2) => db2.createTable("second", rows, ["ns"]));
      const failing = other.withBackup(strategy, async (db2) => {
        await db2.createTable("third", rows, ["ns"]);
        await db2.dropTable("u", ["ns"]);
        throw error;
      });
      await expect(failing).rejects.toBe(error);
    });
    expect(await (await connect(place.uri)).tableNames(["ns"])).toEqual(["first", "second", "u"]);
    expect(leftovers(place)).toEqual([]);
  });
});
