import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { blob, type Connection, connect, type Table } from "@lancedb/lancedb";
import { Field, Int32, Schema, Utf8 } from "apache-arrow";
import { describe, expect, test } from "vitest";
import { BackupStrategy, UnsupportedError } from "../../src/index.ts";
import { leftovers, newDatabase } from "../support/database.ts";
import { filesBelow } from "../support/files.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";
import { snapshotOf } from "../support/snapshot.ts";

const STRATEGIES = Object.values(BackupStrategy);
const FAR_AHEAD = { cleanupOlderThan: new Date(Date.now() + 60_000), deleteUnverified: true };

interface KindOfTable {
  readonly name: string;
  readonly arrange: (db: Connection) => Promise<unknown>;
  /** Work on the table, so that going back has something to do. */
  readonly work: (db: Connection) => Promise<unknown>;
  /** Files that must be there for the case to be what it says. */
  readonly files: RegExp;
}

const blobSchema = new Schema([new Field("id", new Int32()), blob("body")]);
const blobRow = (id: number, bytes: number) => ({ id, body: Buffer.alloc(bytes, `blob ${id}, `) });

async function addAndCleanUp(db: Connection, name: string, data: Record<string, unknown>[]): Promise<void> {
  const table = await db.openTable(name);
  await table.add(data);
  await table.delete("id = 1");
  await table.optimize(FAR_AHEAD);
}

const KINDS: readonly KindOfTable[] = [
  {
    name: "manifests named in the old way",
    arrange: (db) =>
      makeSampleTable(db, "main", {
        indices: true,
        storageOptions: { new_table_enable_v2_manifest_paths: "false" },
      }),
    work: (db) => addAndCleanUp(db, "main", sampleRows(100, 5)),
    files: /main\.lance\/_versions\/\d{1,2}\.manifest$/,
  },
  {
    name: "manifests named in the new way",
    arrange: (db) =>
      makeSampleTable(db, "main", {
        indices: true,
        storageOptions: { new_table_enable_v2_manifest_paths: "true" },
      }),
    work: (db) => addAndCleanUp(db, "main", sampleRows(100, 5)),
    files: /main\.lance\/_versions\/\d{20}\.manifest$/,
  },
  {
    name: "manifests that are renamed inside the work",
    arrange: (db) =>
      makeSampleTable(db, "main", { storageOptions: { new_table_enable_v2_manifest_paths: "false" } }),
    work: async (db) => {
      const table = await db.openTable("main");
      await table.add(sampleRows(100, 5));
      await (table as Table & { migrateManifestPathsV2(): Promise<void> }).migrateManifestPathsV2();
      await table.add(sampleRows(200, 5));
    },
    files: /main\.lance\/_versions\/\d{1,2}\.manifest$/,
  },
  {
    name: "manifests that are renamed inside the work, and nothing else",
    arrange: (db) =>
      makeSampleTable(db, "main", { storageOptions: { new_table_enable_v2_manifest_paths: "false" } }),
    work: async (db) => {
      const table = await db.openTable("main");
      await (table as Table & { migrateManifestPathsV2(): Promise<void> }).migrateManifestPathsV2();
    },
    files: /main\.lance\/_versions\/\d{1,2}\.manifest$/,
  },
  {
    name: "stable row ids",
    arrange: (db) =>
      makeSampleTable(db, "main", {
        indices: true,
        storageOptions: { new_table_enable_stable_row_ids: "true" },
      }),
    work: (db) => addAndCleanUp(db, "main", sampleRows(100, 5)),
    files: /main\.lance\/data\//,
  },
  {
    name: "large values in files of their own",
    arrange: async (db) => {
      const rows = [blobRow(1, 5_000_000), blobRow(2, 200_000), blobRow(3, 1), { id: 4, body: null }];
      const table = await db.createTable("main", rows, { schema: blobSchema });
      await table.add([blobRow(5, 6_000_000)]);
      await table.delete("id = 2");
    },
    work: (db) => addAndCleanUp(db, "main", [blobRow(6, 5_500_000)]),
    files: /main\.lance\/data\/[01a-f0-9]+\/\d{32}\.blob$/,
  },
  {
    name: "a materialized view",
    arrange: async (db) => {
      await makeSampleTable(db, "main", { storageOptions: { new_table_enable_stable_row_ids: "true" } });
      const view = await db.createMaterializedView("view", "main", {
        select: ["id", ["double", "score * 2"]],
        where: "id > 4",
      });
      await view.refresh();
    },
    work: async (db) => {
      await (await db.openTable("main")).add(sampleRows(100, 5));
      await (await db.openMaterializedView("view")).refresh();
      await (await db.openTable("view")).optimize(FAR_AHEAD);
      const second = await db.createMaterializedView("second", "main", { select: ["id"] });
      await second.refresh();
      expect(await second.table().countRows()).toBe(44);
    },
    files: /view\.lance\/data\//,
  },
];

