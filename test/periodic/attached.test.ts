import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { BackupManager } from "../../src/guard/backup-manager.ts";
import { deleteRowsWithBackup } from "../../src/guard/write/delete-rows.ts";
import { insertRecordsWithBackup } from "../../src/guard/write/insert-records.ts";
import { restoreLatest } from "../../src/periodic/replay/restore-latest.ts";
import { contentOf, FakeClock, Place, rowsOf } from "./harness.ts";

test("each guarded success makes a backup, a rollback makes none", async () => {
  await using place = new Place();
  const { uri, logger } = place;
  await using guard = new BackupManager({ uri, backupDir: join(place.root, "guard"), logger });
  const clock = new FakeClock();
  await using manager = place.manager({
    clock,
    incremental: true,
    backupInterval: 3600,
    minBackupInterval: 5,
  });
  const detach = manager.attach(guard);
  const options = { table: "a", strategy: "lance-version", manager: guard } as const;
  const filesAfter = async (seconds: number) => {
    clock.pass(seconds * 1000);
    await manager.idle();
    return place.files().length;
  };

  await insertRecordsWithBackup(rowsOf([1, 2, 3]), options);
  manager.start();
  expect(await filesAfter(0)).toBe(1);
  expect(await filesAfter(60)).toBe(1);

  await insertRecordsWithBackup(rowsOf([4]), options);
  expect(await filesAfter(0)).toBe(2);
  await deleteRowsWithBackup([{ id: 1 }], { ...options, key: "id" });
  await guard.withBackup("directory-copy", async (db) => {
    await (await db.openTable("a")).add(rowsOf([5]));
  });
  expect(await filesAfter(4)).toBe(2); // both wait for the least interval, and make one
  expect(await filesAfter(1)).toBe(3);

  const mistake = new Error("in the middle of it");
  const failing = guard.withBackup("lance-version", async (db) => {
    await (await db.openTable("a")).add(rowsOf([6]));
    throw mistake;
  });
  await expect(failing).rejects.toBe(mistake);
  expect(await filesAfter(60)).toBe(3);

  const target = place.fresh();
  expect((await restoreLatest(place.backupDir, target)).tables).toEqual({ a: 4 });
  expect(await contentOf(target)).toEqual(await contentOf(place.uri));

  detach();
  await insertRecordsWithBackup(rowsOf([7]), options);
  expect(await filesAfter(60)).toBe(3);
});

test("backups beside guarded work and its rollbacks lead to what is there in the end", async () => {
  await using place = new Place();
  const { uri, logger } = place;
  await using guard = new BackupManager({ uri, backupDir: join(place.root, "guard"), logger });
  await using manager = place.manager({ incremental: true, backupInterval: 3600, minBackupInterval: 0 });
  manager.attach(guard);
  const options = { table: "a", strategy: "lance-version", manager: guard } as const;
  await insertRecordsWithBackup(rowsOf([0]), options);
  manager.start();
  for (let id = 1; id <= 20; id++) {
    await insertRecordsWithBackup(rowsOf([id]), options);
    const failing = guard.withBackup("lance-version", async (db) => {
      await (await db.openTable("a")).add(rowsOf([-id]));
      throw new Error("taken back");
    });
    await expect(failing).rejects.toThrow("taken back");
  }
  for (let wait = 0; wait < 200 && place.files().length < 2; wait++) await sleep(20);
  await manager.backupDelta();
  await manager.stop();
  expect(place.errors).toEqual([]);
  const target = place.fresh();
  await restoreLatest(place.backupDir, target);
  expect(await contentOf(target)).toEqual(await contentOf(place.uri));
});
