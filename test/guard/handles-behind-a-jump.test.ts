import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Connection, connect, type Table } from "@lancedb/lancedb";
import { describe, expect, onTestFinished, test } from "vitest";
import { BackupStrategy } from "../../src/index.ts";
import { newDatabase, type TestDatabase } from "../support/database.ts";

// A table vanished behind our back and came back by a jump to a high number. Handles from before know lower
// ones: whatever they write must end above the jump, or fail. LanceDB looks for the newest version from the
// number in its hint file, upward one by one, and does not see across a gap.

/** Versions at which handles are kept: before, at and after the captured one, which is 4. */
const SEEN = [1, 2, 3, 4, 5, 8, 20];
const CAPTURED = 4;

const DISASTERS: readonly { name: string; strike: (place: TestDatabase) => Promise<unknown> }[] = [
  { name: "deleted", strike: async ({ uri }) => rmSync(join(uri, "t.lance"), { recursive: true }) },
  { name: "dropped", strike: ({ db }) => db.dropTable("t") },
  {
    name: "dropped and made again",
    strike: async ({ db }) => {
      await db.dropTable("t");
      await db.createTable("t", [{ id: 500, n: 0 }]);
    },
  },
  {
    name: "deleted and made again, with commits",
    strike: async ({ db, uri }) => {
      rmSync(join(uri, "t.lance"), { recursive: true });
      const table = await db.createTable("t", [{ id: 500, n: 0 }]);
      for (let n = 0; n < 5; n++) await table.add([{ id: 501 + n, n: 0 }]);
    },
  },
];

const WRITES: readonly { name: string; write: (table: Table) => Promise<unknown> }[] = [
  { name: "add", write: (table) => table.add([{ id: 99, n: 0 }]) },
  { name: "update", write: (table) => table.update({ where: "true", valuesSql: { n: "n + 1" } }) },
  { name: "delete", write: (table) => table.delete("id = 1") },
  {
    name: "mergeInsert",
    write: (table) =>
      table
        .mergeInsert("id")
        .whenNotMatchedInsertAll()
        .execute([{ id: 99, n: 0 }]),
  },
  { name: "createIndex", write: (table) => table.createIndex("id") },
  { name: "overwrite", write: (table) => table.add([{ id: 99, n: 0 }], { mode: "overwrite" }) },
];

async function fresh(uri: string): Promise<Connection> {
  const db = await connect(uri);
  onTestFinished(() => db.close());
  return db;
}

/** A table with a backup at version 4, and handles that stand at several versions of it. */
async function prepare(strategy: BackupStrategy) {
  const place = await newDatabase();
  const first = await place.db.createTable("t", [{ id: 1, n: 0 }]);
  const handles = new Map<number, Table>();
  let backup = "";
  for (let version = 1; version <= Math.max(...SEEN); version++) {
    if (version > 1) await first.add([{ id: version, n: 0 }]);
    if (version === CAPTURED) backup = await place.manager.createBackup(strategy);
    if (SEEN.includes(version)) handles.set(version, await (await fresh(place.uri)).openTable("t"));
  }
  return { place, backup, handles };
}

async function look({ uri }: TestDatabase): Promise<{ version: number; rows: string }> {
  const table = await (await fresh(uri)).openTable("t");
  const rows = (await table.query().toArray()) as { id: number; n: number }[];
  return { version: await table.version(), rows: rows.map(({ id, n }) => `${id}:${n}`).join(" ") };
}

describe.each(Object.values(BackupStrategy))("%s", (strategy) => {
  test.each(DISASTERS.flatMap((disaster) => WRITES.map((write) => ({ disaster, write }))))(
    "$disaster.name, restored, then $write.name by handles from before: it shows, or it fails",
    async ({ disaster, write }) => {
      const { place, backup, handles } = await prepare(strategy);
      await disaster.strike(place);
      await place.manager.restoreBackup(backup);
      let before = await look(place);
      for (const [seen, handle] of handles) {
        const worked = await write.write(handle).then(
          () => true,
          () => false,
        );
        const after = await look(place);
        const what = `a handle at ${seen}`;
        if (!worked) expect(after, what).toEqual(before);
        else expect(after.version, what).toBeGreaterThan(before.version);
        before = after;
      }
      // Somebody goes on: from then on the hint is LanceDB's own again.
      await (await (await fresh(place.uri)).openTable("t")).add([{ id: 7, n: 0 }]);
      before = await look(place);
      for (const [seen, handle] of handles) {
        const worked = await write.write(handle).then(
          () => true,
          () => false,
        );
        const after = await look(place);
        if (!worked) expect(after, `a handle at ${seen}, later`).toEqual(before);
        else expect(after.version, `a handle at ${seen}, later`).toBeGreaterThan(before.version);
        before = after;
      }
    },
  );

  test("deleted, and a handle wrote without knowing, before it was restored", async () => {
    const { place, backup, handles } = await prepare(strategy);
    rmSync(join(place.uri, "t.lance"), { recursive: true });
    await handles.get(8)?.add([{ id: 98, n: 0 }]); // LanceDB says that this worked
    await place.manager.restoreBackup(backup);
    const before = await look(place);
    for (const handle of handles.values()) await handle.add([{ id: 99, n: 0 }]).catch(() => undefined);
    expect(await look(place)).toEqual(before);
  });
});

test("a cleanup is no disaster: the number goes up by one", async () => {
  const place = await newDatabase();
  const table = await place.db.createTable("t", [{ id: 1, n: 0 }]);
  for (let n = 0; n < 3; n++) await table.add([{ id: 2, n }]);
  const backup = await place.manager.createBackup(BackupStrategy.LanceVersion);
  for (let n = 0; n < 3; n++) await table.add([{ id: 3, n }]);
  await table.optimize({ cleanupOlderThan: new Date(Date.now() + 60_000), deleteUnverified: true });
  const { version } = await look(place);
  await place.manager.restoreBackup(backup);
  expect((await look(place)).version).toBe(version + 1);
  expect(existsSync(join(place.uri, "t.lance/_versions/latest_version_hint.json"))).toBe(true);
});
