import {
  Connection,
  connect,
  type Job,
  MaterializedView,
  makeArrowTable,
  permutationBuilder,
  Table,
} from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { BackupStrategy, UnsupportedError, ValidationError } from "../../src/index.ts";
import { leftovers, newDatabase } from "../support/database.ts";
import { makeSampleTable, sampleRows, sampleSchema } from "../support/sample.ts";
import { snapshotOf } from "../support/snapshot.ts";

// The connection that the work gets is LanceDB's in every way that a program can see, until the work ends.

const { LanceVersion } = BackupStrategy;

/** What the tables of an embedded database can do besides. */
type LocalTable = Table & { usesV2ManifestPaths(): Promise<boolean> };

/** Every name that an object answers to, up to Object's own. */
function membersOf(value: object): string[] {
  const names = new Set<string>();
  for (let at = value; at && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const name of Object.getOwnPropertyNames(at)) names.add(name);
  }
  return [...names].sort();
}

describe("looks", () => {
  test("instanceof, members, getters, printing", async () => {
    const place = await newDatabase();
    const raw = await makeSampleTable(place.db, "main", { indices: true });
    await place.manager.withBackup(LanceVersion, async (db) => {
      expect(db).toBeInstanceOf(Connection);
      expect(Object.getPrototypeOf(db)).toBe(Object.getPrototypeOf(place.db));
      expect(membersOf(db)).toEqual(membersOf(place.db));
      expect(db.isOpen()).toBe(true);
      expect(db.display()).toBe(place.db.display());
      expect(String(db)).toBe(String(place.db));
      const table = await db.openTable("main");
      expect(table).toBeInstanceOf(Table);
      expect(membersOf(table)).toEqual(membersOf(raw));
      expect(table.name).toBe("main");
      expect(table.isOpen()).toBe(true);
      expect(table.display()).toBe(raw.display());
      for (const [mine, theirs] of [[db, place.db] as const, [table, raw] as const]) {
        for (const name of membersOf(theirs)) {
          if (mine === db && name === "inner") {
            expect(() => Reflect.get(mine, name)).toThrow(UnsupportedError); // what has it writes past the guard
            continue;
          }
          expect(typeof Reflect.get(mine, name), name).toBe(typeof Reflect.get(theirs, name));
        }
      }
    });
  });

  test("a method keeps its identity, and works when taken off the object", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    await place.manager.withBackup(LanceVersion, async (db) => {
      const { openTable, tableNames } = db;
      expect(await tableNames()).toEqual(["main"]);
      const table = await openTable("main");
      expect(table.countRows).toBe(table.countRows);
      expect(table.add).toBe(table.add);
      const { countRows, add } = table;
      await add(sampleRows(100, 1));
      expect(await countRows()).toBe(40);
    });
  });
});

