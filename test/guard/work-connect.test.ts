import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Connection } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import type { Connect } from "../../src/index.ts";
import { leftovers, newDatabase } from "../support/database.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";
import { snapshotOf } from "../support/snapshot.ts";

// What connects by itself, and can be told how.

const failure = new Error("on purpose");

/** A framework that is given a uri, and a `connect`. */
async function ingest(connect: Connect, uri: string): Promise<void> {
  const db = await connect(uri, { readConsistencyInterval: 0 });
  await (await db.openTable("main")).add(sampleRows(100, 3));
  await db.createTable("made", sampleRows(0, 3), { mode: "overwrite" });
  await db.dropTable("other");
  db.close();
}

async function arrange() {
  const place = await newDatabase();
  await makeSampleTable(place.db, "main");
  await makeSampleTable(place.db, "other");
  return place;
}

test("inside of guarded work it gives connections of that work, whichever way the database is named", async () => {
  const place = await arrange();
  const before = await snapshotOf(place.db);
  const link = join(place.directory, "link");
  symlinkSync(place.uri, link);
  const { connect } = place.manager;
  for (const uri of [place.uri, `${place.uri}/`, link, pathToFileURL(place.uri).href]) {
    const failing = place.manager.withBackup("lance-version", async (db) => {
      await (await db.openTable("main")).delete("id < 5");
      await new Promise((resolve) => setImmediate(resolve));
      await ingest(connect, uri);
      throw failure;
    });
    await expect(failing).rejects.toBe(failure);
    expect(await snapshotOf(place.db)).toEqual(before);
  }
  expect(leftovers(place)).toEqual([]);
  await place.manager.withBackup("lance-version", () => ingest(connect, place.uri));
  expect((await place.db.tableNames()).sort()).toEqual(["made", "main"]);
});

test("it takes LanceDB's other form, and writes no more when the work has ended", async () => {
  const place = await arrange();
  const { manager, uri } = place;
  const kept = await manager.withBackup("lance-version", async () => {
    const table = await (await manager.connect({ uri })).openTable("main");
    await table.delete("id = 1");
    return table;
  });
  await expect(kept.delete("id = 2")).rejects.toMatchObject({ code: "VALIDATION", message: /has ended/ });
  expect(await kept.countRows()).toBe(38);
});

test("outside of guarded work, and for another database in it, it is LanceDB's own", async () => {
  const [place, another] = [await arrange(), await arrange()];
  await ingest(place.manager.connect, place.uri);
  expect((await place.db.tableNames()).sort()).toEqual(["made", "main"]);
  const failing = place.manager.withBackup("lance-version", async () => {
    await ingest(place.manager.connect, another.uri);
    throw failure;
  });
  await expect(failing).rejects.toBe(failure);
  expect((await another.db.tableNames()).sort()).toEqual(["made", "main"]);
  const missing = place.manager.connect("unknown+scheme://x");
  await expect(missing).rejects.toThrow();
});

test("the innermost work on the database counts, also inside of work on another", async () => {
  const [place, another] = [await arrange(), await arrange()];
  const before = await snapshotOf(place.db);
  const failing = place.manager.withBackup("lance-version", async () => {
    await another.manager.withBackup("lance-version", () => ingest(place.manager.connect, place.uri));
    throw failure;
  });
  await expect(failing).rejects.toBe(failure);
  expect(await snapshotOf(place.db)).toEqual(before);
});

test("what two connections of one work drop goes to places of its own, and comes back", async () => {
  const place = await arrange();
  const before = await snapshotOf(place.db);
  const work = async (db: Connection) => {
    await db.dropTable("main");
    const other = await place.manager.connect(place.uri);
    await (await db.openTable("other")).add(sampleRows(100, 3));
    await other.dropTable("other");
  };
  const failing = place.manager.withBackup("lance-version", async (db) => {
    await work(db);
    throw failure;
  });
  await expect(failing).rejects.toBe(failure);
  expect(await snapshotOf(place.db)).toEqual(before);
  await place.manager.withBackup("lance-version", work);
  expect(await place.db.tableNames()).toEqual([]);
  expect(leftovers(place)).toEqual([]);
});