describe.each(STRATEGIES)("%s", (strategy) => {
  describe.each(KINDS)("$name", ({ arrange, work, files }) => {
    test("guarded work that fails", async () => {
      const place = await newDatabase();
      await arrange(place.db);
      expect(filesBelow(place.uri).some((path) => files.test(path))).toBe(true);
      const before = await snapshotOf(place.db);
      const error = new Error("on purpose");
      const outcome = place.manager.withBackup(strategy, async (db) => {
        await work(db);
        throw error;
      });
      await expect(outcome).rejects.toBe(error);
      expect(await snapshotOf(place.db)).toEqual(before);
      expect(leftovers(place)).toEqual([]);
      await place.manager.withBackup(strategy, work);
      expect(leftovers(place)).toEqual([]);
    });

    test("dropped, and restored from a backup", async () => {
      const place = await newDatabase();
      await arrange(place.db);
      const before = await snapshotOf(place.db);
      const id = await place.manager.createBackup(strategy);
      await work(place.db);
      for (const name of Object.keys(before)) await place.db.dropTable(name);
      if (strategy === BackupStrategy.DirectoryCopy) rmSync(place.uri, { recursive: true });
      await place.manager.restoreBackup(id);
      const after = await snapshotOf(place.db);
      for (const name of Object.keys(before)) expect(after[name]).toEqual(before[name]);
      await work(await connect(place.uri)).catch((error: unknown) => {
        expect(String(error)).toMatch(/already exists/); // the work's own second view is still there
      });
    });
  });

  test("large values whose files were deleted come back, also where the version itself is there", async () => {
    const place = await newDatabase();
    await place.db.createTable("main", [blobRow(1, 5_000_000), blobRow(2, 200_000)], { schema: blobSchema });
    const before = await snapshotOf(place.db);
    const id = await place.manager.createBackup(strategy);
    for (const commits of [0, 1]) {
      if (commits > 0) await (await place.db.openTable("main")).delete("id = 2");
      rmSync(join(place.uri, "main.lance", "data"), { recursive: true });
      await place.manager.restoreBackup(id);
      expect(await snapshotOf(place.db)).toEqual(before);
    }
  });

  test("a view that came back is refreshed from its source as before", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main", { storageOptions: { new_table_enable_stable_row_ids: "true" } });
    const view = await place.db.createMaterializedView("view", "main", { select: ["id"] });
    await view.refresh();
    const outcome = place.manager.withBackup(strategy, async (db) => {
      const main = await db.openTable("main");
      await main.add(sampleRows(100, 7));
      await (await db.openMaterializedView("view")).refresh();
      await main.delete("id < 20");
      throw new Error("on purpose");
    });
    await expect(outcome).rejects.toThrow("on purpose");
    expect(await (await place.db.openTable("view")).countRows()).toBe(39);
    await (await place.db.openTable("main")).add(sampleRows(200, 2));
    await (await place.db.openMaterializedView("view")).refresh();
    const table = await place.db.openTable("view");
    const ids = (await table.query().toArray()).map((row) => Number(row.id)).sort((a, b) => a - b);
    const main = await place.db.openTable("main");
    expect(ids).toEqual((await main.query().toArray()).map((row) => Number(row.id)).sort((a, b) => a - b));
  });
});

