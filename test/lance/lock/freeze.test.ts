import { renameSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { whileFrozen } from "../../../src/lance/lock/freeze.ts";
import { LockSet } from "../../../src/lance/lock/lock-set.ts";
import { WHOLE_DATABASE } from "../../../src/lance/lock/locked-tables.ts";
import { newDatabase, newDirectory } from "../../support/database.ts";

const freeze = (database: string, timeoutMs: number) =>
  whileFrozen(
    database,
    { wants: () => true, timeoutMs },
    async () => "frozen",
    async () => undefined,
  );

test("a snapshot that waits for one table holds nothing that work on several waits for", async () => {
  const database = await newDirectory();
  const first = new LockSet({ database, timeoutMs: 0 });
  await first.acquireAll([WHOLE_DATABASE, "a", "b", "c"]);
  first.releaseAll();
  const work = new LockSet({ database, timeoutMs: 5_000 });
  await work.acquire("b");
  const frozen = freeze(database, 30_000);
  for (const table of ["a", "c", "new"]) {
    await sleep(30); // it is at its wait, whatever it holds in it
    await work.acquire(table);
  }
  work.releaseAll();
  expect(await frozen).toEqual({ result: "frozen", taken: "locked" });
});

test("after its time limit it says who is in the way, and nothing is held", async () => {
  const database = await newDirectory();
  const work = new LockSet({ database, timeoutMs: 0 });
  await work.acquireAll(["a", "b"]);
  work.release("a");
  await expect(freeze(database, 50)).rejects.toThrow(/Table b is in use .* waited 50 ms/);
  await work.acquire("a");
  work.releaseAll();
});

test("live guarded work on a table that had no lock when it looked is waited for, and is not called dead", async () => {
  const { manager, db, uri, directory } = await newDatabase();
  await db.createTable("t", [{ id: 1 }]);
  await manager.withBackup("lance-version", async (guarded) => {
    await (await guarded.openTable("t")).add([{ id: 2 }]);
    const lock = join(uri, ".lancedb-backup/locks/t");
    renameSync(lock, join(directory, "lock"));
    await expect(freeze(uri, 50)).rejects.toThrow(/Table t is in use by a guarded operation .* waited 50 ms/);
    renameSync(join(directory, "lock"), lock);
  });
  expect((await freeze(uri, 5_000)).result).toBe("frozen");
});
