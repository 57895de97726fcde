import type { Table } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { ConflictError } from "../../src/index.ts";
import { newDatabase } from "../support/database.ts";

// LanceDB answers some of several writes at once on one handle with the version of another.

const failure = new Error("on purpose");
const ROUNDS = 12;

async function place() {
  const made = await newDatabase();
  const table = await made.db.createTable("t", [{ id: 0, n: 0 }]);
  return { ...made, table };
}

const writes: [string, (table: Table, n: number) => Promise<unknown>][] = [
  ["adds", (table, n) => table.add([{ id: n, n }])],
  ["adds of several sizes", (table, n) => table.add(Array.from({ length: n + 1 }, () => ({ id: n, n })))],
  [
    "adds and deletes",
    (table, n) => (n % 2 === 0 ? table.add([{ id: n, n }]) : table.delete(`id = ${n - 1000}`)),
  ],
];

test.for(writes)("%s on one handle go back with the work", async ([, write]) => {
  const { db, manager, table } = await place();
  for (let round = 0; round < ROUNDS; round++) {
    const failing = manager.withBackup("lance-version", async (guarded) => {
      const inside = await guarded.openTable("t");
      await Promise.all(Array.from({ length: 8 }, (_, n) => write(inside, n + 1)));
      throw failure;
    });
    await expect(failing).rejects.toBe(failure);
    expect(await (await db.openTable("t")).countRows()).toBe(1);
  }
  await table.checkoutLatest();
  expect(await table.countRows()).toBe(1);
});

test("what others commit after them is not taken for theirs", async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const { db, manager } = await place();
    const failing = manager.withBackup("lance-version", async (guarded) => {
      const inside = await guarded.openTable("t");
      await Promise.all(Array.from({ length: 8 }, (_, n) => inside.add([{ id: n + 1, n }])));
      await (await db.openTable("t")).add([{ id: 99, n: 99 }]);
      throw failure;
    });
    await expect(failing).rejects.toBeInstanceOf(ConflictError);
    expect(await (await db.openTable("t")).countRows("id = 99")).toBe(1);
  }
});
