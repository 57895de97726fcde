import { expect, test } from "vitest";
import { BackupStrategy, ConflictError } from "../../src/index.ts";
import { newDatabase, type TestDatabase } from "../support/database.ts";
import { dieInside } from "../support/die-inside.ts";

// A ConflictError says what the tables hold now, and names the calls that lead on; both of them do.

async function withTables(): Promise<TestDatabase> {
  const place = await newDatabase();
  for (const name of ["a", "b"]) await place.db.createTable(name, [{ id: 1 }]);
  return place;
}

const idsIn = async (place: TestDatabase, name: string) => {
  const rows = (await (await place.db.openTable(name)).query().toArray()) as { id: number }[];
  return rows.map(({ id }) => id).sort();
};

/** Guarded work on both tables that fails after somebody else has committed to one. */
async function failed(place: TestDatabase): Promise<ConflictError> {
  const work = place.manager.withBackup(BackupStrategy.LanceVersion, async (db) => {
    for (const name of ["a", "b"]) await (await db.openTable(name)).add([{ id: 2 }]);
    await (await place.db.openTable("a")).add([{ id: 3 }]);
    throw new Error("the disk of the embedder is full");
  });
  const error: unknown = await work.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(ConflictError);
  return error as ConflictError;
}

test("guarded work: its writes are still there, and the message says so, with both ways on", async () => {
  for (const way of ["restoreBackup", "cleanupBackup"] as const) {
    const place = await withTables();
    const { message } = await failed(place);
    const [kept] = await place.manager.listBackups();
    const id = String(kept?.id);
    expect([await idsIn(place, "a"), await idsIn(place, "b")]).toEqual([
      [1, 2, 3],
      [1, 2],
    ]);
    expect(message).not.toContain("Nothing was changed");
    expect(message).toContain("the disk of the embedder is full");
    expect(message).toContain("table a, version 3");
    expect(message).toContain("still in its tables (a, b)");
    expect(message).toContain(`restoreBackup("${id}")`);
    expect(message).toContain(`cleanupBackup("${id}")`);
    await place.manager[way](id);
    const [a, b] = [await idsIn(place, "a"), await idsIn(place, "b")];
    expect([a, b]).toEqual(
      way === "restoreBackup"
        ? [[1], [1]]
        : [
            [1, 2, 3],
            [1, 2],
          ],
    );
    expect(await place.manager.listBackups()).toHaveLength(way === "restoreBackup" ? 1 : 0);
  }
});

test("recovery: the message names recover({ onConflict }), and both of its answers lead on", async () => {
  for (const onConflict of ["overwrite", "keep"] as const) {
    const place = await withTables();
    dieInside(place, `for (const name of ["a", "b"]) await (await db.openTable(name)).add([{ id: 2 }])`);
    await (await place.db.openTable("a")).delete("id = 3");
    await (await place.db.openTable("a")).add([{ id: 5 }]);
    const again = () =>
      place.manager.withBackup(BackupStrategy.LanceVersion, async (db) => {
        await (await db.openTable("a")).add([{ id: 6 }]);
      });
    const error: unknown = await again().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ConflictError);
    const { message } = error as ConflictError;
    expect(message).toContain("table a, version");
    expect(message).toContain("still in its tables");
    expect(message).toContain('recover({ onConflict: "overwrite" })');
    expect(message).toContain('recover({ onConflict: "keep" })');
    expect(await idsIn(place, "a")).toEqual([1, 2, 5]);
    await place.manager.recover({ onConflict });
    expect(await idsIn(place, "a")).toEqual(onConflict === "overwrite" ? [1] : [1, 2, 5]);
    await again();
  }
});

test.for(["in a live process", "in one that died"])(
  "a table that the work dropped, %s, and others wrote to by an old handle, is whole",
  async (where) => {
    for (const way of ["restore", "clean"] as const) {
      const place = await withTables();
      const handle = await place.db.openTable("a");
      await handle.add([{ id: 4 }]);
      if (where === "in a live process") {
        const work = place.manager.withBackup(BackupStrategy.LanceVersion, async (db) => {
          await db.dropTable("a");
          await handle.add([{ id: 3 }]);
          throw new Error("on purpose");
        });
        const error = await work.catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(ConflictError);
        expect((error as Error).message).toContain("a: dropped by the work, and back with all that it held");
      } else {
        dieInside(place, `await db.dropTable("a")`);
        await handle.add([{ id: 3 }]);
        await place.manager.withBackup(BackupStrategy.LanceVersion, async () => undefined);
      }
      expect(await idsIn(place, "a")).toEqual([1, 3, 4]);
      if (where === "in one that died") {
        await place.manager.recover({ onConflict: way === "restore" ? "overwrite" : "keep" });
      } else {
        const [kept] = await place.manager.listBackups();
        await place.manager[way === "restore" ? "restoreBackup" : "cleanupBackup"](String(kept?.id));
      }
      for (const { id } of await place.manager.listBackups()) await place.manager.cleanupBackup(id);
      await place.manager.withBackup(BackupStrategy.LanceVersion, async (db) => {
        await (await db.openTable("a")).add([{ id: 5 }]);
      });
      expect(await idsIn(place, "a")).toEqual(way === "restore" ? [1, 4, 5] : [1, 3, 4, 5]);
    }
  },
);
