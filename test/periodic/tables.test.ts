import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { arrow } from "../../src/arrow/arrow.ts";
import { loadBackup } from "../../src/periodic/replay/replay-file.ts";
import { restoreLatest } from "../../src/periodic/replay/restore-latest.ts";
import { contentOf, Place, rowsOf, tableOf } from "./harness.ts";

test("tables in namespaces are backed up and restored", async () => {
  await using place = new Place();
  const db = await place.db();
  await db.createNamespace(["ns"]);
  await db.createTable("root", rowsOf([1]));
  const inner = await db.createTable("t", rowsOf([1, 2]), ["ns"]);
  const manager = place.manager({ incremental: true });
  await manager.backupFull();
  await inner.delete("id = 1");
  await manager.backupDelta();
  const target = place.fresh();
  const summary = await restoreLatest(place.backupDir, target);
  expect(summary.tables).toEqual({ ns$t: 1, root: 1 });
  expect(await contentOf(target)).toEqual(await contentOf(place.uri));
});

test("vectors of NaN load, also beyond the first commit", async () => {
  await using place = new Place();
  const width = 1024;
  const count = 9000;
  const floats = new Float32Array(width * count);
  for (let row = 0; row < count; row++)
    floats[row * width + (row % width)] = row % 3 === 0 ? Number.NaN : row;
  const item = new arrow.Field("item", new arrow.Float32(), true);
  const vectors = new arrow.Data(new arrow.FixedSizeList(width, item), 0, count, 0, [] as never, [
    new arrow.Data(new arrow.Float32(), 0, floats.length, 0, [undefined, floats] as never),
  ]);
  const ids = new arrow.Data(new arrow.Int32(), 0, count, 0, [
    undefined,
    Int32Array.from(floats.slice(0, count).keys()),
  ] as never);
  const schema = new arrow.Schema([
    new arrow.Field("id", ids.type, true),
    new arrow.Field("v", vectors.type, true),
  ]);
  const struct = new arrow.Data(new arrow.Struct(schema.fields), 0, count, 0, [] as never, [ids, vectors]);
  const table = new arrow.Table(schema, [new arrow.RecordBatch(schema, struct as never)]);
  await (await place.db()).createTable("a", table);
  const file = await place.manager({ fileFormat: "arrow" }).backupFull();
  const target = place.fresh();
  const db = await loadBackup(file, target);
  const loaded = await db.openTable("a");
  expect(await loaded.countRows()).toBe(count);
  expect((await loaded.schema()).fields.map((field) => field.name)).toEqual(["id", "v"]);
  let same = 0;
  for (const batch of (await loaded.toArrow()).batches) {
    const [id, v] = [
      batch.getChild("id")!.data[0]!.values,
      batch.getChild("v")!.data[0]!.children[0]!.values,
    ];
    for (let row = 0; row < batch.numRows; row++) {
      const from = id[row] * width;
      const bytes = Buffer.from(v.buffer, v.byteOffset + row * width * 4, width * 4);
      if (bytes.equals(Buffer.from(floats.buffer, from * 4, width * 4))) same++;
    }
  }
  expect(same).toBe(count);
  db.close();
});

test("an empty database, an empty table and a dropped table", async () => {
  await using place = new Place();
  const db = await place.db();
  await db.createEmptyTable("empty", rowsOf([1]).schema);
  await db.createTable("gone", rowsOf([1]));
  const manager = place.manager({ incremental: true });
  await manager.backupFull();
  await db.dropTable("gone");
  expect(await manager.backupDelta()).not.toBeNull();
  const target = place.fresh();
  expect((await restoreLatest(place.backupDir, target)).tables).toEqual({ empty: 0 });
  expect(await contentOf(target)).toEqual(await contentOf(place.uri));
  await db.dropTable("empty");
  for (const backup of [manager.backupFull(), manager.backupDelta()]) {
    await expect(backup).rejects.toMatchObject({
      code: "VALIDATION",
      message: expect.stringContaining("allowEmpty"),
    });
  }
  await place.manager({ incremental: true, allowEmpty: true }).backupFull();
  expect((await restoreLatest(place.backupDir, place.fresh())).tables).toEqual({});
});

