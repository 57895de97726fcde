import { join } from "node:path";
import type { Connection } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { BackupStrategy, ConflictError } from "../../src/index.ts";
import { leftovers, newDatabase, type TestDatabase } from "../support/database.ts";
import { snapshotOf } from "../support/snapshot.ts";

// Somebody else drops the table that guarded work made or wrote to, and makes another one under its name. The
// numbers of its versions are those that the work has committed; the table is theirs all the same.

const onPurpose = new Error("on purpose");
const mine = [{ id: 1, text: "mine" }];
const theirs = [{ id: 7, text: "theirs" }];

const ids = async (db: Connection, name = "t") =>
  (await (await db.openTable(name)).query().toArray()).map((row: { id: number }) => row.id).sort();

/** Drops a table and makes another of so many versions. */
async function makeAnew({ db }: TestDatabase, versions: number, name = "t"): Promise<void> {
  await db.dropTable(name);
  const table = await db.createTable(name, theirs);
  for (let n = 1; n < versions; n++) await table.add(theirs.map((row) => ({ ...row, id: 7 + n })));
}

describe.each(Object.values(BackupStrategy))("%s", (strategy) => {
  const fail = (place: TestDatabase, work: (db: Connection) => Promise<unknown>, tables?: string[]) => {
    const failing = async (db: Connection) => {
      await work(db);
      throw onPurpose;
    };
    return place.manager.withBackup(strategy, failing, { tables }).catch((error: unknown) => error);
  };
  const expectConflict = (error: unknown, versions: number[], table = "t") => {
    expect(error).toBeInstanceOf(ConflictError);
    expect(error).toMatchObject({ conflicts: [{ table, versions }], cause: onPurpose });
  };

  test("a table that the work made", async () => {
    const place = await newDatabase();
    const error = await fail(place, async (db) => {
      await (await db.createTable("t", mine)).add(mine);
      await makeAnew(place, 2);
    });
    expectConflict(error, [1, 2]);
    expect(await ids(place.db)).toEqual([7, 8]);
    const [kept] = await place.manager.listBackups();
    await place.manager.cleanupBackup(kept?.id ?? "");
    expect(leftovers(place)).toEqual([]);
  });

  test("a table that the work made, then one more version of theirs than ours, and one less", async () => {
    const place = await newDatabase();
    for (const [name, versions] of [["more", 3] as const, ["less", 1] as const]) {
      const error = await fail(place, async (db) => {
        await (await db.createTable(name, mine)).add(mine);
        await makeAnew(place, versions, name);
      });
      expectConflict(error, versions === 3 ? [1, 2, 3] : [1], name);
      expect(await ids(place.db, name)).toHaveLength(versions);
    }
  });

  test("a table that the work made in a namespace", async () => {
    const place = await newDatabase();
    await place.db.createNamespace(["ns"]);
    await place.db.createTable("other", mine, ["ns"]);
    const error = await fail(place, async (db) => {
      await db.createTable("t", mine, ["ns"]);
      await place.db.dropTable("t", ["ns"]);
      await place.db.createTable("t", theirs, ["ns"]);
    });
    expect(error).toBeInstanceOf(ConflictError);
    const table = await place.db.openTable("t", ["ns"]);
    expect(await table.countRows("id = 7")).toBe(1);
  });

  test.each([undefined, ["t"]])("a table that was there, at version 1 (tables: %o)", async (tables) => {
    const place = await newDatabase();
    await place.db.createTable("t", mine);
    for (const versions of [1, 2, 3]) {
      const before = await snapshotOf(place.db);
      const error = await fail(
        place,
        async (db) => {
          await (await db.openTable("t")).add(mine);
          await makeAnew(place, versions);
        },
        tables,
      );
      expectConflict(
        error,
        Array.from({ length: versions }, (_, index) => index + 1),
      );
      expect(await ids(place.db)).toHaveLength(versions);
      const [kept] = await place.manager.listBackups();
      await place.manager.restoreBackup(kept?.id ?? "");
      expect(await snapshotOf(place.db)).toEqual(before);
      await place.manager.cleanupBackup(kept?.id ?? "");
      // Version 1 again, and nothing else.
      await place.db.dropTable("t");
      await place.db.createTable("t", mine);
    }
  });

  test("an empty table, made anew as it had been captured: theirs, whatever it holds", async () => {
    const place = await newDatabase();
    const schema = await (await place.db.createTable("like", mine)).schema();
    await place.db.createEmptyTable("t", schema);
    const error = await fail(place, async (db) => {
      await (await db.openTable("t")).add(mine);
      await place.db.dropTable("t");
      await place.db.createEmptyTable("t", schema);
    });
    expectConflict(error, [1]);
    await (await place.db.openTable("t")).add(theirs);
  });

  test("a table that the work dropped and made again", async () => {
    const place = await newDatabase();
    await (await place.db.createTable("t", mine)).add(mine);
    const error = await fail(place, async (db) => {
      await db.dropTable("t");
      await db.createTable("t", mine);
      await makeAnew(place, 1);
    });
    expectConflict(error, [1]);
    expect(await ids(place.db)).toEqual([7]);
  });

  test("theirs, which the work dropped: going back would hide it", async () => {
    const place = await newDatabase();
    await (await place.db.createTable("t", mine)).add(mine);
    const error = await fail(place, async (db) => {
      await (await db.openTable("t")).add(mine);
      await makeAnew(place, 1);
      await db.dropTable("t");
    });
    expectConflict(error, [1]);
  });

  test("by the work itself, by another way than ours: only its own are ours", async () => {
    const place = await newDatabase();
    const error = await fail(place, async (db) => {
      await db.createTable("t", mine);
      await makeAnew(place, 1);
      await (await db.openTable("t")).add(mine);
    });
    expectConflict(error, [1]);
    expect(await ids(place.db)).toEqual([1, 7]);
  });

  test("overwrite goes back to what was there", async () => {
    const place = await newDatabase();
    await place.db.createTable("t", mine);
    const before = await snapshotOf(place.db);
    const work = async (db: Connection) => {
      await (await db.openTable("t")).add(mine);
      await makeAnew(place, 2);
      throw onPurpose;
    };
    const outcome = place.manager.withBackup(strategy, work, { onConflict: "overwrite" });
    await expect(outcome).rejects.toBe(onPurpose);
    expect(await snapshotOf(place.db)).toEqual(before);
    // Their manifest of a number that came back is never deleted.
    expect(leftovers(place)).toEqual([join(place.uri, ".lancedb-backup/aside/manifests")]);
  });
});
