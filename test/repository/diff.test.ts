import { join } from "node:path";
import { type Connection, connect } from "@lancedb/lancedb";
import { describe, expect, onTestFinished, test } from "vitest";
import { createMarker } from "../../src/engine/marker.ts";
import { BackupNotFoundError, CorruptError, ValidationError } from "../../src/errors.ts";
import type { DiffOptions, RowChanges, SnapshotDiff } from "../../src/sources/lancedb/diff/diff-report.ts";
import { diff } from "../../src/sources/lancedb/diff/diff-snapshots.ts";
import { LanceCatalog } from "../../src/sources/lancedb/lance-catalog.ts";
import type { SnapshotContent } from "../../src/sources/lancedb/snapshot-view.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { lancedb, newDirectory } from "../support/database.ts";
import { makeSampleTable, sampleRows, sampleSchema } from "../support/sample.ts";
import { BROKEN_BLOBS } from "./broken.ts";
import { blobsOf } from "./lance-parts.ts";
import { filesOf, silent, soundRepository, takeSnapshot } from "./sound.ts";

function run(storage: LocalStorage, from: string, to: string, options?: DiffOptions): Promise<SnapshotDiff> {
  return diff(
    { blobs: blobsOf(storage), lancedb, catalog: new LanceCatalog({ storage, logger: silent }) },
    from,
    to,
    options,
  );
}

interface Place {
  readonly storage: LocalStorage;
  readonly db: Connection;
  snapshot(): Promise<SnapshotContent>;
  /** The rows of `main`, after some work. */
  rowsAfter(
    work: (db: Connection) => Promise<unknown>,
    options?: DiffOptions,
  ): Promise<RowChanges | undefined>;
}

async function place(): Promise<Place> {
  const parent = await newDirectory();
  const storage = new LocalStorage(join(parent, "repository"));
  await createMarker(storage);
  const uri = join(parent, "db");
  const db = await connect(uri);
  onTestFinished(() => db.close());
  await makeSampleTable(db, "main", { rows: 40 });
  const snapshot = () => takeSnapshot(storage, uri);
  const first = await snapshot();
  const rowsAfter: Place["rowsAfter"] = async (work, options = { rows: "id" }) => {
    await work(db);
    const second = await snapshot();
    const { tables } = await run(storage, first.snapshot.id, second.snapshot.id, options);
    return tables.find(({ id }) => id === "main")?.rows;
  };
  return { storage, db, snapshot, rowsAfter };
}

const ids = (keys: readonly unknown[]) => keys.map((key) => (key as { id: number }).id).sort((a, b) => a - b);

describe("tables, versions, files and bytes", () => {
  test("of a table that grew, and one that did not", async () => {
    const { storage, first, second } = await soundRepository();
    const before = new Map(filesOf(first).map((file) => [file.path, file.sha256]));
    const added = filesOf(second).filter(({ path }) => !before.has(path));
    const addedBytes = added.reduce((total, { size }) => total + size, 0);
    const [was, is, other] = [first.snapshot.tables[0], second.snapshot.tables[0], second.snapshot.tables[1]];
    const side = ({ version, versionCount, rows, files, bytes }: NonNullable<typeof was>) => ({
      version,
      versionCount,
      rows,
      files,
      bytes,
    });
    const files = { added: added.length, addedBytes, removed: 0, removedBytes: 0 };
    expect(await run(storage, first.snapshot.id, second.snapshot.id)).toEqual({
      from: first.snapshot.id,
      to: second.snapshot.id,
      fromSource: first.snapshot.source,
      toSource: second.snapshot.source,
      parts: [{ source: second.snapshot.source, change: "changed", files }],
      tables: [
        {
          id: "main",
          change: "changed",
          from: side(was!),
          to: side(is!),
          versions: { added: [8], removed: [] },
          files,
        },
        {
          id: "other",
          change: "unchanged",
          from: side(other!),
          to: side(other!),
          versions: { added: [], removed: [] },
          files: { added: 0, addedBytes: 0, removed: 0, removedBytes: 0 },
        },
      ],
      files,
    });
    const back = await run(storage, second.snapshot.id, first.snapshot.id);
    expect(back.files).toEqual({ added: 0, addedBytes: 0, removed: added.length, removedBytes: addedBytes });
  });

  test("of tables made, dropped and made anew", async () => {
    const { storage, db, snapshot } = await place();
    await db.createTable("old", sampleRows(0, 3));
    const first = await snapshot();
    await db.dropTable("old");
    await db.createTable("fresh", sampleRows(0, 4));
    await db.dropTable("main");
    await db.createTable("main", sampleRows(0, 5));
    const second = await snapshot();
    const { tables } = await run(storage, first.snapshot.id, second.snapshot.id, { rows: "id" });
    expect(tables.map(({ id, change }) => [id, change])).toEqual([
      ["fresh", "added"],
      ["main", "changed"],
      ["old", "removed"],
    ]);
    expect(tables[0]).toMatchObject({
      from: undefined,
      to: { rows: 4 },
      versions: { added: [1], removed: [] },
    });
    expect(tables[0]?.rows).toMatchObject({ comparable: true, added: 4, removed: 0, changed: 0 });
    expect(tables[1]?.versions).toEqual({ added: [1], removed: [1, 2, 3, 4] });
    expect(tables[2]).toMatchObject({ to: undefined, versions: { added: [], removed: [1] } });
    expect(tables[2]?.rows).toMatchObject({ comparable: true, added: 0, removed: 3, changed: 0 });
  });

  test("a snapshot and itself are the same", async () => {
    const { storage, first } = await soundRepository();
    const { id } = first.snapshot;
    const { tables } = await run(storage, id, id, { rows: "id" });
    expect(tables.map(({ change }) => change)).toEqual(["unchanged", "unchanged"]);
    expect(tables.map(({ rows }) => rows)).toMatchObject([
      { added: 0, changed: 0 },
      { added: 0, changed: 0 },
    ]);
  });
});

