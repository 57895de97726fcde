import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import {
  diagnose,
  insertRecordsWithBackup,
  PeriodicBackupManager,
  Repository,
  restoreLatest,
} from "../../src/index.ts";
import { leftovers, newDatabase, recordingLogger } from "../support/database.ts";
import { dieInside } from "../support/die-inside.ts";
import {
  APPLE_DOUBLE,
  addCopies,
  addCopiesOfDirectories,
  addNotes,
  CONFLICT,
  copiesOf,
  straysBelow,
} from "../support/strays.ts";

/** A database with two tables, one in a namespace, a tag, and two backups that wait; a repository with a snapshot. */
async function scene() {
  const place = await newDatabase();
  const { db, uri, manager, directory, logger } = place;
  const table = await db.createTable("t", [{ id: 1 }, { id: 2 }]);
  await (await table.tags()).create("first", 1);
  await db.createNamespace(["ns"]);
  await db.createTable("n", [{ id: 1 }], ["ns"]);
  const held = [await manager.createBackup("directory-copy"), await manager.createBackup("lance-version")];
  const location = join(directory, "repository");
  const repository = await Repository.init(location, { logger });
  await repository.backup({ source: uri });
  return { ...place, held, location, repository };
}

async function rowsOf(uri: string): Promise<number> {
  return (await (await connect(uri)).openTable("t")).countRows();
}

const guarded = (place: Awaited<ReturnType<typeof scene>>, id: number) =>
  insertRecordsWithBackup([{ id }], { table: "t", strategy: "directory-copy", manager: place.manager });

function failing({ manager }: Awaited<ReturnType<typeof scene>>) {
  return manager.withBackup("lance-version", async (db) => {
    await (await db.openTable("t")).delete("id > 0");
    await db.dropTable("t");
    throw new Error("the application's own");
  });
}

test(".DS_Store, desktop.ini, Thumbs.db and ._ files everywhere: all goes on, and they stay where they are", async () => {
  const place = await scene();
  const { uri, backupDir, manager, directory, logger, repository, location, held } = place;
  for (const root of [uri, backupDir, location]) addNotes(root);
  const tables = straysBelow(uri).filter((path) => !path.startsWith(".lancedb-backup/"));
  const inRepository = straysBelow(location);

  await guarded(place, 3);
  await expect(failing(place)).rejects.toThrow("the application's own");
  expect(await rowsOf(uri)).toBe(3);
  expect((await manager.recover()).entries.map(({ action }) => action)).toEqual(["held", "held"]);
  const snapshot = await repository.backup({ source: uri, lockTimeoutMs: 5_000 });
  expect(snapshot.tables.map(({ id, tags }) => [id, tags])).toEqual([
    ["__manifest", []],
    ["ns$n", []],
    ["t", ["first"]],
  ]);
  for (const id of held) await manager.restoreBackup(id);
  expect(await rowsOf(uri)).toBe(2);
  await repository.restore("latest", { target: uri, mode: "in-place" });
  expect(await rowsOf(uri)).toBe(3);
  const periodic = new PeriodicBackupManager({ uri, backupDir: join(directory, "periodic"), logger });
  await periodic.backupFull();
  addNotes(join(directory, "periodic"));
  await periodic.backupNow();
  await periodic.stop();
  addNotes(join(uri, ".lancedb-backup/pins"));
  await restoreLatest(join(directory, "periodic"), join(directory, "replayed"));
  expect(await rowsOf(join(directory, "replayed"))).toBe(3);

  const checks = await repository.verify(undefined, { restoreTest: true });
  expect(checks.filter(({ ok }) => !ok)).toEqual([]);
  await repository.prune({ keepLast: 1, graceHours: 0 });
  await repository.restore("latest", { target: join(directory, "back") });
  expect(straysBelow(join(directory, "back"))).toEqual([]);
  expect(straysBelow(location)).toEqual(inRepository);
  expect(straysBelow(uri)).toEqual(
    expect.arrayContaining(tables.filter((path) => !path.startsWith("t.lance/"))),
  );
  const { findings } = await diagnose({ uri, repository: location });
  expect(
    findings.filter(({ check }) => check === "strays").map(({ level, about }) => [level, about]),
  ).toEqual(
    expect.arrayContaining([
      ["note", uri],
      ["note", location],
    ]),
  );
});

