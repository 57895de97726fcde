import { truncateSync } from "node:fs";
import { join } from "node:path";
import type { Connection } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { LanceError, RestoreError } from "../../src/index.ts";
import { oldDatabase } from "../old-tables/fixture.ts";
import { leftovers, newDatabase } from "../support/database.ts";
import { dieInside } from "../support/die-inside.ts";
import { filesBelow } from "../support/files.ts";

// What `recover({ onConflict: "keep" })` promises: it restores nothing, so that it is a way out whatever is wrong.

const idsOf = async (db: Connection) =>
  ((await (await db.openTable("t")).query().toArray()) as { id: number }[]).map(({ id }) => id).sort();

test("keep leaves what a dead process wrote, also where it could be rolled back, and keeps the backup", async () => {
  const place = await newDatabase();
  await place.db.createTable("t", [{ id: 1 }]);
  dieInside(place, `await (await db.openTable("t")).add([{ id: 2 }])`);
  const { entries } = await place.newManager().recover({ onConflict: "keep" });
  expect(entries).toMatchObject([{ action: "kept", conflicts: [] }]);
  expect(await idsOf(place.db)).toEqual([1, 2]);
  const [backup] = await place.manager.listBackups();
  expect(backup?.state).toBe("kept");
  await place.manager.restoreBackup(backup?.id ?? "");
  expect(await idsOf(place.db)).toEqual([1]);
  await place.manager.cleanupBackup(backup?.id ?? "");
  expect(leftovers(place)).toEqual([]);
});

test("a rollback that LanceDB refuses, in a live process, closes the table until it is given up", async () => {
  const place = await oldDatabase("Lance 0.7, by hand", ["scalars"]);
  const { manager } = place;
  const work = manager.withBackup("lance-version", async (db) => {
    await (await db.openTable("scalars")).delete("id = 8");
    const dataset = join(place.uri, "scalars.lance");
    // LanceDB must look into the data of such a table to restore it.
    for (const path of filesBelow(dataset))
      if (path.startsWith("data/")) truncateSync(join(dataset, path), 8);
    throw new Error("the work fails");
  });
  await expect(work).rejects.toThrow(RestoreError);
  const refused = await manager.recover().catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(LanceError);
  expect((refused as LanceError).message).toMatch(/failed, and cannot be rolled back.*onConflict: "keep"/);
  const drop = () => place.newManager().withBackup("lance-version", (db) => db.dropTable("scalars"));
  await expect(drop()).rejects.toThrow(LanceError);

  const { entries } = await manager.recover({ onConflict: "keep" });
  expect(entries).toMatchObject([{ action: "kept" }]);
  for (const { id } of await manager.listBackups()) await manager.cleanupBackup(id);
  await drop();
  expect(await place.db.tableNames()).toEqual([]);
  expect(leftovers(place)).toEqual([]);
});
