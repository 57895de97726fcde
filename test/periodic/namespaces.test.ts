import { type Connection, connect } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { applyDelta, loadBackup } from "../../src/periodic/replay/replay-file.ts";
import { restoreLatest } from "../../src/periodic/replay/restore-latest.ts";
import { Place, rowsOf } from "./harness.ts";

const TABLES: readonly (readonly [string, ...string[]])[] = [["t"], ["t", "a"], ["u", "a"], ["t", "a", "b"]];

async function idsOf(db: Connection): Promise<Record<string, number[]>> {
  const ids: Record<string, number[]> = {};
  for (const path of [[], ["a"], ["a", "b"], ["c"]]) {
    const names = await db.tableNames(path).catch(() => []);
    for (const name of names) {
      const table = await db.openTable(name, path);
      const rows = await table.query().select(["id"]).toArray();
      ids[[...path, name].join("$")] = rows.map((row) => row.id as number).sort((a, b) => a - b);
      table.close();
    }
  }
  return ids;
}

async function fill(place: Place): Promise<Connection> {
  const db = await place.db();
  await db.createNamespace(["a"]);
  await db.createNamespace(["a", "b"]);
  for (const [name, ...path] of TABLES) await db.createTable(name, rowsOf([1, 2]), path);
  return db;
}

test("several tables in one namespace, and in one inside it, are restored", async () => {
  await using place = new Place();
  const live = await fill(place);
  const file = await place.manager().backupFull();
  const restored = place.fresh();
  await restoreLatest(place.backupDir, restored);
  using db = await disposable(connect(restored));
  expect(await idsOf(db.connection)).toEqual(await idsOf(live));
  using loaded = await disposable(loadBackup(file, place.fresh()));
  expect(await idsOf(loaded.connection)).toEqual(await idsOf(live));
});

test("deltas make, replace, change and drop tables beside others in a namespace", async () => {
  await using place = new Place();
  const live = await fill(place);
  const manager = place.manager({ incremental: true });
  const full = await manager.backupFull();
  const copy = place.fresh();
  (await loadBackup(full, copy)).close();
  await live.createNamespace(["c"]);
  await live.createTable("v", rowsOf([7]), ["a"]);
  await live.createTable("w", rowsOf([8]), ["c"]);
  await live.dropTable("u", ["a"]);
  await (await live.openTable("t", ["a"])).addColumns([{ name: "z", valueSql: "id" }]);
  await live.createTable("t", rowsOf([]), ["a", "b"], { mode: "overwrite" });
  await (await live.openTable("t")).delete("id = 1");
  const delta = (await manager.backupDelta()) ?? "";
  await applyDelta(copy, delta);
  await applyDelta(copy, delta);
  using applied = await disposable(connect(copy));
  expect(await idsOf(applied.connection)).toEqual(await idsOf(live));
  const restored = place.fresh();
  await restoreLatest(place.backupDir, restored);
  using db = await disposable(connect(restored));
  expect(await idsOf(db.connection)).toEqual(await idsOf(live));
});

async function disposable(opened: Promise<Connection>) {
  const connection = await opened;
  return { connection, [Symbol.dispose]: () => connection.close() };
}
