import { expect, test } from "vitest";
import { BackupStrategy, LockedError } from "../../../src/index.ts";
import { leftovers, newDatabase } from "../../support/database.ts";

test.each(Object.values(BackupStrategy))(
  "%s: restoreBackup inside of guarded work that holds the table is refused at once, and the work still rolls back",
  async (strategy) => {
    const place = await newDatabase({ lockTimeoutMs: 60_000 });
    for (const table of ["a", "z"]) await place.db.createTable(table, [{ id: 1 }]);
    const backup = await place.manager.createBackup(strategy);
    for (const manager of [place.manager, place.newManager()]) {
      const started = performance.now();
      const work = place.manager.withBackup(strategy, async (db) => {
        await (await db.openTable("z")).add([{ id: 2 }]);
        await manager.restoreBackup(backup);
      });
      const error = await work.catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(LockedError);
      expect((error as Error).message).toMatch(
        new RegExp(`${backup}.*table z is held by the guarded operation`),
      );
      expect(performance.now() - started).toBeLessThan(60_000);
      for (const table of ["a", "z"]) expect(await (await place.db.openTable(table)).countRows()).toBe(1);
    }
    await place.manager.cleanupBackup(backup);
    expect(leftovers(place)).toEqual([]);
  },
);

test("of tables that the work does not hold it is an operation of its own, and stays when the work fails", async () => {
  const place = await newDatabase();
  for (const table of ["a", "z"]) await place.db.createTable(table, [{ id: 1 }]);
  const backup = await place.manager.createBackup("lance-version", { tables: ["a"] });
  await (await place.db.openTable("a")).add([{ id: 2 }]);
  const work = place.manager.withBackup("lance-version", async (db) => {
    await (await db.openTable("z")).add([{ id: 2 }]);
    await place.manager.restoreBackup(backup);
    throw new Error("on purpose");
  });
  await expect(work).rejects.toThrow("on purpose");
  for (const table of ["a", "z"]) expect(await (await place.db.openTable(table)).countRows()).toBe(1);
});
