import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { BackupManager, BackupStrategy } from "../../src/index.ts";
import { silent } from "../crash/silent.ts";
import { newDatabase, type TestDatabase } from "../support/database.ts";

// Operations of one process that wait for each other: one of them is told at once, the other goes on.

const LIMIT_MS = 120_000;
const { LanceVersion } = BackupStrategy;

async function withTables(...names: string[]): Promise<TestDatabase> {
  const place = await newDatabase({ lockTimeoutMs: LIMIT_MS });
  for (const name of names) await place.db.createTable(name, [{ id: 1 }]);
  return place;
}

/** Each calls it when it has what it holds; resolves when all have. */
function meeting(count: number): () => Promise<void> {
  const all = Promise.withResolvers<void>();
  let here = 0;
  return () => {
    if (++here === count) all.resolve();
    return all.promise;
  };
}

async function timed<T>(run: Promise<T>): Promise<{ result: T; ms: number }> {
  const start = performance.now();
  return { result: await run, ms: performance.now() - start };
}

const rowsIn = async (place: TestDatabase, table: string) => (await place.db.openTable(table)).countRows();

describe("in one process", () => {
  test("two works that write two tables in opposite orders: one fails at once, the other succeeds", async () => {
    const place = await withTables("a", "b");
    const met = meeting(2);
    const work = (first: string, second: string, id: number) =>
      place.manager.withBackup(LanceVersion, async (db) => {
        await (await db.openTable(first)).add([{ id }]);
        await met();
        await (await db.openTable(second)).add([{ id }]);
      });
    const { result, ms } = await timed(Promise.allSettled([work("a", "b", 2), work("b", "a", 3)]));
    expect(ms).toBeLessThan(LIMIT_MS);
    const failed = result.filter((end) => end.status === "rejected");
    expect(failed).toHaveLength(1);
    expect(failed[0]?.reason).toMatchObject({ code: "LOCKED", message: expect.stringContaining('"tables"') });
    expect([await rowsIn(place, "a"), await rowsIn(place, "b")]).toEqual([2, 2]);
  });

  test("three in a ring", async () => {
    const place = await withTables("a", "b", "c");
    const met = meeting(3);
    const work = (first: string, second: string) =>
      place.manager.withBackup(LanceVersion, async (db) => {
        await (await db.openTable(first)).add([{ id: 2 }]);
        await met();
        await (await db.openTable(second)).add([{ id: 2 }]);
      });
    const works = [work("a", "b"), work("b", "c"), work("c", "a")];
    const { result, ms } = await timed(Promise.allSettled(works));
    expect(ms).toBeLessThan(LIMIT_MS);
    expect(result.filter((end) => end.status === "rejected")).toHaveLength(1);
  });

  test("two works, each with a guarded call inside for the other's table", async () => {
    const place = await withTables("a", "b");
    const met = meeting(2);
    const other = place.newManager();
    const work = (manager: BackupManager, first: string, second: string) =>
      manager.withBackup(LanceVersion, async (db) => {
        await (await db.openTable(first)).add([{ id: 2 }]);
        await met();
        await manager.withBackup(LanceVersion, async (inner) => {
          await (await inner.openTable(second)).add([{ id: 3 }]);
        });
      });
    const works = [work(place.manager, "a", "b"), work(other, "b", "a")];
    const { result, ms } = await timed(Promise.allSettled(works));
    expect(ms).toBeLessThan(LIMIT_MS);
    const codes = result.map((end) => (end.status === "rejected" ? end.reason.code : "ok"));
    expect(codes.sort()).toEqual(["LOCKED", "ok"]);
    expect([await rowsIn(place, "a"), await rowsIn(place, "b")]).toEqual([2, 2]);
  });

  test("a guarded call inside for the outer table, by another path to the database", async () => {
    const place = await withTables("a");
    const link = join(place.directory, "link");
    symlinkSync(place.uri, link);
    await using other = new BackupManager({ uri: link, backupDir: place.backupDir, logger: silent });
    const outer = place.manager.withBackup(LanceVersion, async (db) => {
      await (await db.openTable("a")).add([{ id: 2 }]);
      await other.withBackup(LanceVersion, async (inner) => {
        await (await inner.openTable("a")).add([{ id: 3 }]);
      });
    });
    const { result, ms } = await timed(Promise.allSettled([outer]));
    expect(ms).toBeLessThan(LIMIT_MS);
    expect(result[0]).toMatchObject({ reason: { code: "LOCKED" } });
    expect(await rowsIn(place, "a")).toBe(1);
  });

  test("who only waits its turn waits, also where the holder waits for a third", async () => {
    const place = await withTables("a", "b");
    const met = meeting(3);
    const slow = place.manager.withBackup(LanceVersion, async (db) => {
      await (await db.openTable("b")).add([{ id: 2 }]);
      await met();
    });
    const middle = place.manager.withBackup(LanceVersion, async (db) => {
      await (await db.openTable("a")).add([{ id: 2 }]);
      await met();
      await (await db.openTable("b")).add([{ id: 3 }]);
    });
    const last = place.manager.withBackup(LanceVersion, async (db) => {
      await met();
      await (await db.openTable("a")).add([{ id: 4 }]);
    });
    await Promise.all([slow, middle, last]);
    expect([await rowsIn(place, "a"), await rowsIn(place, "b")]).toEqual([3, 3]);
  });

  test("named tables are taken in one order: both succeed", async () => {
    const place = await withTables("a", "b");
    const work = (tables: string[]) =>
      place.manager.withBackup(
        LanceVersion,
        async (db) => {
          for (const name of tables) await (await db.openTable(name)).add([{ id: 2 }]);
        },
        { tables },
      );
    await Promise.all([work(["a", "b"]), work(["b", "a"])]);
    expect([await rowsIn(place, "a"), await rowsIn(place, "b")]).toEqual([3, 3]);
  });
});