describe("rows by key", () => {
  test("added, removed and changed are counted, with their keys", async () => {
    const { rowsAfter } = await place();
    const rows = await rowsAfter(async (db) => {
      const table = await db.openTable("main");
      await table.add(sampleRows(100, 5));
      await table.delete("id IN (7, 8)");
      await table.update({ where: "id = 9", values: { text: "other" } });
      await table
        .mergeInsert("id")
        .whenMatchedUpdateAll()
        .whenNotMatchedInsertAll()
        .execute(sampleRows(104, 3, 9));
    });
    if (!rows?.comparable) throw new Error("not comparable");
    expect(rows).toMatchObject({ added: 7, removed: 2, changed: 1 });
    expect(ids(rows.examples.added)).toEqual([100, 101, 102, 103, 104, 105, 106]);
    expect(ids(rows.examples.removed)).toEqual([7, 8]);
    expect(ids(rows.examples.changed)).toEqual([9]);
  });

  test("rows that only moved are no change", async () => {
    const { rowsAfter } = await place();
    const rows = await rowsAfter(async (db) => (await db.openTable("main")).optimize());
    expect(rows).toMatchObject({ comparable: true, added: 0, removed: 0, changed: 0 });
  });

  test("a table that was made anew is compared all the same", async () => {
    const { rowsAfter } = await place();
    const rows = await rowsAfter(async (db) => {
      await db.dropTable("main");
      await db.createTable("main", sampleRows(30, 20), { schema: sampleSchema });
    });
    expect(rows).toMatchObject({ comparable: true, added: 10, removed: 29, changed: 0 });
  });

  test("a key whose type changed is told", async () => {
    const { rowsAfter } = await place();
    const rows = await rowsAfter(async (db) => {
      await db.dropTable("main");
      await db.createTable("main", sampleRows(30, 20)); // numbers of JavaScript are doubles
    });
    expect(rows).toEqual({ comparable: false, why: "the type of its key column id changed" });
  });

  test("only as many examples are given as were asked for", async () => {
    const { rowsAfter } = await place();
    const work = async (db: Connection) => (await db.openTable("main")).add(sampleRows(100, 50));
    const rows = await rowsAfter(work, { rows: { main: ["id", "text"] }, examples: 3 });
    if (!rows?.comparable) throw new Error("not comparable");
    expect(rows.added).toBe(50);
    expect(rows.examples.added).toHaveLength(3);
    expect(Object.keys(rows.examples.added[0] ?? {})).toEqual(["id", "text"]);
  });

  test("columns that only one has are left out; one that took another's name is compared", async () => {
    const { rowsAfter } = await place();
    const added = await rowsAfter(async (db) =>
      (await db.openTable("main")).addColumns([{ name: "twice", valueSql: "score * 2" }]),
    );
    expect(added).toMatchObject({ comparable: true, added: 0, removed: 0, changed: 0 });
    const renamed = await rowsAfter(async (db) => {
      const table = await db.openTable("main");
      await table.dropColumns(["score"]);
      await table.alterColumns([{ path: "twice", rename: "score" }]);
    });
    expect(renamed).toMatchObject({ comparable: true, added: 0, removed: 0, changed: 38 }); // row 0 is 0 in both
  });

  test.each([
    ["text", { comparable: true }],
    ["group", { comparable: false, why: expect.stringContaining("that of several rows") }],
    ["vector", { comparable: false, why: expect.stringContaining("cannot be a key") }],
    ["nothing", { comparable: false, why: expect.stringContaining("has no column") }],
  ])("a key that tells no rows apart is told: %s", async (key, expected) => {
    const { rowsAfter } = await place();
    const rows = await rowsAfter(async (db) => (await db.openTable("main")).add(sampleRows(100, 5)), {
      rows: key,
    });
    expect(rows).toMatchObject(expected);
  });

  test("tables of namespaces too", async () => {
    const { storage, db, snapshot } = await place();
    await db.createNamespace(["ns"]);
    await makeSampleTable(db, "main", { namespacePath: ["ns"] });
    const first = await snapshot();
    await (await db.openTable("main", ["ns"])).add(sampleRows(100, 5));
    const second = await snapshot();
    const { tables } = await run(storage, first.snapshot.id, second.snapshot.id, { rows: "id" });
    expect(tables.find(({ id }) => id === "ns$main")?.rows).toMatchObject({
      added: 5,
      removed: 0,
      changed: 0,
    });
  });
});

test("wrong options, unknown snapshots and damaged ones are refused", async () => {
  const repository = await soundRepository();
  const { storage, first, second } = repository;
  const [a, b] = [first.snapshot.id, second.snapshot.id];
  await expect(run(storage, a, "none-such")).rejects.toThrow(BackupNotFoundError);
  await expect(run(storage, a, b, { rows: { nothing: "id" } })).rejects.toThrow(ValidationError);
  await expect(run(storage, a, b, { rows: 7 as never })).rejects.toThrow(TypeError);
  await expect(run(storage, a, b, { examples: -1 })).rejects.toThrow(ValidationError);
  await BROKEN_BLOBS["a blob is missing"]?.(repository);
  await expect(run(storage, a, b)).resolves.toBeDefined();
  await expect(run(storage, a, b, { rows: "id" })).rejects.toThrow(CorruptError);
});