test("conflict copies beside every file but manifests: no tag, no lock, no journal entry and no backup comes of one", async () => {
  const place = await scene();
  const { uri, backupDir, manager, directory, repository, location, held } = place;
  addCopies(uri, (path) => !path.endsWith(".manifest"));
  for (const root of [backupDir, location]) addCopies(root);
  addCopiesOfDirectories(join(uri, ".lancedb-backup/journal"));
  addCopiesOfDirectories(join(uri, ".lancedb-backup/locks"));
  addCopiesOfDirectories(backupDir);

  await guarded(place, 3);
  await expect(failing(place)).rejects.toThrow("the application's own");
  expect((await manager.listBackups()).map(({ id }) => id).sort()).toEqual([...held].sort());
  const snapshot = await repository.backup({ source: uri, lockTimeoutMs: 5_000 });
  expect(snapshot.tables.find(({ id }) => id === "t")?.tags).toEqual(["first"]);
  const { logger, logged } = recordingLogger();
  const again = await Repository.open(location, { logger });
  const checks = await again.verify();
  expect(checks.filter(({ ok }) => !ok)).toEqual([]);
  await again.prune({ keepLast: 1, graceHours: 0 });
  // The first snapshot is gone, and the copies of its document are there: they may be all that is left of it.
  expect(logged.map(({ message }) => message)).toContainEqual(expect.stringContaining("keeps the blobs"));
  await again.restore("latest", { target: join(directory, "back") });
  expect(straysBelow(join(directory, "back"))).toEqual([]);
  expect(await rowsOf(join(directory, "back"))).toBe(3);
});

test("a copy of a snapshot's document keeps its blobs; one that cannot be read is named, and nothing is removed", async () => {
  const { uri, db, repository, location } = await scene();
  const id = (await repository.list())[0]!.id;
  const document = join(location, "snapshots", `${id}.json`);
  const copy = join(location, "snapshots", copiesOf(`${id}.json`)[0] as string);
  copyFileSync(document, copy);
  await db.dropTable("t");
  await repository.backup({ source: uri });
  await repository.prune({ keepLast: 1, graceHours: 0 });
  renameSync(copy, document);
  expect((await repository.verify(id)).filter(({ ok }) => !ok)).toEqual([]);

  writeFileSync(copy, readFileSync(document).subarray(0, 100));
  await expect(repository.prune({ graceHours: 0 })).rejects.toMatchObject({ code: "CORRUPT", path: copy });
  expect((await repository.verify()).find(({ ok }) => !ok)?.details).toContain(CONFLICT);
});

test("what is called ._<id>.json and is not what Mac OS calls so may be a document: nothing is removed", async () => {
  const { repository, location } = await scene();
  const id = (await repository.list())[0]!.id;
  const hidden = join(location, "snapshots", `._${id}.json`);
  writeFileSync(hidden, APPLE_DOUBLE);
  await repository.prune({ graceHours: 0 });
  copyFileSync(join(location, "snapshots", `${id}.json`), hidden);
  await expect(repository.prune({ graceHours: 0 })).rejects.toMatchObject({ code: "CORRUPT", path: hidden });
});

test("copies of tables' directories are in no backup, and are named", async () => {
  const { uri, manager, directory, logger, logged, repository, location } = await scene();
  addCopiesOfDirectories(uri);
  const copies = readdirSync(uri).filter((name) => name.includes("conflicted"));
  const snapshot = await repository.backup({ source: uri });
  expect(snapshot.tables.map(({ id }) => id)).toEqual(["__manifest", "ns$n", "t"]);
  expect((await repository.verify("latest", { restoreTest: true })).filter(({ ok }) => !ok)).toEqual([]);
  await manager.cleanupBackup(await manager.createBackup("directory-copy"));
  const periodic = new PeriodicBackupManager({ uri, backupDir: join(directory, "periodic"), logger });
  await periodic.backupFull();
  await periodic.stop();
  const named = logged.filter(({ message }) => message.startsWith("a copy of a table's directory"));
  expect(new Set(named.map(({ message }) => message)).size).toBe(3);
  expect(new Set(named.map(({ meta }) => meta?.["directory"]))).toEqual(
    new Set(copies.filter((name) => !name.startsWith("."))),
  );
  const { findings } = await diagnose({ uri, repository: location });
  const about = findings.filter(({ check, level }) => check === "strays" && level === "warning");
  expect(about.map((finding) => finding.about)).toEqual(
    expect.arrayContaining(copies.filter((name) => !name.startsWith(".")).map((name) => join(uri, name))),
  );
});

