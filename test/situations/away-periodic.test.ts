import { existsSync, mkdirSync, readdirSync, renameSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { restoreLatest } from "../../src/index.ts";
import { contentOf, Place, rowsOf } from "../periodic/harness.ts";

const TRIES = process.env["NIGHTLY"] === "1" ? 60 : 10;

async function placeWithFull(options = {}) {
  const place = new Place();
  const db = await place.db();
  for (const name of ["a", "b", "c"]) await db.createTable(name, rowsOf([1, 2, 3]));
  const failures: string[] = [];
  const onBackupFailure = (error: Error) => failures.push(error.message);
  const manager = place.manager({ keep: 1, onBackupFailure, ...options });
  await manager.backupNow();
  return { place, manager, failures, files: place.files(), content: await contentOf(place.uri) };
}

const emptied = (uri: string) => {
  for (const name of readdirSync(uri)) rmSync(join(uri, name), { recursive: true });
};
const unmounted = (uri: string) => {
  renameSync(uri, `${uri}.away`);
  mkdirSync(uri);
};

test.for([
  { what: "rm -r of all that is in it", lose: emptied, incremental: false },
  { what: "rm -r of all that is in it", lose: emptied, incremental: true },
  { what: "its disk unmounted", lose: unmounted, incremental: false },
  { what: "its disk unmounted", lose: unmounted, incremental: true },
])(
  "a database that is empty of a sudden ($what, incremental: $incremental): a failure is told, the good files stay",
  async ({ lose, incremental }) => {
    const { place, manager, failures, files, content } = await placeWithFull({ incremental });
    await using _place = place;
    lose(place.uri);
    await expect(manager.backupNow()).rejects.toMatchObject({ code: "VALIDATION" });
    await expect(manager.backupFull()).rejects.toMatchObject({ code: "VALIDATION" });
    expect(failures).toHaveLength(2);
    expect(failures[0]).toContain("Is its disk mounted?");
    expect(place.files()).toEqual(files);
    const target = place.fresh();
    await restoreLatest(place.backupDir, target);
    expect(await contentOf(target)).toEqual(content);
  },
);

test("all tables dropped is a failure, not a delta", async () => {
  const { place, manager, failures, files } = await placeWithFull({ incremental: true });
  await using _place = place;
  await (await place.db()).dropAllTables();
  await expect(manager.backupDelta()).rejects.toMatchObject({ code: "VALIDATION" });
  expect(failures).toHaveLength(1);
  expect(place.files()).toEqual(files);
});

test("a database that is away for 0 to 20 ms: a file of all its tables, or a failure", async () => {
  const { place, manager, content } = await placeWithFull({ incremental: true });
  await using _place = place;
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const running = manager.backupFull().then(
      () => "written",
      () => "failed",
    );
    await sleep(Math.random() * 20);
    renameSync(place.uri, `${place.uri}.away`);
    await sleep(1 + Math.random() * 10);
    if (existsSync(place.uri)) rmSync(place.uri, { recursive: true }); // by LanceDB, which makes what is missing
    renameSync(`${place.uri}.away`, place.uri);
    await running;
    const target = place.fresh();
    await restoreLatest(place.backupDir, target);
    expect(await contentOf(target)).toEqual(content);
    expect(place.files().filter((name) => name.startsWith("lancedb_"))).toHaveLength(1);
  }
});

test("a backup directory that is away is not made again; a new one is begun where somebody makes it", async () => {
  const { place, manager, failures } = await placeWithFull();
  await using _place = place;
  renameSync(place.backupDir, `${place.backupDir}.away`);
  for (const one of [manager, place.manager()]) {
    await expect(one.backupNow()).rejects.toMatchObject({ code: "IO", path: place.backupDir });
  }
  expect(failures[0]).toContain("Is its disk mounted?");
  expect(existsSync(place.backupDir)).toBe(false);
  mkdirSync(place.backupDir);
  await manager.backupNow();
  rmSync(place.backupDir, { recursive: true });
  renameSync(`${place.backupDir}.away`, place.backupDir);
  await manager.backupNow();
  expect(place.files()).toHaveLength(1);
});

test("the database's directory is not made by a periodic backup", async () => {
  const { place, manager } = await placeWithFull();
  await using _place = place;
  renameSync(place.uri, `${place.uri}.away`);
  await expect(manager.backupNow()).rejects.toMatchObject({ code: "VALIDATION" });
  expect(existsSync(place.uri)).toBe(false);
  mkdirSync(place.uri);
  await expect(manager.backupNow()).rejects.toMatchObject({ code: "VALIDATION" });
  rmSync(join(place.uri, ".lancedb-backup"), { recursive: true, force: true });
  rmdirSync(place.uri);
});