describe("reading", () => {
  test("queries of every kind, and what is built on them", async () => {
    const place = await newDatabase();
    const raw = await makeSampleTable(place.db, "main", { indices: true });
    await place.manager.withBackup(LanceVersion, async (db) => {
      const table = await db.openTable("main");
      const probe = new Array<number>(8).fill(0.5);
      const both = async (read: (table: Table) => Promise<unknown>) =>
        expect(await read(table)).toEqual(await read(raw));
      await both((t) => t.countRows("id > 10"));
      await both(async (t) =>
        (await t.query().where("id > 30").select(["id"]).toArray()).map((row) => row.toJSON()),
      );
      await both(async (t) => (await t.vectorSearch(probe).limit(3).toArray()).map((row) => row._distance));
      await both(async (t) => (await t.search("alpha", "fts").limit(3).toArray()).map((row) => row._score));
      await both(async (t) => (await t.search(probe).limit(3).toArray()).map((row) => row._distance));
      await both(async (t) => (await t.takeOffsets([1, 3]).toArray()).map((row) => row.id));
      await both(async (t) => (await t.takeRowIds([0n, 2n]).toArray()).map((row) => row.id));
      await both(async (t) => (await t.toArrow()).numRows);
      await both((t) => t.listIndices());
      await both((t) => t.indexStats("id_idx"));
      await both((t) => t.stats());
      await both((t) => t.version());
      await both(async (t) => (await t.listVersions()).map(({ version }) => version));
      await both(async (t) => String(await t.schema()));
      await both((t) => t.query().where("id = 4").explainPlan());
      await both(async (t) => (await t.tags()).list());
      await both(async (t) => (await t.branches()).list());
      let batches = 0;
      for await (const batch of table.query()) batches += batch.numRows;
      expect(batches).toBe(39);
      await table.prewarmIndex("id_idx");
      await table.waitForIndex(["id_idx"], 5);
    });
    // Nothing was written, so nothing was captured.
    expect(place.logged.some(({ message }) => message === "table captured")).toBe(false);
  });

  test("an old version can be checked out, and be written on from the newest", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    await place.manager.withBackup(LanceVersion, async (db) => {
      const table = await db.openTable("main");
      await table.checkout(1);
      expect(await table.countRows()).toBe(20);
      await expect(table.add(sampleRows(100, 1))).rejects.toThrow();
      await table.checkoutLatest();
      await table.add(sampleRows(100, 1));
      const old = await db.openTable("main", [], { version: 1 });
      expect(await old.countRows()).toBe(20);
    });
    expect(await (await place.db.openTable("main")).countRows()).toBe(40);
  });

  test("a permutation is built from it", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    await place.manager.withBackup(LanceVersion, async (db) => {
      const table = await db.openTable("main");
      const permutation = await permutationBuilder(table)
        .splitRandom({ ratios: [0.5, 0.5], seed: 1 })
        .execute();
      expect(await permutation.countRows()).toBe(39);
    });
  });

  test("a branch is read and written on, and is not the guard's", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    const outcome = place.manager.withBackup(LanceVersion, async (db) => {
      const table = await db.openTable("main");
      const branch = await (await table.branches()).create("mine");
      await branch.add(sampleRows(100, 1));
      await table.add(sampleRows(200, 1));
      throw new Error("on purpose");
    });
    await expect(outcome).rejects.toThrow("on purpose");
    expect(await (await place.db.openTable("main")).countRows()).toBe(39);
    const branch = await (await (await place.db.openTable("main")).branches()).checkout("mine");
    expect(await branch.countRows()).toBe(40);
  });
});

describe("errors are LanceDB's own", () => {
  test.each([
    { name: "a name with a slash", call: (db: Connection) => db.createTable("x/y", [{ id: 1 }]) },
    { name: "a name that climbs", call: (db: Connection) => db.createTable("../evil", [{ id: 1 }]) },
    { name: "a name with a space", call: (db: Connection) => db.createEmptyTable("a b", sampleSchema) },
    { name: "an empty name", call: (db: Connection) => db.openTable("") },
    { name: "two dots", call: (db: Connection) => db.dropTable("..") },
    { name: "no such table", call: (db: Connection) => db.openTable("nope") },
    { name: "no such table to drop", call: (db: Connection) => db.dropTable("nope") },
    { name: "a table that exists", call: (db: Connection) => db.createTable("main", sampleRows(0, 1)) },
    {
      name: "no such column",
      call: async (db: Connection) => (await db.openTable("main")).delete("nope = 1"),
    },
    { name: "no data", call: async (db: Connection) => (await db.openTable("main")).add([]) },
    { name: "renaming", call: (db: Connection) => db.renameTable("main", "other") },
    { name: "a view of nothing", call: (db: Connection) => db.createMaterializedView("v", "nope") },
    { name: "no data at all", call: (db: Connection) => db.createTable("x", undefined as unknown as []) },
    { name: "no name at all", call: (db: Connection) => db.createTable(undefined as unknown as string, []) },
  ])("$name", async ({ call }) => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    const theirs = await failureOf(() => call(place.db));
    const before = await snapshotOf(place.db);
    await place.manager.withBackup(LanceVersion, async (db) => {
      const mine = await failureOf(() => call(db));
      expect(comparable(mine)).toEqual(comparable(theirs));
    });
    expect(await snapshotOf(place.db)).toEqual(before);
    expect(leftovers(place)).toEqual([]);
  });

  test("but a table that LanceDB takes and the guard cannot name is refused", async () => {
    const place = await newDatabase();
    await place.db.createTable("a..b", sampleRows(0, 3));
    await place.db.createNamespace(["ns"]);
    await place.db.createTable("日本", sampleRows(0, 3), ["ns"]);
    await place.manager.withBackup(LanceVersion, async (db) => {
      expect(await failureOf(() => db.openTable("a..b"))).toBeInstanceOf(UnsupportedError);
      expect(await failureOf(() => db.openTable("日本", ["ns"]))).toBeInstanceOf(UnsupportedError);
      expect(await failureOf(() => db.dropTable("日本", ["ns"]))).toBeInstanceOf(UnsupportedError);
      expect(await failureOf(() => db.createTable("a b", sampleRows(0, 1), ["ns"]))).toBeInstanceOf(
        UnsupportedError,
      );
    });
    const id = await place.manager.createBackup(LanceVersion); // by directory they can be captured all the same
    await (await place.db.openTable("日本", ["ns"])).delete("true");
    await place.manager.restoreBackup(id);
    expect(await (await place.db.openTable("日本", ["ns"])).countRows()).toBe(3);
  });
});