test("a database that is not there is an error, and makes no directory", async () => {
  await using place = new Place();
  await expect(place.manager().backupNow()).rejects.toMatchObject({ code: "VALIDATION" });
  expect(readdirSync(place.root)).toEqual([]);
});

test("each file has its tables at one version while others write", async () => {
  await using place = new Place();
  const ids = Array.from({ length: 200 }, (_, id) => id);
  const db = await place.db();
  await db.createTable(
    "a",
    tableOf({ id: [new arrow.Int32(), ids], round: [new arrow.Int32(), ids.map(() => 0)] }),
  );
  let writing = true;
  const writer = (async () => {
    const table = await db.openTable("a");
    for (let round = 1; writing; round++) {
      await table.update({ valuesSql: { round: String(round) } });
      if (round % 5 === 0) await table.optimize({ cleanupOlderThan: new Date() });
      await sleep(1);
    }
  })();
  const manager = place.manager({ incremental: true, maxDeltasBeforeFull: 4 });
  for (let count = 0; count < 12; count++) await manager.backupNow();
  writing = false;
  await writer;
  for (const name of place.files()) {
    const target = place.fresh();
    const [, seconds, micros] = /_(\d+)_(\d+)\./.exec(name) ?? [];
    const at = new Date(Number(seconds) * 1000 + Math.floor(Number(micros) / 1000));
    await restoreLatest(place.backupDir, target, { at });
    const { a } = (await contentOf(target)) as { a: { rows: string[] } };
    const rounds = new Set(a.rows.map((row) => /"round":(\d+)/.exec(row)?.[1]));
    expect(a.rows).toHaveLength(200);
    expect(rounds.size).toBe(1);
  }
});

test("in real time: a started manager follows changes, and stop leaves whole files only", async () => {
  await using place = new Place();
  const table = await (await place.db()).createTable("a", rowsOf([0]));
  const manager = place.manager({ incremental: true, backupInterval: 0.2, minBackupInterval: 0.05 });
  manager.start();
  const whole = () => place.files().filter((name) => name.startsWith("lancedb_"));
  for (let id = 1; id < 10 || whole().length < 3; id++) {
    await table.add(rowsOf([id]));
    manager.notifyChange();
    await sleep(20);
  }
  await manager.stop();
  const files = place.files();
  await sleep(500);
  expect(place.files()).toEqual(files);
  expect(files.every((name) => name.startsWith("lancedb_"))).toBe(true);
  await manager.backupDelta();
  const target = place.fresh();
  await restoreLatest(place.backupDir, target);
  expect(await contentOf(target)).toEqual(await contentOf(place.uri));
});

for (const how of ["_versions is gone", "_versions is empty"]) {
  for (const path of [[], ["ns"]]) {
    test(`a table whose ${how} is damaged, not dropped${path.length > 0 ? " (in a namespace)" : ""}`, async () => {
      await using place = new Place();
      const db = await place.db();
      if (path.length > 0) await db.createNamespace(path);
      await db.createTable("w", rowsOf([1]), path);
      const other = await db.createTable("other", rowsOf([1]));
      const manager = place.manager({ incremental: true });
      await manager.backupFull();
      await other.add(rowsOf([2]));
      const directory = readdirSync(place.uri).find((name) => /^w\.lance$|\$w$/.test(name)) ?? "";
      const versions = join(place.uri, directory, "_versions");
      rmSync(versions, { recursive: true });
      if (how.endsWith("empty")) mkdirSync(versions);
      for (const backup of [() => manager.backupDelta(), () => manager.backupFull()]) {
        await expect(backup()).rejects.toMatchObject({
          code: "CORRUPT",
          message: expect.stringContaining(`table ${[...path, "w"].join("$")} is damaged`),
        });
      }
      expect(place.files()).toHaveLength(1);
      rmSync(join(place.uri, directory), { recursive: true });
      expect(await manager.backupDelta()).toMatch(/lancedb_delta_/);
    });
  }
}
