import { join } from "node:path";
import { type Connection, connect } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { restoreLatest } from "../../src/periodic/replay/restore-latest.ts";
import { contentOf, Place, rowsOf } from "./harness.ts";

const names = async (uri: string) => {
  const db: Connection = await connect(uri);
  const found = await db.tableNames();
  db.close();
  return found;
};

test("an excluded table is in no file, and a delta does not call it dropped", async () => {
  await using place = new Place();
  const db = await place.db();
  const a = await db.createTable("a", rowsOf([1]));
  const tmp = await db.createTable("tmp_1", rowsOf([1, 2]));
  await place.manager({ incremental: true }).backupFull();
  await a.add(rowsOf([2]));
  await tmp.add(rowsOf([3]));
  await place.manager({ incremental: true, exclude: ["tmp_*"] }).backupDelta();
  const target = place.fresh();
  await restoreLatest(place.backupDir, target, { logger: place.logger });
  const loaded = await connect(target);
  expect(await (await loaded.openTable("a")).countRows()).toBe(2);
  expect(await (await loaded.openTable("tmp_1")).countRows()).toBe(2);
  loaded.close();
  await place.manager({ incremental: true }).backupDelta();
  const later = place.fresh();
  await restoreLatest(place.backupDir, later, { logger: place.logger });
  expect(await contentOf(later)).toEqual(await contentOf(place.uri));
  await place.manager({ exclude: ["tmp_?"] }).backupFull();
  const full = place.fresh();
  await restoreLatest(place.backupDir, full, { logger: place.logger });
  expect(await names(full)).toEqual(["a"]);
});

test("a table that no file can hold is left out where that is asked for, with a warning; it is not dropped", async () => {
  await using place = new Place();
  const db = await place.db();
  const a = await db.createTable("a", rowsOf([1]));
  const b = await db.createTable("b", rowsOf([1]));
  const manager = place.manager({ incremental: true, onUnsupported: "leave-out" });
  await manager.backupFull();
  await b.addColumns({ computed: [{ name: "twice", valueSql: "id * 2" }] });
  await b.add(rowsOf([2]));
  await db.cloneTable("clone", join(place.uri, "a.lance"));
  await a.add(rowsOf([2]));
  await manager.backupDelta();
  expect(place.warnings.map(({ meta }) => meta?.["table"]).sort()).toEqual(["b", "clone"]);
  const target = place.fresh();
  await restoreLatest(place.backupDir, target, { logger: place.logger });
  expect(await names(target)).toEqual(["a", "b"]);
  await manager.backupFull();
  const full = place.fresh();
  await restoreLatest(place.backupDir, full, { logger: place.logger });
  expect(await names(full)).toEqual(["a"]);
});
