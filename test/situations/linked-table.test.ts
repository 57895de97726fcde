import { existsSync, lstatSync, mkdirSync, readdirSync, renameSync, symlinkSync, unlinkSync } from "node:fs";
import { join, relative } from "node:path";
import { describe, expect, test } from "vitest";
import { BackupStrategy, Repository } from "../../src/index.ts";
import { newDatabase, type TestDatabase } from "../support/database.ts";
import { dieInside } from "../support/die-inside.ts";
import { filesBelow } from "../support/files.ts";
import { otherFileSystem } from "../support/other-file-system.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";

// A table's directory is a symbolic link: the table lies on another disk. It stays there.

interface Linked extends TestDatabase {
  readonly link: string;
  readonly disk: string;
}

async function linked(how: "absolute" | "relative", filled = true): Promise<Linked> {
  const place = await newDatabase();
  const disk = join((await otherFileSystem()) ?? join(place.directory, "disk"), "big.lance");
  const link = join(place.uri, "big.lance");
  mkdirSync(disk, { recursive: true });
  mkdirSync(place.uri, { recursive: true });
  symlinkSync(how === "absolute" ? disk : relative(place.uri, disk), link);
  if (filled) await makeSampleTable(place.db, "big");
  return { ...place, link, disk };
}

async function expectLinked({ db, link, disk }: Linked, rows = 39): Promise<void> {
  expect(lstatSync(link).isSymbolicLink()).toBe(true);
  expect(readdirSync(disk)).toContain("_versions");
  const table = await db.openTable("big");
  expect((await table.query().toArray()).length).toBe(rows);
}

const onPurpose = () => Promise.reject(new Error("on purpose"));

describe.each(["absolute", "relative"] as const)("an %s link", (how) => {
  test.each(Object.values(BackupStrategy))("%s: writes and drops that fail", async (strategy) => {
    const place = await linked(how);
    for (const anew of [false, true]) {
      const failing = place.manager.withBackup(strategy, async (db) => {
        await (await db.openTable("big")).delete("id > 3");
        await db.dropTable("big");
        if (anew) await db.createTable("big", sampleRows(0, 2));
        await onPurpose();
      });
      await expect(failing).rejects.toThrow("on purpose");
      if (!anew) await expectLinked(place);
    }
    expect(await (await place.db.openTable("big")).countRows()).toBe(39);
  });

  test("a drop whose process died", async () => {
    const place = await linked(how);
    dieInside(place, 'await db.dropTable("big")');
    await place.newManager().recover();
    await expectLinked(place);
  });

  test("a drop that succeeds says where LanceDB leaves the files", async () => {
    const place = await linked(how);
    await place.manager.withBackup("lance-version", (db) => db.dropTable("big"));
    expect(existsSync(place.link)).toBe(false);
    const told = place.logged.find(({ message }) => message.includes("symbolic link was dropped"));
    expect(told?.meta).toEqual({ table: "big", path: place.disk });
    expect(filesBelow(place.disk).length).toBeGreaterThan(3);
  });

  test("a creation through it that fails leaves the link, and its directory empty", async () => {
    const place = await linked(how, false);
    const failing = place.manager.withBackup("lance-version", async (db) => {
      await db.createTable("big", sampleRows(0, 2));
      await onPurpose();
    });
    await expect(failing).rejects.toThrow("on purpose");
    expect(lstatSync(place.link).isSymbolicLink()).toBe(true);
    expect(readdirSync(place.disk)).toEqual([]);
    expect(readdirSync(join(place.disk, ".."))).toEqual(["big.lance"]);
    await place.manager.withBackup("lance-version", (db) => db.createTable("big", sampleRows(0, 5)));
    await expectLinked(place, 5);
  });

  test("restores go to where the link leads, also where its directory is empty", async () => {
    const place = await linked(how);
    await using repository = await Repository.init(join(place.directory, "repo"), { logger: place.logger });
    const snapshot = await repository.backup({ source: place.uri });
    const id = await place.manager.createBackup("directory-copy");
    const restores = [
      () => repository.restore(snapshot.id, { target: place.uri, mode: "in-place" }),
      () => place.manager.restoreBackup(id),
    ];
    for (const [index, restore] of restores.entries()) {
      await (await place.db.openTable("big")).delete("id > 5");
      await restore();
      await expectLinked(place);
      renameSync(place.disk, `${place.disk}.lost-${index}`);
      mkdirSync(place.disk);
      await restore();
      await expectLinked(place);
    }
  });

  test("a link to a disk that is not mounted is not replaced", async () => {
    const place = await linked(how);
    const id = await place.manager.createBackup("directory-copy");
    renameSync(place.disk, `${place.disk}.away`);
    await expect(place.manager.restoreBackup(id)).rejects.toThrow(/symbolic link to .*disk mounted/);
    expect(lstatSync(place.link).isSymbolicLink()).toBe(true);
    renameSync(`${place.disk}.away`, place.disk);
    await place.manager.restoreBackup(id);
    await expectLinked(place);
  });
});

test("a table whose link others have removed comes back as a directory, and that is told", async () => {
  const place = await linked("absolute");
  const id = await place.manager.createBackup("lance-version");
  unlinkSync(place.link);
  await place.manager.restoreBackup(id);
  expect(await (await place.db.openTable("big")).countRows()).toBe(39);
  const told = place.logged.find(({ message }) => message.includes("was a symbolic link"));
  expect(told?.meta).toEqual({ table: "big", link: place.disk });
});