describe.each(STRATEGIES)("tags, %s", (strategy) => {
  const tagsOf = async (db: Connection) => {
    const list = await (await (await db.openTable("main")).tags()).list();
    return Object.fromEntries(Object.entries(list).map(([name, tag]) => [name, tag.version]));
  };
  const arrange = async () => {
    const place = await newDatabase();
    const table = await makeSampleTable(place.db, "main");
    const tags = await table.tags();
    await tags.create("first", 1);
    await tags.create("third", 3);
    await tags.create("newest", await table.version());
    return place;
  };

  test("made, moved and deleted inside of work that fails", async () => {
    const place = await arrange();
    const before = await tagsOf(place.db);
    const outcome = place.manager.withBackup(strategy, async (db) => {
      const table = await db.openTable("main");
      const tags = await table.tags();
      const { version } = await table.add(sampleRows(100, 2));
      await tags.create("fresh", version);
      await tags.update("first", version);
      await tags.delete("third");
      expect(await tags.getVersion("first")).toBe(version);
      throw new Error("on purpose");
    });
    await expect(outcome).rejects.toThrow("on purpose");
    expect(await tagsOf(place.db)).toEqual(before);
    expect(leftovers(place)).toEqual([]);
  });

  test("tags alone, without any commit", async () => {
    const place = await arrange();
    const before = await tagsOf(place.db);
    const outcome = place.manager.withBackup(strategy, async (db) => {
      const tags = await (await db.openTable("main")).tags();
      await tags.delete("newest");
      await tags.create("fresh", 2);
      throw new Error("on purpose");
    });
    await expect(outcome).rejects.toThrow("on purpose");
    expect(await tagsOf(place.db)).toEqual(before);
  });

  test("stay as the work left them when it succeeds, and others' tags are never touched", async () => {
    const place = await arrange();
    const theirs = await (await place.db.openTable("main")).tags();
    await place.manager.withBackup(strategy, async (db) => {
      const tags = await (await db.openTable("main")).tags();
      await tags.delete("third");
      await tags.create("fresh", 2);
      await theirs.create("theirs", 4);
    });
    expect(await tagsOf(place.db)).toMatchObject({ fresh: 2, theirs: 4, first: 1 });
    const outcome = place.manager.withBackup(strategy, async (db) => {
      await (await db.openTable("main")).add(sampleRows(100, 1));
      await theirs.create("theirs-too", 4);
      throw new Error("on purpose");
    });
    await expect(outcome).rejects.toThrow("on purpose");
    expect(Object.keys(await tagsOf(place.db)).sort()).toEqual([
      "first",
      "fresh",
      "newest",
      "theirs",
      "theirs-too",
    ]);
  });

  test("come back with a table that was dropped inside of work that fails", async () => {
    const place = await arrange();
    const before = await tagsOf(place.db);
    for (const again of [false, true]) {
      const outcome = place.manager.withBackup(strategy, async (db) => {
        await db.dropTable("main");
        if (again) await (await (await db.createTable("main", [{ id: 1 }])).tags()).create("first", 1);
        throw new Error("on purpose");
      });
      await expect(outcome).rejects.toThrow("on purpose");
      expect(await tagsOf(place.db)).toEqual(before);
    }
  });

  test("come back from a backup, each at a version that can be opened", async () => {
    const place = await arrange();
    const before = await tagsOf(place.db);
    const id = await place.manager.createBackup(strategy);
    await place.db.dropTable("main");
    await place.manager.restoreBackup(id);
    const after = await tagsOf(place.db);
    // lance-version keeps the newest version alone: tags of older ones are left out, with a warning.
    expect(after).toEqual(strategy === BackupStrategy.DirectoryCopy ? before : { newest: before["newest"] });
    const table = await place.db.openTable("main");
    for (const name of Object.keys(after)) {
      await table.checkout(name);
      await table.query().toArray();
    }
  });
});

