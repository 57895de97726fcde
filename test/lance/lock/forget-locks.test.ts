import { mkdirSync, readdirSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { LockSet } from "../../../src/lance/lock/lock-set.ts";
import { forgetUnusedLocks } from "../../../src/lance/lock/locked-tables.ts";
import { newDatabase, newDirectory } from "../../support/database.ts";

const locksIn = (database: string) => join(database, ".lancedb-backup", "locks");

function age(database: string): void {
  const hoursAgo = new Date(Date.now() - 2 * 3_600_000);
  for (const table of readdirSync(locksIn(database)))
    utimesSync(join(locksIn(database), table), hoursAgo, hoursAgo);
}

test("tables that come and go do not leave their locks for ever; those that stay keep theirs", async () => {
  const { uri, manager } = await newDatabase();
  const made: number[] = [];
  for (let round = 0; round < 24; round++) {
    await manager.withBackup("lance-version", async (db) => {
      await db.createTable(`job-${round}`, [{ id: 1 }]);
      if (round % 10 > 0) await db.dropTable(`job-${round}`);
    });
    age(uri);
    made.push(readdirSync(locksIn(uri)).length);
  }
  expect(Math.max(...made)).toBeLessThan(15);
  for (const round of [0, 10, 20]) expect(readdirSync(locksIn(uri))).toContain(`job-${round}`);
});

test("a lock that was used lately, or is held, stays", async () => {
  const database = await newDirectory();
  mkdirSync(locksIn(database), { recursive: true });
  const held = new LockSet({ database, timeoutMs: 0 });
  await held.acquire("held");
  age(database);
  const used = new LockSet({ database, timeoutMs: 0 });
  await used.acquire("used");
  used.releaseAll();
  await forgetUnusedLocks(database);
  expect(readdirSync(locksIn(database)).sort()).toEqual(["held", "used"]);
  // One that is in use for a moment, if only by who looks at it, goes the next time.
  const left = async () => {
    age(database);
    await forgetUnusedLocks(database);
    return readdirSync(locksIn(database));
  };
  await expect.poll(left).toEqual(["held"]);
  held.releaseAll();
  await expect.poll(left).toEqual([]);
  await used.acquire("used"); // and begins anew
  used.releaseAll();
});