test("a manifest's and a tag's copy stop LanceDB: the doctor says which file it is, and snapshots go on", async () => {
  const { uri, db, repository } = await scene();
  const versions = join(uri, "t.lance/_versions");
  const [manifest = ""] = readdirSync(versions).filter((name) => name.endsWith(".manifest"));
  const strays = [
    join(versions, manifest.replace(".manifest", `.${CONFLICT}.manifest`)),
    join(uri, "t.lance/_refs/tags/._first.json"),
  ] as const;
  copyFileSync(join(versions, manifest), strays[0]);
  writeFileSync(strays[1], APPLE_DOUBLE);
  await expect(db.openTable("t")).rejects.toThrow("multiple manifest naming schemes");
  const { ok, findings } = await diagnose({ uri });
  expect(ok).toBe(false);
  const problems = findings.filter(({ level }) => level === "problem");
  expect(problems.map(({ about }) => about).sort()).toEqual([...strays].sort());
  expect((await repository.backup({ source: uri })).tables.map(({ id, tags }) => [id, tags])).toContainEqual([
    "t",
    ["first"],
  ]);
});

test("a lock's directory in which strays alone are left can be taken, and they move aside", async () => {
  const place = await scene();
  const lock = join(place.uri, ".lancedb-backup/locks/t");
  for (const name of readdirSync(lock))
    if (name.endsWith(".json")) renameSync(join(lock, name), join(place.directory, name));
  writeFileSync(join(lock, ".DS_Store"), "x");
  await guarded(place, 3);
  expect(await rowsOf(place.uri)).toBe(3);
  expect(straysBelow(join(place.uri, ".lancedb-backup/aside"))).toHaveLength(1);
});

test("what a killed process left is put back although strays lie beside all of it", async () => {
  const place = await scene();
  const { uri, manager } = place;
  dieInside(place, `await (await db.openTable("t")).delete("id > 0"); await db.dropTable("n", ["ns"])`);
  addNotes(join(uri, ".lancedb-backup"));
  addCopies(join(uri, ".lancedb-backup"), (path) => !path.endsWith(".manifest"));
  addCopiesOfDirectories(join(uri, ".lancedb-backup/journal"));
  const { entries } = await manager.recover();
  expect(entries.map(({ action }) => action).sort()).toEqual(["held", "held", "rolled-back"]);
  expect(await rowsOf(uri)).toBe(2);
  expect(await (await connect(uri)).tableNames(["ns"])).toEqual(["n"]);
  expect(leftovers(place).some((path) => path.includes("conflicted copy"))).toBe(true); // not ours to remove
  const locks = readdirSync(join(uri, ".lancedb-backup/locks"), { withFileTypes: true });
  expect(locks.filter((entry) => entry.isDirectory()).map(({ name }) => name)).not.toContain(".DS_Store");
});

test("a restore into a directory that has a .DS_Store already", async () => {
  const { directory, repository } = await scene();
  const target = join(directory, "target");
  mkdirSync(target);
  writeFileSync(join(target, ".DS_Store"), "x");
  await repository.restore("latest", { target });
  expect(await rowsOf(target)).toBe(2);
  expect(existsSync(join(target, ".DS_Store"))).toBe(true);
});

test("a table is not made under the name of a stray", async () => {
  const { manager } = await scene();
  for (const name of ["._t", `t.${CONFLICT}`]) {
    const make = insertRecordsWithBackup([{ id: 1 }], { table: name, strategy: "lance-version", manager });
    await expect(make).rejects.toMatchObject({ code: "VALIDATION" });
  }
});
