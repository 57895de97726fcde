import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { BackupStrategy, UnsupportedError } from "../../src/index.ts";
import { leftovers, newDatabase } from "../support/database.ts";
import { filesBelow } from "../support/files.ts";
import { arrangeTables } from "../support/kinds-of-work.ts";
import { otherFileSystem } from "../support/other-file-system.ts";
import { sampleRows } from "../support/sample.ts";
import { snapshotOf } from "../support/snapshot.ts";

const { DirectoryCopy } = BackupStrategy;

test("backups on another file system are true copies, and come back", async (context) => {
  const backupDir = await otherFileSystem();
  if (!backupDir) return context.skip();
  const place = await newDatabase({ backupDir });
  await arrangeTables(place.db);
  const tagged = await (await place.db.openTable("main")).tags();
  await tagged.create("mine", 2);
  const before = await snapshotOf(place.db);
  const id = await place.manager.createBackup(DirectoryCopy);
  const copies = filesBelow(join(backupDir, id)).filter((path) => path !== "backup.json");
  expect(copies.length).toBeGreaterThan(20);
  for (const path of copies) {
    const [copy, live] = [statSync(join(backupDir, id, path)), statSync(join(place.uri, path))];
    expect(copy.size).toBe(live.size);
    expect(copy.dev).not.toBe(live.dev);
  }
  expect(await snapshotOf(await connect(join(backupDir, id)))).toEqual(before);
  for (const part of ["main.lance", "main.lance/data", "other.lance/_versions", "."]) {
    rmSync(join(place.uri, part), { recursive: true, force: true });
    await place.manager.restoreBackup(id);
    expect(await snapshotOf(place.db)).toEqual(before);
    const tags = await (await place.db.openTable("main")).tags();
    expect(await tags.getVersion("mine")).toBe(2);
    await tags.update("mine", 3);
    await place.manager.restoreBackup(id);
    expect(await tags.getVersion("mine")).toBe(2);
    await tags.delete("mine");
  }
  await place.manager.cleanupBackup(id);
  const outcome = place.manager.withBackup(DirectoryCopy, async (db) => {
    await (await db.openTable("main")).add(sampleRows(100, 2));
    await (await db.openTable("main")).optimize({ cleanupOlderThan: new Date(Date.now() + 60_000) });
    await db.dropTable("other");
    throw new Error("on purpose");
  });
  await expect(outcome).rejects.toThrow("on purpose");
  expect(await snapshotOf(place.db)).toEqual(before);
  expect(leftovers(place)).toEqual([]);
});

test("links to another file system are refused where links were asked for, with nothing left", async (context) => {
  const backupDir = await otherFileSystem();
  if (!backupDir) return context.skip();
  for (const link of ["hardlink", "reflink"] as const) {
    const place = await newDatabase({ backupDir, link });
    await arrangeTables(place.db);
    const error = await place.manager.createBackup(DirectoryCopy).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(UnsupportedError);
    const hints = ["auto", "copy"].map((way) => ({ options: { link: way } }));
    expect(error).toMatchObject({
      message: expect.stringMatching(/with link: "auto" or with link: "copy"/),
      hints,
    });
    expect(leftovers(place)).toEqual([]);
  }
});

test("a full disk is an IoError that says so; the backup is not half there and the table not touched", async (context) => {
  const backupDir = await otherFileSystem();
  if (!backupDir) return context.skip();
  const place = await newDatabase({ backupDir });
  const table = await place.db.createTable("big", [{ id: 0, body: Buffer.alloc(70_000_000, 7) }]);
  await table.add([{ id: 1, body: Buffer.alloc(10, 7) }]);
  const error = await place.manager.createBackup(DirectoryCopy).catch((e: unknown) => e);
  expect(error).toMatchObject({ code: "IO", errno: "ENOSPC", message: expect.stringContaining("full") });
  expect(leftovers(place)).toEqual([]);
  let wrote = false;
  const outcome = place.manager.withBackup(DirectoryCopy, async (db) => {
    await (await db.openTable("big")).delete("true");
    wrote = true;
  });
  await expect(outcome).rejects.toMatchObject({ code: "IO" });
  expect(wrote).toBe(false);
  expect(await (await place.db.openTable("big")).countRows()).toBe(2);
  expect(leftovers(place)).toEqual([]);
});