describe.each(STRATEGIES)("what cannot be captured in full, %s", (strategy) => {
  const expectRefused = async (outcome: Promise<unknown>, ...words: (string | RegExp)[]) => {
    const error = await outcome.then(
      () => undefined,
      (e: unknown) => e,
    );
    expect(error).toBeInstanceOf(UnsupportedError);
    for (const word of words) expect((error as Error).message).toMatch(word);
  };

  test("a shallow clone is refused by table and feature, with nothing left behind", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    const clone = await place.db.cloneTable("clone", join(place.uri, "main.lance"));
    const before = await snapshotOf(place.db);
    const files = filesBelow(join(place.uri, "clone.lance"));
    await expectRefused(place.manager.createBackup(strategy), "clone.lance", /shallow clone/);
    const write = async (db: Connection) => (await db.openTable("clone")).add(sampleRows(100, 1));
    await expectRefused(place.manager.withBackup(strategy, write), "clone.lance", /shallow clone/);
    expect(filesBelow(join(place.uri, "clone.lance"))).toEqual(files);
    expect(await snapshotOf(place.db)).toEqual(before);
    expect(leftovers(place)).toEqual([]);
    expect(await clone.countRows()).toBe(39);
    // The others go on.
    const id = await place.manager.createBackup(strategy, { tables: ["main"] });
    await place.manager.cleanupBackup(id);
  });

  test("a clone made inside of work that fails is gone again", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    const outcome = place.manager.withBackup(strategy, async (db) => {
      await db.cloneTable("clone", join(place.uri, "main.lance"));
      throw new Error("on purpose");
    });
    await expect(outcome).rejects.toThrow("on purpose");
    expect(await place.db.tableNames()).toEqual(["main"]);
    expect(leftovers(place)).toEqual([]);
  });

  test("a table with the LSM write path is refused, with nothing left behind", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    const schema = new Schema([new Field("id", new Int32(), false), new Field("text", new Utf8())]);
    const lsm = await place.db.createTable("lsm", [{ id: 1, text: "x" }], { schema });
    await lsm.setUnenforcedPrimaryKey("id");
    await lsm.setLsmWriteSpec({ specType: "unsharded" });
    const files = filesBelow(join(place.uri, "lsm.lance"));
    await expectRefused(place.manager.createBackup(strategy), "lsm.lance", /LSM/);
    const write = async (db: Connection) => (await db.openTable("lsm")).add([{ id: 2, text: "y" }]);
    await expectRefused(place.manager.withBackup(strategy, write), "lsm.lance", /LSM/);
    expect(filesBelow(join(place.uri, "lsm.lance"))).toEqual(files);
    expect(leftovers(place)).toEqual([]);
    // Guarded work on another table does not mind it.
    await place.manager.withBackup(strategy, async (db) =>
      (await db.openTable("main")).add(sampleRows(100, 1)),
    );
  });

  test("a table cannot change to the LSM write path inside of guarded work", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    const before = await snapshotOf(place.db);
    const outcome = place.manager.withBackup(strategy, async (db) => {
      const table = await db.openTable("main");
      await table.setUnenforcedPrimaryKey("id");
      await table.setLsmWriteSpec({ specType: "unsharded" });
    });
    await expectRefused(outcome, "main", /LSM/);
    expect(await snapshotOf(place.db)).toEqual(before);
    expect(leftovers(place)).toEqual([]);
  });

  test("a table named like the place where namespaces are kept is refused", async () => {
    const place = await newDatabase();
    await place.db.createTable("__manifest", sampleRows(0, 3));
    const write = async (db: Connection) => (await db.openTable("__manifest")).add(sampleRows(3, 1));
    await expectRefused(place.manager.withBackup(strategy, write), "__manifest");
    await expectRefused(place.manager.createBackup(strategy), "__manifest");
    const create = (db: Connection) => db.createTable("__manifest", sampleRows(0, 3), { mode: "overwrite" });
    await expectRefused(place.manager.withBackup(strategy, create), "__manifest");
    expect(await (await place.db.openTable("__manifest")).countRows()).toBe(3);
    expect(leftovers(place)).toEqual([]);
  });

  test("a branch is left out of a backup with a warning, and its files are left alone", async () => {
    const place = await newDatabase();
    const table = await makeSampleTable(place.db, "main");
    const branch = await (await table.branches()).create("mine");
    await branch.add(sampleRows(500, 2));
    const before = await snapshotOf(place.db);
    const id = await place.manager.createBackup(strategy);
    expect(
      place.logged.some(({ level, meta }) => level === "warn" && JSON.stringify(meta).includes("mine")),
    ).toBe(true);
    const outcome = place.manager.withBackup(strategy, async (db) => {
      await (await db.openTable("main")).delete("true");
      throw new Error("on purpose");
    });
    await expect(outcome).rejects.toThrow("on purpose");
    await (await place.db.openTable("main")).delete("true");
    await place.manager.restoreBackup(id);
    expect(await snapshotOf(place.db)).toEqual(before);
    const again = await (await (await place.db.openTable("main")).branches()).checkout("mine");
    expect(await again.countRows()).toBe(41);
    if (strategy === BackupStrategy.DirectoryCopy) {
      expect(readdirSync(join(place.backupDir, id, "main.lance"))).not.toContain("tree");
    }
  });
});
