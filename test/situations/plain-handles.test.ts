import { Index } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { insertRecordsWithBackup } from "../../src/index.ts";
import { newDatabase } from "../support/database.ts";

test("a table opened before the work, and written to in it, is told once, and what it wrote stays", async () => {
  const { db, manager, logged } = await newDatabase();
  const plain = await db.createTable("t", [{ id: 1 }]);
  const work = async () =>
    manager.withBackup("lance-version", async (guarded) => {
      const table = await guarded.openTable("t");
      await table.add([{ id: 2 }]);
      await plain.add([{ id: 3 }]);
      await table.add([{ id: 4 }]);
    });
  await work();
  await work();
  const warnings = logged.filter(({ level }) => level === "warn");
  expect(warnings.map(({ meta }) => meta)).toEqual([{ table: "t", commits: 1 }]);
  expect(await (await db.openTable("t")).countRows()).toBe(7);
});

test("work that keeps to its connection, and makes several commits in one call, is not told so", async () => {
  const { db, manager, logged } = await newDatabase();
  const rows = Array.from({ length: 300 }, (_, id) => ({ id, vector: [id, 1, 2, 3] }));
  await db.createTable("t", rows);
  await manager.withBackup("lance-version", async (guarded) => {
    const table = await guarded.openTable("t");
    await Promise.all([table.add(rows.slice(0, 5)), table.add(rows.slice(5, 10))]);
    await table.createIndex("id", { config: Index.btree() });
    await table.delete("id = 3");
    await table.optimize();
  });
  await manager.withBackup("lance-version", async (guarded) => {
    await guarded.dropTable("t");
    const table = await guarded.createTable("t", rows);
    await table.add(rows.slice(0, 5));
  });
  expect(logged.filter(({ level }) => level === "warn")).toEqual([]);
});

test.each(["plain optimize", "guarded optimize"])(
  "upserts after an index on the key and a %s make no duplicates",
  async (how) => {
    const { db, uri, backupDir, manager } = await newDatabase();
    const rows = (from: number, count: number) =>
      Array.from({ length: count }, (_, at) => ({ id: `key-${from + at}`, n: at }));
    const table = await db.createTable("t", rows(0, 200));
    await table.createIndex("id", { config: Index.btree() });
    for (let round = 1; round <= 3; round++) {
      const options = { uri, backupDir, table: "t", strategy: "lance-version", mergeOn: "id" } as const;
      const written = await insertRecordsWithBackup(rows(round * 50, 200), options);
      expect([written.insertedRows, written.updatedRows]).toEqual([50, 150]);
      if (how === "plain optimize") await (await db.openTable("t")).optimize();
      else
        await manager.withBackup("lance-version", async (guarded) => {
          await (await guarded.openTable("t")).optimize();
        });
      const found = await (await db.openTable("t")).query().select(["id"]).toArray();
      expect(new Set(found.map(({ id }) => id)).size).toBe(found.length);
      expect(found).toHaveLength(200 + round * 50);
    }
  },
);
