import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Connection, connect } from "@lancedb/lancedb";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { BackupStrategy } from "../../src/index.ts";
import { newDatabase } from "../support/database.ts";

// Calls of LanceDB that fail inside of work that goes on and succeeds, or fails for another reason.

const failure = new Error("on purpose");
const idsOf = async (db: Connection, name: string) =>
  (await (await db.openTable(name)).query().toArray()).map(({ id }: { id: number }) => Number(id));

describe.each(Object.values(BackupStrategy))("a drop that LanceDB refuses, %s", (strategy) => {
  const refusedDrop = async () => {
    const place = await newDatabase();
    await (await place.db.createTable("t", [{ id: 1 }])).add([{ id: 2 }]);
    const refuse = vi
      .spyOn(Object.getPrototypeOf(place.db) as Connection, "dropTable")
      .mockRejectedValueOnce(new Error("no space left"));
    onTestFinished(() => refuse.mockRestore());
    return place;
  };

  test("leaves the table where the work succeeds", async () => {
    const { db, uri, manager } = await refusedDrop();
    await manager.withBackup(strategy, async (guarded) => {
      await expect(guarded.dropTable("t")).rejects.toThrow("no space left");
      expect(await idsOf(guarded, "t")).toEqual([1, 2]);
      await (await guarded.openTable("t")).add([{ id: 3 }]);
    });
    expect(await idsOf(await connect(uri), "t")).toEqual([1, 2, 3]);
    expect(await (await db.openTable("t")).version()).toBe(3);
  });

  test("and where it fails", async () => {
    const { uri, manager } = await refusedDrop();
    const work = manager.withBackup(strategy, async (guarded) => {
      await guarded.dropTable("t").catch(() => undefined);
      await (await guarded.openTable("t")).add([{ id: 3 }]);
      throw failure;
    });
    await expect(work).rejects.toBe(failure);
    expect(await idsOf(await connect(uri), "t")).toEqual([1, 2]);
    expect(readdirSync(join(uri, ".lancedb-backup", "aside"))).toEqual([]);
  });
});

test("a drop that fails and cannot be moved back: the work fails, though it goes on", async () => {
  const { db, uri, manager } = await newDatabase();
  await (await db.createTable("t", [{ id: 1 }])).add([{ id: 2 }]);
  const refuse = vi
    .spyOn(Object.getPrototypeOf(db) as Connection, "dropTable")
    .mockImplementationOnce(async () => {
      writeFileSync(join(uri, "t.lance", "other"), "in the way");
      throw new Error("no space left");
    });
  onTestFinished(() => refuse.mockRestore());
  const work = manager.withBackup("lance-version", async (guarded) => {
    await expect(guarded.dropTable("t")).rejects.toThrow("could not be moved back");
  });
  await expect(work).rejects.toMatchObject({ code: "IO", message: expect.stringContaining("no space left") });
  expect(await idsOf(await connect(uri), "t")).toEqual([1, 2]);
  expect(readdirSync(join(uri, ".lancedb-backup", "aside"))).toEqual([]);
});

describe("a tag that LanceDB refuses", () => {
  const versionsOf = async (db: Connection) => {
    const tags = await (await (await db.openTable("t")).tags()).list();
    return Object.fromEntries(Object.entries(tags).map(([name, { version }]) => [name, version]));
  };

  test("since another has made it: the other's stays", async () => {
    const { db, manager } = await newDatabase();
    const table = await db.createTable("t", [{ id: 1 }]);
    const work = manager.withBackup("lance-version", async (guarded) => {
      const inside = await guarded.openTable("t");
      await inside.add([{ id: 2 }]);
      await (await table.tags()).create("release", 1);
      await expect((await inside.tags()).create("release", 2)).rejects.toThrow();
      throw failure;
    });
    await expect(work).rejects.toBe(failure);
    expect(await versionsOf(db)).toEqual({ release: 1 });
  });

  test("by a name that leads elsewhere: nothing is removed there", async () => {
    const { db, uri, manager } = await newDatabase();
    await db.createTable("t", [{ id: 1 }]);
    await db.createTable("u", [{ id: 1 }]);
    const work = manager.withBackup("lance-version", async (guarded) => {
      const inside = await guarded.openTable("t");
      await inside.add([{ id: 2 }]);
      const hint = "../../../u.lance/_versions/latest_version_hint";
      await (await inside.tags()).delete(hint).catch(() => undefined);
      throw failure;
    });
    await expect(work).rejects.toBe(failure);
    expect(existsSync(join(uri, "u.lance/_versions/latest_version_hint.json"))).toBe(true);
  });
});
