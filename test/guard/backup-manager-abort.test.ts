import { getEventListeners } from "node:events";
import { rmSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { BackupStrategy, LockedError } from "../../src/index.ts";
import { leftovers, newDatabase } from "../support/database.ts";
import { stampOf } from "../support/files.ts";
import { arrangeTables } from "../support/kinds-of-work.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";
import { snapshotOf } from "../support/snapshot.ts";

const never = () => new Promise<never>(() => undefined);

describe.each(Object.values(BackupStrategy))("%s", (strategy) => {
  test("a signal that has fired already: nothing is touched, the work does not start", async () => {
    const place = await newDatabase();
    await arrangeTables(place.db);
    const stamp = stampOf(place.directory);
    const reason = { any: "value" };
    const signal = AbortSignal.abort(reason);
    let ran = false;
    const work = async () => {
      ran = true;
    };
    await expect(place.manager.withBackup(strategy, work, { signal })).rejects.toBe(reason);
    await expect(place.manager.createBackup(strategy, { signal })).rejects.toBe(reason);
    expect(ran).toBe(false);
    expect(stampOf(place.directory)).toEqual(stamp);
  });

  test("the work waits for something that never comes: rolled back, and rejected with the reason", async () => {
    const place = await newDatabase();
    await arrangeTables(place.db);
    const before = await snapshotOf(place.db);
    const controller = new AbortController();
    const outcome = place.manager.withBackup(
      strategy,
      async (db) => {
        await (await db.openTable("main")).delete("true");
        await db.dropTable("other");
        await db.createTable("fresh", sampleRows(0, 2));
        controller.abort("enough");
        await never();
      },
      { signal: controller.signal },
    );
    await expect(outcome).rejects.toBe("enough");
    expect(await snapshotOf(place.db)).toEqual(before);
    expect(leftovers(place)).toEqual([]);
  });

  test("the work goes on after the abort: its next write throws the reason, reads do not", async () => {
    const place = await newDatabase();
    await arrangeTables(place.db);
    const before = await snapshotOf(place.db);
    const controller = new AbortController();
    const reason = new Error("enough");
    const seen: unknown[] = [];
    let ended: () => void = () => undefined;
    const end = new Promise<void>((resolve) => {
      ended = resolve;
    });
    const outcome = place.manager.withBackup(
      strategy,
      async (db) => {
        const table = await db.openTable("main");
        controller.abort(reason);
        seen.push(await table.countRows());
        for (const write of [
          () => table.delete("true"),
          () => db.dropTable("other"),
          () => db.createTable("x", [{ a: 1 }]),
        ]) {
          await write().catch((error: unknown) => seen.push(error));
        }
        ended();
      },
      { signal: controller.signal },
    );
    await expect(outcome).rejects.toBe(reason);
    await end;
    expect(seen).toEqual([39, reason, reason, reason]);
    expect(await snapshotOf(place.db)).toEqual(before);
    expect(leftovers(place)).toEqual([]);
  });

  test.each([0, 1, 2, 5, 10, 20, 40])("at any moment of a long work (%i ms)", async (ms) => {
    const place = await newDatabase();
    await arrangeTables(place.db);
    const before = await snapshotOf(place.db);
    const signal = AbortSignal.timeout(ms);
    const outcome = place.manager.withBackup(
      strategy,
      async (db) => {
        for (let n = 0; ; n++) {
          const [main, other] = [await db.openTable("main"), await db.openTable("other")];
          await Promise.all([main.add(sampleRows(1000 + n, 1)), other.delete(`id = ${n}`)]);
          await db.createTable(`fresh-${n}`, sampleRows(0, 1));
          if (n % 3 === 2) await db.dropTable("other");
          if (n % 3 === 2) await db.createTable("other", sampleRows(0, 10));
        }
      },
      { signal, tables: ms % 2 === 0 ? ["main"] : undefined },
    );
    await expect(outcome).rejects.toMatchObject({ name: "TimeoutError" });
    expect(await snapshotOf(place.db)).toEqual(before);
    expect(leftovers(place)).toEqual([]);
    expect(await place.manager.listBackups()).toEqual([]);
  });

  test("while it waits for a table that another one holds: that one is not disturbed", async () => {
    const place = await newDatabase();
    await arrangeTables(place.db);
    const reached = Promise.withResolvers<void>();
    const letGo = Promise.withResolvers<void>();
    const first = place.manager.withBackup(strategy, async (db) => {
      await (await db.openTable("main")).add(sampleRows(100, 1));
      reached.resolve();
      await letGo.promise;
    });
    await reached.promise;
    const other = place.newManager({ lockTimeoutMs: 60_000 });
    for (const tables of [undefined, ["main"]]) {
      const controller = new AbortController();
      const waiting = other.withBackup(
        strategy,
        async (db) => {
          setTimeout(() => controller.abort("tired"), 20);
          await (await db.openTable("main")).delete("true");
        },
        { signal: controller.signal, tables },
      );
      if (tables) setTimeout(() => controller.abort("tired"), 20);
      await expect(waiting).rejects.toBe("tired");
    }
    const controller = new AbortController();
    const backup = other.createBackup(strategy, { signal: controller.signal });
    setTimeout(() => controller.abort("tired"), 20);
    await expect(backup).rejects.toBe("tired");
    letGo.resolve();
    await first;
    expect(await (await place.db.openTable("main")).countRows()).toBe(40);
    expect(leftovers(place)).toEqual([]);
  });

  test("in the middle of createBackup: nothing is left", async () => {
    const place = await newDatabase();
    for (let n = 0; n < 20; n++) await makeSampleTable(place.db, `t${n}`, { rows: 4 });
    let fired = 0;
    for (const ms of [0, 1, 3, 6, 10]) {
      const signal = AbortSignal.timeout(ms);
      const id = await place.manager.createBackup(strategy, { signal }).catch((error: unknown) => {
        expect(error).toBe(signal.reason);
        fired++;
        return undefined;
      });
      if (id !== undefined) await place.manager.cleanupBackup(id);
      expect(leftovers(place)).toEqual([]);
    }
    expect(fired).toBeGreaterThan(0);
  });

  test("a signal that lives long collects no listeners", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    const { signal } = new AbortController();
    for (let n = 0; n < 3; n++) {
      await place.manager.withBackup(strategy, async (db) => (await db.openTable("main")).delete("false"), {
        signal,
      });
      const failing = place.manager.withBackup(strategy, () => Promise.reject(new Error("on purpose")), {
        signal,
      });
      await expect(failing).rejects.toThrow("on purpose");
    }
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });
});

