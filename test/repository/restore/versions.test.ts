import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { blobName } from "../../../src/engine/format/names.ts";
import { CorruptError } from "../../../src/index.ts";
import type { SnapshotContent } from "../../../src/sources/lancedb/snapshot-view.ts";
import { filesBelow, stampOf } from "../../support/files.ts";
import { makeSampleTable } from "../../support/sample.ts";
import { snapshotOf, snapshotOfTable } from "../../support/snapshot.ts";
import { flipBit } from "../broken.ts";
import { filesOf, takeSnapshot } from "../sound.ts";
import { makeAllKinds, newRestorePlace, restoreTo, sampleRows, showing } from "./kinds.ts";

const ids = (content: SnapshotContent) => content.snapshot.tables.map(({ id }) => id);

describe("a version", () => {
  test("each one of a table comes back as it was, with those before it and nothing after", async () => {
    const { db, uri, storage, directory } = await newRestorePlace();
    const table = await makeSampleTable(db, "main", { indices: true });
    await (await table.tags()).create("second", 2);
    await (await table.tags()).create("fourth", 4);
    await table.add(sampleRows(100, 5));
    await table.optimize();
    await table.dropIndex("vector_idx");
    const content = await takeSnapshot(storage, uri);
    const { versions } = content.snapshot.tables[0]!;
    expect(versions.length).toBeGreaterThan(8);
    for (const { version, rows } of versions) {
      const target = join(directory, `v${version}`);
      const report = await restoreTo(storage, content, { target, versions: { main: BigInt(version) } });
      expect(report.tables).toMatchObject([{ id: "main", restoredVersion: version, version, rows }]);
      const restored = await (await connect(target)).openTable("main");
      await table.checkout(version);
      expect(await snapshotOfTable(restored)).toEqual(await snapshotOfTable(table));
      expect((await restored.listVersions()).map((entry) => entry.version)).toEqual(
        versions.map((entry) => entry.version).filter((other) => other <= version),
      );
      const tags = Object.keys(await (await restored.tags()).list()).sort();
      expect(tags).toEqual([...(version >= 4 ? ["fourth"] : []), ...(version >= 2 ? ["second"] : [])]);
      const leftOut = report.leftOut.map(({ what }) => /^tag (\w+)/.exec(what)?.[1]);
      expect([...tags, ...leftOut].sort()).toEqual(["fourth", "second"]);
      await restored.add(sampleRows(900, 1));
      expect(await restored.countRows()).toBe(rows + 1);
    }
    const files = versions.map(({ version }) => filesBelow(join(directory, `v${version}`)).length);
    expect(files).toEqual(files.toSorted((a, b) => a - b));
    expect(files.at(-1)).toBe(content.snapshot.files + 4); // of the add: data, manifest, transaction, hint
  });

  test("with blobs in files of their own, and of old names", async () => {
    const { db, uri, storage, directory } = await newRestorePlace();
    await makeAllKinds(db);
    const content = await takeSnapshot(storage, uri);
    const target = join(directory, "restored");
    await restoreTo(storage, content, {
      target,
      tables: ["blobs", "oldNames", "main"],
      versions: { blobs: 1, oldNames: 3 },
    });
    const restored = await connect(target);
    for (const [name, version] of [
      ["blobs", 1],
      ["oldNames", 3],
      ["main", undefined],
    ] as const) {
      const table = await db.openTable(name);
      if (version) await table.checkout(version);
      expect(await snapshotOfTable(await restored.openTable(name))).toEqual(await snapshotOfTable(table));
    }
    expect(filesBelow(target).filter((path) => path.endsWith(".blob")).length).toBe(2);
  });
});

describe("a moment", () => {
  test("each table shows what it showed then; those that were not there are left out and named", async () => {
    const { db, uri, storage, directory } = await newRestorePlace();
    await makeSampleTable(db, "main", { indices: true });
    await db.createNamespace(["ns"]);
    await db.createTable("early", sampleRows(0, 5), ["ns"]);
    const dropped = await db.createTable("dropped", sampleRows(0, 5), ["ns"]);
    dropped.close();
    await sleep(5);
    const at = new Date();
    const before = await snapshotOf(db);
    await sleep(5);
    await (await db.openTable("main")).delete("id > 5");
    await db.dropTable("dropped", ["ns"]);
    await db.createTable("late", sampleRows(0, 5), ["ns"]);
    await db.createTable("later", sampleRows(0, 5));
    const content = await takeSnapshot(storage, uri);

    const target = join(directory, "restored");
    const report = await restoreTo(storage, content, { target, at });

    const { ns$dropped, ...there } = before;
    expect(ns$dropped).toBeDefined();
    expect(await showing(target)).toEqual(there);
    expect(report.leftOut.map(({ table }) => table).sort()).toEqual(["later", "ns$dropped", "ns$late"]);
    expect(report.leftOut.find(({ table }) => table === "later")?.what).toMatch(
      /oldest version in the snapshot, 1,/,
    );
    expect(ids(content)).toEqual(["__manifest", "later", "main", "ns$early", "ns$late"]);
    const restored = await connect(target);
    await restored.createTable("dropped", sampleRows(0, 5), ["ns"]);
    expect((await restored.tableNames(["ns"])).sort()).toEqual(["dropped", "early"]);
  });

  test("the very time of a version is that version; a version that is named goes before", async () => {
    const { db, uri, storage, directory } = await newRestorePlace();
    await makeSampleTable(db, "main");
    await makeSampleTable(db, "other");
    const content = await takeSnapshot(storage, uri);
    const { createdAt } = content.snapshot.tables[0]!.versions[2]!;
    const report = await restoreTo(storage, content, {
      target: join(directory, "restored"),
      at: new Date(Math.ceil(createdAt!.getTime() + 1)),
      versions: { other: 1 },
    });
    expect(report.tables.map(({ restoredVersion }) => restoredVersion)).toEqual([expect.any(Number), 1]);
    expect(report.tables[0]!.restoredVersion).toBeGreaterThanOrEqual(3);
  });

  test("a snapshot without history has one version", async () => {
    const { db, uri, storage, directory } = await newRestorePlace();
    await makeSampleTable(db, "main");
    const content = await takeSnapshot(storage, uri, { history: "latest" });
    const [table] = content.snapshot.tables;
    const restore = (options: object) =>
      restoreTo(storage, content, { target: join(directory, "restored"), ...options });
    await expect(restore({ versions: { main: 1 } })).rejects.toThrow(/no version 1 of table main. It has: 4/);
    await expect(restore({ at: new Date(table!.versions[0]!.createdAt!.getTime() - 1) })).rejects.toThrow(
      /as old as/,
    );
    await restore({ at: new Date() });
    expect(await showing(join(directory, "restored"))).toEqual(await snapshotOf(db));
  });
});

test("a damaged older manifest is told before anything is written", async () => {
  const { db, uri, storage, directory } = await newRestorePlace();
  await makeSampleTable(db, "main");
  const content = await takeSnapshot(storage, uri);
  const manifest = filesOf(content)
    .filter(({ path }) => path.startsWith("_versions/"))
    .at(-1)!; // the oldest
  flipBit(join(storage.directory, blobName(manifest.sha256)), manifest.size >> 1);
  const before = stampOf(directory);
  const outcome = restoreTo(storage, content, { target: join(directory, "restored"), versions: { main: 2 } });
  await expect(outcome).rejects.toThrow(CorruptError);
  await expect(outcome).rejects.toThrow(manifest.path);
  expect(stampOf(directory)).toEqual(before);
});
