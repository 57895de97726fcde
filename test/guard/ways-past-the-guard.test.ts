import { type Connection, permutationBuilder, type Table } from "@lancedb/lancedb";
import { Field, Int32, Schema, Utf8 } from "apache-arrow";
import { describe, expect, test } from "vitest";
import { newDatabase } from "../support/database.ts";

// Handles that LanceDB hands out beside openTable.

const failure = new Error("on purpose");

async function place() {
  const made = await newDatabase();
  const table = await made.db.createTable("t", [{ id: 1, n: 1 }]);
  return { ...made, table };
}

describe("a handle on the main line that was come by over branches", () => {
  const ways: [string, (table: Table) => Promise<Table>][] = [
    ["of the table", async (table) => (await table.branches()).checkout("main")],
    [
      "of a handle on a branch",
      async (table) => (await (await (await table.branches()).checkout("b")).branches()).checkout("main"),
    ],
    [
      "of a branch that was made just now",
      async (table) => (await (await (await table.branches()).create("c")).branches()).checkout("main"),
    ],
  ];

  test.for(ways)("%s", async ([, come]) => {
    const { db, manager, table } = await place();
    await (await table.branches()).create("b");
    const failing = manager.withBackup("lance-version", async (guarded) => {
      await (await come(await guarded.openTable("t"))).add([{ id: 2, n: 2 }]);
      throw failure;
    });
    await expect(failing).rejects.toBe(failure);
    expect(await (await db.openTable("t")).countRows()).toBe(1);
  });

  test("a branch is written to as ever", async () => {
    const { db, manager } = await place();
    await manager.withBackup("lance-version", async (guarded) => {
      const branches = await (await guarded.openTable("t")).branches();
      await (await branches.create("b")).add([{ id: 2, n: 2 }]);
      expect(Object.keys(await branches.list())).toEqual(["b"]);
    });
    const branch = await (await (await db.openTable("t")).branches()).checkout("b");
    expect([await branch.countRows(), await (await db.openTable("t")).countRows()]).toEqual([2, 1]);
  });
});

test("a handle that was opened on a version refuses to write, as it does without the guard", async () => {
  const { db, manager, table } = await place();
  await table.add([{ id: 2, n: 2 }]);
  const attempt = async (connection: Connection) => {
    const pinned = await connection.openTable("t", [], { version: 1 });
    expect(await pinned.countRows()).toBe(1);
    return pinned.add([{ id: 3, n: 3 }]).catch((error: Error) => error.message);
  };
  const message = await attempt(db);
  expect(message).toMatch(/specific version/);
  expect(await manager.withBackup("lance-version", attempt)).toBe(message);
  expect(await (await db.openTable("t")).countRows()).toBe(2);
});

test("what asks for the native connection is refused by name, before it writes", async () => {
  const { db, manager, table } = await place();
  const failing = manager.withBackup("lance-version", async (guarded) => {
    await permutationBuilder(table).persist(guarded, "p").execute();
  });
  await expect(failing).rejects.toMatchObject({ code: "UNSUPPORTED", message: /persist\(\)/ });
  expect(await db.tableNames()).toEqual(["t"]);
});

test("a refusal is a promise that rejects, as LanceDB's own are", async () => {
  const { manager } = await place();
  await manager.withBackup("lance-version", async (guarded) => {
    const inside = await guarded.openTable("t");
    const set = inside.setLsmWriteSpec({ specType: "unsharded" });
    await expect(set).rejects.toMatchObject({ code: "UNSUPPORTED" });
    await expect(inside.delete(undefined as never)).rejects.toThrow();
    await expect(inside.unsetLsmWriteSpec()).rejects.toThrow(/no LSM write spec is set/);
  });
});

test("a table leaves the LSM write path outside of guarded work alone", async () => {
  const { db, manager } = await place();
  const schema = new Schema([new Field("id", new Int32(), false), new Field("text", new Utf8())]);
  const table = await db.createTable("t", [{ id: 1, text: "x" }], { schema, mode: "overwrite" });
  await table.setUnenforcedPrimaryKey("id");
  await table.setLsmWriteSpec({ specType: "unsharded" });
  const version = await table.version();
  const unset = manager.withBackup("lance-version", async (guarded) =>
    (await guarded.openTable("t")).unsetLsmWriteSpec(),
  );
  await expect(unset).rejects.toMatchObject({ code: "UNSUPPORTED", message: /LSM/ });
  expect(await (await db.openTable("t")).version()).toBe(version);
});

describe("a column that LanceDB computes on request", () => {
  const calls: [string, (table: Table) => Promise<unknown>][] = [
    ["refreshColumn", (table) => table.refreshColumn("twice")],
    ["refreshColumnAsync", async (table) => (await table.refreshColumnAsync("twice")).wait()],
  ];

  test.for(calls)("%s goes back with the work", async ([, refresh]) => {
    const { db, manager, table } = await place();
    await table.addColumns({ computed: [{ name: "twice", valueSql: "n * 2" }] });
    const seen = async () => (await db.openTable("t")).query().toArray();
    const before = await seen();
    const failing = manager.withBackup("lance-version", async (guarded) => {
      const inside = await guarded.openTable("t");
      await refresh(inside);
      await inside.add([{ id: 2, n: 2 }]);
      throw failure;
    });
    await expect(failing).rejects.toBe(failure);
    expect(await seen()).toEqual(before);
    await manager.withBackup("lance-version", async (guarded) => refresh(await guarded.openTable("t")));
    expect(await seen()).not.toEqual(before);
  });
});

test("a name that no file system takes is refused with a clear error", async () => {
  const { manager, db } = await place();
  const name = "n".repeat(250);
  const error = { code: "VALIDATION", message: expect.stringContaining("250 bytes") };
  await expect(manager.createBackup("lance-version", { tables: [name] })).rejects.toMatchObject(error);
  await expect(manager.withBackup("lance-version", async () => 1, { tables: [name] })).rejects.toMatchObject(
    error,
  );
  const plainly = await db.openTable(name).catch((reason: Error) => reason.message);
  const guarded = manager.withBackup("lance-version", (inside) => inside.openTable(name));
  await expect(guarded).rejects.toThrow(plainly as string);
});