describe("turns on a table", () => {
  const { LanceVersion } = BackupStrategy;

  test("guarded work on one table takes turns, on different tables it does not", async () => {
    const place = await newDatabase();
    await arrangeTables(place.db);
    const managers = [place.manager, place.newManager(), place.newManager()];
    const inside = new Map<string, number>();
    let most = 0;
    const both = Promise.withResolvers<void>();
    const work = (name: string) => (manager: (typeof managers)[number]) =>
      manager.withBackup(
        LanceVersion,
        async (db) => {
          inside.set(name, (inside.get(name) ?? 0) + 1);
          most = Math.max(most, inside.get(name) ?? 0);
          if (inside.get("main") === 1 && inside.get("other") === 1) both.resolve();
          await both.promise; // reached by one of each, or never
          await (await db.openTable(name)).add(sampleRows(100, 1));
          inside.set(name, (inside.get(name) ?? 0) - 1);
        },
        { tables: [name] },
      );
    await Promise.all([...managers.map(work("main")), ...managers.map(work("other"))]);
    expect(most).toBe(1);
    expect(await (await place.db.openTable("main")).countRows()).toBe(42);
    expect(leftovers(place)).toEqual([]);
  });

  test("a wait ends with LockedError after its time, naming table and holder", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    const other = place.newManager({ lockTimeoutMs: 30 });
    const reached = Promise.withResolvers<void>();
    const letGo = Promise.withResolvers<void>();
    const first = place.manager.withBackup(
      LanceVersion,
      async () => {
        reached.resolve();
        await letGo.promise;
      },
      { tables: ["main"] },
    );
    await reached.promise;
    const second = other.withBackup(LanceVersion, async (db) => (await db.openTable("main")).delete("true"));
    const error = await second.catch((e: unknown) => e);
    expect(error).toBeInstanceOf(LockedError);
    expect(String(error)).toMatch(/main/);
    expect(String(error)).toContain(String(process.pid));
    letGo.resolve();
    await first;
    expect(await (await place.db.openTable("main")).countRows()).toBe(39);
    expect(leftovers(place)).toEqual([]);
  });

  test("guarded work inside of guarded work on the same table is told so at once; on another it runs", async () => {
    const place = await newDatabase();
    await arrangeTables(place.db);
    const inner = place.newManager({ lockTimeoutMs: 3_600_000 });
    await place.manager.withBackup(LanceVersion, async (db) => {
      await (await db.openTable("main")).add(sampleRows(100, 1));
      const same = inner.withBackup(LanceVersion, async (again) =>
        (await again.openTable("main")).delete("true"),
      );
      await expect(same).rejects.toThrow(LockedError);
      const named = inner.withBackup(LanceVersion, async () => undefined, { tables: ["main"] });
      await expect(named).rejects.toThrow(LockedError);
      await inner.withBackup(LanceVersion, async (again) => (await again.openTable("other")).delete("true"));
      // A backup by hand in the midst of the work is a state to come back to, and the work's own wish.
      const id = await inner.createBackup(LanceVersion);
      await inner.cleanupBackup(id);
    });
    expect(await (await place.db.openTable("main")).countRows()).toBe(40);
    expect(await (await place.db.openTable("other")).countRows()).toBe(0);
    expect(leftovers(place)).toEqual([]);
  });

  test("a database that is not there yet is made by the work, and is empty again where that fails", async () => {
    const place = await newDatabase();
    rmSync(place.uri, { recursive: true });
    const create = async (db: typeof place.db) => db.createTable("main", sampleRows(0, 2));
    const outcome = place.manager.withBackup(LanceVersion, async (db) => {
      await create(db);
      throw new Error("on purpose");
    });
    await expect(outcome).rejects.toThrow("on purpose");
    expect(await place.db.tableNames()).toEqual([]);
    await place.manager.withBackup(LanceVersion, create);
    expect(await place.db.tableNames()).toEqual(["main"]);
    expect(leftovers(place)).toEqual([]);
  });
});
