import { mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { BackupManager, BackupStrategy, LockedError } from "../../../src/index.ts";
import type { RestoreOptions } from "../../../src/sources/lancedb/restore/restore-options.ts";
import type { SnapshotContent } from "../../../src/sources/lancedb/snapshot-view.ts";
import type { LocalStorage } from "../../../src/storage/local-storage.ts";
import { filesBelow, stampOf } from "../../support/files.ts";
import { arrangeTables, KINDS_OF_WORK } from "../../support/kinds-of-work.ts";
import { makeSampleTable } from "../../support/sample.ts";
import { snapshotOf, snapshotOfTable } from "../../support/snapshot.ts";
import { sampleOf } from "../../support/thorough.ts";
import { flipBit } from "../broken.ts";
import { fileLike, filesOf, silent, takeSnapshot } from "../sound.ts";
import { elsewhere, makeAllKinds, newRestorePlace, restoreTo, sampleRows, showing } from "./kinds.ts";

const inPlace = (
  storage: LocalStorage,
  content: SnapshotContent,
  target: string,
  more: Partial<RestoreOptions> = {},
) => restoreTo(storage, content, { target, mode: "in-place", ...more });

async function versionsOf(uri: string): Promise<Record<string, number>> {
  const db = await connect(uri);
  const entries = (await db.tableNames()).map(async (name) => [
    name,
    await (await db.openTable(name)).version(),
  ]);
  return Object.fromEntries(await Promise.all(entries));
}

/** What every test here leaves behind: nothing of ours but the locks. */
function expectTidy(uri: string): void {
  for (const room of ["staging", "journal"]) {
    const names = filesBelow(join(uri, ".lancedb-backup")).filter((path) => path.startsWith(`${room}/`));
    expect(names).toEqual([]);
  }
}

describe.each(sampleOf(KINDS_OF_WORK))("after: $name", ({ run }) => {
  test("the tables of the snapshot show what they showed, tables made since are left alone", async () => {
    const { db, uri, storage } = await newRestorePlace();
    await arrangeTables(db);
    const before = await snapshotOf(db);
    const content = await takeSnapshot(storage, uri);
    await run(db);
    const since = await snapshotOf(db);
    const versions = await versionsOf(uri);

    const report = await inPlace(storage, content, uri);

    const { main, other, ...more } = await showing(uri);
    expect({ main, other }).toEqual(before);
    const { main: _main, other: _other, ...madeSince } = since;
    expect(more).toEqual(madeSince);
    expect(report.leftAlone).toEqual(Object.keys(madeSince));
    const now = await versionsOf(uri);
    for (const { id, version, action } of report.tables) {
      expect(version).toBe(now[id]);
      if (action === "keep") expect(version).toBe(versions[id]);
      else
        expect(version).toBeGreaterThan(
          versions[id] ?? content.snapshot.tables.find((t) => t.id === id)!.version,
        );
    }
    expectTidy(uri);
    const again = await inPlace(storage, content, uri);
    expect(again.tables.map(({ action, version }) => [action, version])).toEqual(
      report.tables.map(({ version }) => ["keep", version]),
    );
    const db2 = await connect(uri);
    const table = await db2.openTable("main");
    await table.add(sampleRows(9000, 1));
    expect(await table.countRows("id = 9000")).toBe(1);
  });
});

describe("tables in namespaces", () => {
  const works: [string, (db: Awaited<ReturnType<typeof connect>>) => Promise<unknown>][] = [
    ["nothing", async () => undefined],
    ["a drop", (db) => db.dropTable("spaced", ["ns"])],
    [
      "a drop and a creation",
      async (db) => {
        await db.dropTable("spaced", ["ns"]);
        await db.createTable("spaced", [{ other: "columns" }], ["ns"]);
      },
    ],
    [
      "drops of tables and namespaces",
      async (db) => {
        await db.dropTable("deep", ["ns", "inner"]);
        await db.dropNamespace(["ns", "inner"]);
        await db.dropTable("spaced", ["ns"]);
        await db.dropNamespace(["ns"]);
        await db.dropNamespace(["bare"]);
      },
    ],
    ["a change", async (db) => (await db.openTable("spaced", ["ns"])).delete("true")],
  ];
  test.each(works)("after %s", async (_what, work) => {
    const { db, uri, storage } = await newRestorePlace();
    await makeAllKinds(db);
    const before = await snapshotOf(db);
    const content = await takeSnapshot(storage, uri);
    await work(db);
    await db.createNamespace(["young"]);
    await db.createTable("made", sampleRows(0, 3), ["young"]);
    const report = await inPlace(storage, content, uri);
    const { young$made, ...rest } = await showing(uri);
    expect(rest).toEqual(before);
    expect(young$made?.rows.length).toBe(3);
    expect(report.leftAlone).toEqual(["young$made"]);
    const { namespaces } = await (await connect(uri)).listNamespaces([]);
    expect(namespaces.sort()).toEqual(["bare", "ns", "young"]);
    expect(await snapshotOf(db)).toEqual({ ...rest, young$made });
    await inPlace(storage, content, uri);
    expect(await showing(uri)).toEqual({ ...rest, young$made });
  });

  test("one alone brings back its own namespace and no other", async () => {
    const { db, uri, storage } = await newRestorePlace();
    await makeAllKinds(db);
    const before = await snapshotOf(db);
    const content = await takeSnapshot(storage, uri);
    await db.dropTable("deep", ["ns", "inner"]);
    await db.dropTable("spaced", ["ns"]);
    for (const path of [["ns", "inner"], ["ns"], ["bare"]]) await db.dropNamespace(path);
    await db.dropTable("main");
    await inPlace(storage, content, uri, { tables: ["ns$inner$deep"] });
    const { main, ns$spaced, ...rest } = before;
    expect([main, ns$spaced]).not.toContain(undefined);
    expect(await showing(uri)).toEqual(rest);
    expect((await (await connect(uri)).listNamespaces([])).namespaces).toEqual(["ns"]);
  });

  test("into a database that has none, some tables or all", async () => {
    const { db, uri, storage, directory } = await newRestorePlace();
    await makeAllKinds(db);
    const before = await snapshotOf(db);
    const content = await takeSnapshot(storage, uri);
    const target = join(directory, "other");
    mkdirSync(target);
    const report = await inPlace(storage, content, target, { tables: ["ns$spaced"] });
    expect(await showing(target)).toEqual({ ns$spaced: before["ns$spaced"] });
    expect(report.leftOut.map(({ table }) => table)).toEqual(["ns$inner$deep"]);
    await inPlace(storage, content, target);
    expect(await showing(target)).toEqual(before);
  });
});

test("files come from the live tables where they are good, from blobs where not; damaged ones are mended", async () => {
  const { db, uri, storage } = await newRestorePlace();
  await arrangeTables(db);
  const before = await snapshotOf(db);
  const content = await takeSnapshot(storage, uri);
  const data = fileLike(filesOf(content), /^data\//);
  const index = fileLike(filesOf(content), /^_indices\//);
  for (const { path, size } of [data, index]) flipBit(join(uri, "main.lance", path), size >> 1);
  const progress: number[] = [];
  const report = await inPlace(storage, content, uri, {
    onProgress: ({ totalFiles }) => progress.push(totalFiles),
  });
  expect(progress).toEqual([2, 2]);
  expect(report.tables.map(({ action }) => action)).toEqual(["keep", "keep"]);
  expect(await showing(uri)).toEqual(before);
  for (const { path, sha256 } of [data, index]) {
    const { createHash } = await import("node:crypto");
    const file = join(uri, "main.lance", path);
    expect(createHash("sha256").update(readFileSync(file)).digest("hex")).toBe(sha256);
    expect(statSync(file).mode & 0o200).toBe(0o200);
  }
});

test("a damaged newest manifest is moved aside", async () => {
  const { db, uri, storage } = await newRestorePlace();
  await arrangeTables(db);
  const before = await snapshotOf(db);
  const content = await takeSnapshot(storage, uri);
  const manifest = fileLike(filesOf(content), /^_versions\//); // the newest comes first
  const path = join(uri, "main.lance", manifest.path);
  flipBit(path, manifest.size - 3);
  await inPlace(storage, content, uri);
  expect(await showing(uri)).toEqual(before);
});

test("an older version, by number or time, with its tags", async () => {
  const { db, uri, storage } = await newRestorePlace();
  const table = await makeSampleTable(db, "main", { indices: true });
  await (await table.tags()).create("second", 2);
  await (await table.tags()).create("moved", 1);
  const content = await takeSnapshot(storage, uri);
  await (await table.tags()).delete("second");
  await (await table.tags()).update("moved", 3);
  await (await table.tags()).create("since", 3);
  const newest = await table.version();
  const report = await inPlace(storage, content, uri, { versions: { main: 2 } });
  await table.checkout(2);
  const now = await (await connect(uri)).openTable("main");
  expect(await snapshotOfTable(now)).toEqual(await snapshotOfTable(table));
  expect(await now.version()).toBe(newest + 1);
  expect(report.tables).toMatchObject([
    {
      action: "restore",
      restoredVersion: 2,
      version: newest + 1,
      passedOver: Array.from({ length: newest - 2 }, (_, i) => i + 3),
    },
  ]);
  const tags = await (await now.tags()).list();
  expect(Object.fromEntries(Object.entries(tags).map(([name, tag]) => [name, tag.version]))).toEqual({
    ...{ second: 2, moved: 1, since: 3 },
  });
});

test("tags that were moved since come back without verifying, too", async () => {
  const { db, uri, storage } = await newRestorePlace();
  const table = await makeSampleTable(db, "main");
  const versions = await table.listVersions();
  const tags = await table.tags();
  for (const { version } of versions) await tags.create(`v${version}`, version);
  const content = await takeSnapshot(storage, uri);
  // Somewhere among these two tags have the same length.
  for (const { version } of versions) await tags.update(`v${version}`, versions.length + 1 - version);
  await inPlace(storage, content, uri, { verify: false });
  const now = await (await (await connect(uri)).openTable("main")).tags();
  const found = Object.entries(await now.list()).map(([name, { version }]) => [name, version]);
  expect(Object.fromEntries(found)).toEqual(
    Object.fromEntries(versions.map(({ version }) => [`v${version}`, version])),
  );
});

test("from a storage that is elsewhere", async () => {
  const { db, uri, storage } = await newRestorePlace();
  await makeAllKinds(db);
  const before = await snapshotOf(db);
  const content = await takeSnapshot(storage, uri);
  await db.dropAllTables();
  await restoreTo(elsewhere(storage), content, { target: uri, mode: "in-place" });
  expect(await showing(uri)).toEqual(before);
});

test("a dry run says what would be done, and writes nothing", async () => {
  const { db, uri, storage, directory } = await newRestorePlace();
  await arrangeTables(db);
  const content = await takeSnapshot(storage, uri);
  await (await db.openTable("main")).delete("id = 1");
  await db.dropTable("other");
  await db.createTable("young", sampleRows(0, 1));
  const before = stampOf(directory);
  const report = await inPlace(storage, content, uri, { dryRun: true });
  expect(report).toMatchObject({
    ...{ dryRun: true, mode: "in-place", leftAlone: ["young"] },
    tables: [
      { id: "main", action: "restore", version: undefined, passedOver: [8] },
      { id: "other", action: "rebuild", version: undefined, passedOver: [] },
    ],
  });
  expect(stampOf(directory)).toEqual(before);
});

describe("guarded writes", () => {
  test("are waited for, and their time limit told", async () => {
    const { db, uri, storage, directory } = await newRestorePlace();
    await arrangeTables(db);
    const before = await snapshotOf(db);
    const content = await takeSnapshot(storage, uri);
    await using manager = new BackupManager({ uri, backupDir: join(directory, "b"), logger: silent });
    const { promise: mayEnd, resolve: end } = Promise.withResolvers<void>();
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    const work = manager.withBackup(BackupStrategy.LanceVersion, async (guarded) => {
      await (await guarded.openTable("main")).delete("id < 10");
      begin();
      await mayEnd;
    });
    await begun;
    await expect(inPlace(storage, content, uri, { lockTimeoutMs: 50 })).rejects.toThrow(LockedError);
    const restored = inPlace(storage, content, uri);
    end();
    await Promise.all([work, restored]);
    expect(await showing(uri)).toEqual(before);
  });
});

test("an abort leaves the database as it was", async () => {
  const { db, uri, storage } = await newRestorePlace();
  await arrangeTables(db);
  const content = await takeSnapshot(storage, uri);
  await db.dropTable("main");
  await db.createTable("main", sampleRows(0, 2));
  const before = await showing(uri);
  const names = readdirSync(join(uri, "main.lance", "_versions"));
  const abort = new AbortController();
  const reason = new Error("enough");
  const outcome = inPlace(storage, content, uri, {
    signal: abort.signal,
    onProgress: ({ files }) => files === 5 && abort.abort(reason),
  });
  await expect(outcome).rejects.toBe(reason);
  expect(await showing(uri)).toEqual(before);
  expect(readdirSync(join(uri, "main.lance", "_versions"))).toEqual(names);
  expectTidy(uri);
});