describe("the end of the work", () => {
  test("close() inside of it ends nothing but the connection", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    const before = await snapshotOf(place.db);
    const outcome = place.manager.withBackup(LanceVersion, async (db) => {
      const table = await db.openTable("main");
      await table.delete("true");
      table.close();
      db.close();
      expect(db.isOpen()).toBe(false);
      await db.tableNames();
    });
    await expect(outcome).rejects.toThrow(/closed/i);
    expect(await snapshotOf(place.db)).toEqual(before);
    await place.manager.withBackup(LanceVersion, async (db) => {
      await (await db.openTable("main")).delete("id = 1");
      db.close();
    });
    expect(await (await place.db.openTable("main")).countRows()).toBe(38);
  });

  test("writes that nobody awaited belong to the work: kept when it succeeds, gone when it fails", async () => {
    const place = await newDatabase();
    const before = await (await makeSampleTable(place.db, "main")).countRows();
    for (const fails of [true, false]) {
      const outcome = place.manager.withBackup(LanceVersion, async (db) => {
        const table = await db.openTable("main");
        for (let n = 0; n < 5; n++) void table.add(sampleRows(100 + n, 1));
        void db.createTable("fresh", sampleRows(0, 3));
        void db.createNamespace(["later"]);
        if (fails) throw new Error("on purpose");
      });
      await (fails ? expect(outcome).rejects.toThrow("on purpose") : outcome);
      expect(await (await place.db.openTable("main")).countRows()).toBe(before + (fails ? 0 : 5));
      expect(await place.db.tableNames()).toEqual(fails ? ["main"] : ["fresh", "main"]);
      expect((await (await connect(place.uri)).listNamespaces()).namespaces).toEqual(fails ? [] : ["later"]);
      expect(leftovers(place)).toEqual([]);
    }
  });

  test("Promise.all of which one fails: the others are waited for, then all goes back", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    await makeSampleTable(place.db, "other");
    const before = await snapshotOf(place.db);
    const outcome = place.manager.withBackup(LanceVersion, async (db) => {
      const [main, other] = [await db.openTable("main"), await db.openTable("other")];
      await Promise.all([
        main.add(sampleRows(100, 2000)),
        other.delete("no such column = 1"),
        other.add(sampleRows(100, 2000)),
        main.update({ where: "id < 10", values: { text: "x" } }),
        db.createTable("fresh", sampleRows(0, 1000)),
      ]);
    });
    await expect(outcome).rejects.toThrow(/No field named|no such|SQL|expected/i);
    expect(await snapshotOf(place.db)).toEqual(before);
    expect(leftovers(place)).toEqual([]);
  });

  test("a write that failed and was caught does not fail the work", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    await place.manager.withBackup(LanceVersion, async (db) => {
      const table = await db.openTable("main");
      await table.add(sampleRows(100, 1));
      await table.add([{ wrong: "columns" }]).catch(() => undefined);
      await db.openTable("nope").catch(() => undefined);
      await table.delete("id = 100");
    });
    expect(await (await place.db.openTable("main")).countRows()).toBe(39);
  });

  test("what a call has started and not waited for is refused as well, once the work has ended", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    const started = Promise.withResolvers<unknown>();
    await place.manager.withBackup(LanceVersion, async (db) => {
      const table = await db.openTable("main");
      const [row] = sampleRows(100, 1);
      const data = [
        {
          ...row,
          get id() {
            setTimeout(() => table.add(sampleRows(101, 1)).then(started.resolve, started.resolve), 300);
            return 100;
          },
        },
      ];
      await table.add(data as never);
    });
    const error = await started.promise;
    expect(error).toBeInstanceOf(ValidationError);
    expect((error as Error).message).toContain("The guarded work has ended");
    expect(await (await place.db.openTable("main")).countRows()).toBe(40);
  });

  test("later writes are refused, whatever the object; reads go on", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main", { storageOptions: { new_table_enable_stable_row_ids: "true" } });
    let kept: { db: Connection; table: Table; view: MaterializedView } | undefined;
    await place.manager.withBackup(LanceVersion, async (db) => {
      const view = await db.createMaterializedView("view", "main", { select: ["id"] });
      expect(view).toBeInstanceOf(MaterializedView);
      kept = { db, table: await db.openTable("main"), view };
    });
    if (!kept) throw new Error("the work did not run");
    const { db, table, view } = kept;
    const before = await snapshotOf(place.db);
    const merge = table.mergeInsert("id").whenMatchedUpdateAll();
    const calls: (() => Promise<unknown>)[] = [
      () => table.add(sampleRows(100, 1)),
      () => table.update({ where: "true", values: { text: "x" } }),
      () => table.delete("true"),
      () => merge.execute(sampleRows(0, 1)),
      () => table.addColumns([{ name: "x", valueSql: "1" }]),
      () => table.alterColumns([{ path: "text", rename: "t" }]),
      () => table.dropColumns(["text"]),
      () => table.createIndex("id"),
      () => table.optimize(),
      () => table.restore(),
      () => table.setUnenforcedPrimaryKey("id"),
      async () => (await table.tags()).create("x", 1),
      () => view.refresh(),
      () => view.table().delete("true"),
      () => db.createTable("x", sampleRows(0, 1)),
      () => db.createEmptyTable("x", sampleSchema),
      () => db.dropTable("main"),
      () => db.dropAllTables(),
      () => db.createNamespace(["x"]),
      () => db.createMaterializedView("x", "main"),
    ];
    for (const call of calls) await expect(call(), String(call)).rejects.toThrow(ValidationError);
    expect(await table.countRows()).toBe(39);
    expect(await snapshotOf(place.db)).toEqual(before);
    expect(leftovers(place)).toEqual([]);
    const other = place.newManager({ lockTimeoutMs: 0 }); // and no lock was taken
    await other.withBackup(LanceVersion, async (fresh) => (await fresh.openTable("main")).delete("id = 1"));
  });

  test("a job in the background is waited for", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    const before = await snapshotOf(place.db);
    for (const fails of [true, false]) {
      let job: Job | undefined;
      const outcome = place.manager.withBackup(LanceVersion, async (db) => {
        job = await (await db.openTable("main")).createIndexAsync("id");
        if (fails) throw new Error("on purpose");
      });
      const error = await outcome.then(
        () => undefined,
        (e: unknown) => e,
      );
      if (job === undefined) {
        expect(String(error)).toMatch(/not supported/i); // an embedded LanceDB may have no jobs
        return;
      }
      if (fails) expect(await snapshotOf(place.db)).toEqual(before);
      else expect(await (await place.db.openTable("main")).listIndices()).toHaveLength(1);
    }
  });

  test("results of writes are LanceDB's own", async () => {
    const [place, plain] = [await newDatabase(), await newDatabase()];
    for (const { db } of [place, plain]) await makeSampleTable(db, "main");
    const work = async (db: Connection) => {
      const table = await db.openTable("main");
      return [
        await table.add(sampleRows(100, 3)),
        await table.delete("id = 100"),
        await table.update({ where: "id = 101", values: { text: "x" } }),
        await table
          .mergeInsert("id")
          .whenMatchedUpdateAll()
          .whenNotMatchedInsertAll()
          .execute(sampleRows(101, 5)),
        await table.addColumns([{ name: "x", valueSql: "1" }]),
        await table.alterColumns([{ path: "x", rename: "y" }]),
        await table.dropColumns(["y"]),
        await table.createIndex("id"),
        await table.version(),
        await table.optimize(),
        (await db.createTable("fresh", sampleRows(0, 2))).name,
        await db.dropTable("fresh"),
      ];
    };
    expect(await place.manager.withBackup(LanceVersion, work)).toEqual(await work(plain.db));
    expect(await connect(place.uri).then((db) => db.tableNames())).toEqual(["main"]);
  });

  test("calls in every form that LanceDB takes", async () => {
    const [place, plain] = [await newDatabase(), await newDatabase()];
    const work = async (db: Connection) => {
      const seen: unknown[] = [];
      const count = async (table: Promise<Table>) => seen.push(await (await table).countRows());
      await count(db.createTable("t", sampleRows(0, 3)));
      await count(db.createTable({ name: "t", data: sampleRows(0, 2), mode: "overwrite" }));
      await count(db.createTable("t", sampleRows(0, 9), { existOk: true, mode: "create" }));
      await count(db.createTable("u", makeArrowTable(sampleRows(0, 4)), { storageOptions: {} }));
      await count(db.createTable({ name: "v", data: sampleRows(0, 5), schema: sampleSchema }));
      await count(db.createEmptyTable("w", sampleSchema, { mode: "create" }));
      await count(db.createEmptyTable("w", sampleSchema, [], { mode: "overwrite" }));
      await db.createNamespace(["ns"], { mode: "create", properties: { a: "b" } });
      await count(db.createTable("t", sampleRows(0, 6), ["ns"]));
      await count(db.createTable({ name: "x", data: sampleRows(0, 7) }, ["ns"]));
      await count(db.createEmptyTable("y", sampleSchema, ["ns"]));
      await count(db.openTable("t", ["ns"]));
      await count(db.openTable("t", [], { version: 1 }));
      seen.push(await db.tableNames(), await db.tableNames({ limit: 2, startAfter: "t" }));
      seen.push(await db.tableNames(["ns"], { limit: 1 }), await db.listTables(["ns"], { limit: 2 }));
      seen.push(
        await db.listNamespaces(),
        await db.describeNamespace(["ns"]),
        await db.listMaterializedViews(),
      );
      const table = (await db.openTable("t")) as LocalTable;
      seen.push(await table.usesV2ManifestPaths());
      await table.add(makeArrowTable(sampleRows(10, 2), { schema: await table.schema() }));
      seen.push(
        await table.update({ values: { text: "x" } }),
        await table.update({ score: "1.5" }, { where: "id = 10" }),
      );
      seen.push(await table.update(new Map([["score", "2.5"]])));
      const merge = table
        .mergeInsert(["id"])
        .whenMatchedUpdateAll({ where: "target.id > 5" })
        .useIndex(false);
      seen.push(await merge.execute(sampleRows(10, 2), { timeoutMs: 60_000 }));
      seen.push((await table.query().toArray()).map((row) => JSON.stringify(row)));
      const tags = await table.tags();
      await tags.create("a", 1);
      seen.push(await tags.getVersion("a"), Object.keys(await tags.list()));
      await table.checkout("a");
      seen.push(await table.countRows(), await table.version());
      await table.checkoutLatest();
      seen.push(await failureOf(() => table.createIndex("nope")).then(comparable));
      await db.dropTable("x", ["ns"]);
      await db.dropAllTables(["ns"]);
      await db.dropNamespace(["ns"]);
      await db.dropAllTables();
      seen.push(await db.tableNames());
      table.close();
      seen.push(table.isOpen(), await failureOf(() => table.countRows()).then(comparable));
      db.close();
      seen.push(db.isOpen(), await failureOf(() => db.tableNames()).then(comparable));
      return seen;
    };
    const theirs = await work(plain.db);
    expect(await place.manager.withBackup(LanceVersion, work)).toEqual(theirs);
  });
});

async function failureOf(call: () => unknown): Promise<unknown> {
  try {
    await call();
  } catch (error) {
    return error;
  }
  throw new Error("it did not fail");
}

/** The same error, of the same kind, but for the path of the database and positions in LanceDB's source. */
function comparable(error: unknown): unknown {
  const { name, message } = error as Error;
  const text = message.replaceAll(/\S*lancedb-backup-test-\w+/g, "<database>");
  return { kind: Object.getPrototypeOf(error), name, text };
}
