import { rmSync } from "node:fs";
import { type Connection, connect } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { BackupStrategy } from "../../src/index.ts";
import { leftovers, newDatabase } from "../support/database.ts";
import { makeSampleTable, sampleRows, sampleSchema } from "../support/sample.ts";
import { shownBy } from "../support/snapshot.ts";
import { inTurn } from "../support/thorough.ts";

// A table in a namespace lies in a directory that gets a new name at each creation, and namespaces lie in a
// dataset of their own. Rolling back means that both agree again.

const STRATEGIES = Object.values(BackupStrategy);

async function arrange(db: Connection): Promise<void> {
  await makeSampleTable(db, "main");
  await db.createNamespace(["a"]);
  await db.createNamespace(["a", "inner"]);
  await db.createNamespace(["empty"]);
  await makeSampleTable(db, "main", { namespacePath: ["a"], indices: true });
  await makeSampleTable(db, "deep", { namespacePath: ["a", "inner"], rows: 10 });
}

const KINDS: readonly { name: string; work: (db: Connection) => Promise<unknown> }[] = [
  {
    name: "writes to a table in a namespace",
    work: async (db) => {
      const table = await db.openTable("main", ["a"]);
      await table.add(sampleRows(100, 5));
      await table.delete("id < 10");
      await table.optimize({ cleanupOlderThan: new Date(Date.now() + 60_000) });
    },
  },
  {
    name: "a table made in a namespace",
    work: (db) => db.createTable("fresh", sampleRows(0, 5), ["a", "inner"]),
  },
  { name: "an empty table made", work: (db) => db.createEmptyTable("fresh", sampleSchema, ["empty"]) },
  {
    name: "a table overwritten",
    work: (db) => db.createTable("main", [{ x: 1 }], ["a"], { mode: "overwrite" }),
  },
  { name: "a table dropped", work: (db) => db.dropTable("main", ["a"]) },
  {
    name: "a table dropped and made again",
    work: async (db) => {
      for (let round = 0; round < 2; round++) {
        await db.dropTable("main", ["a"]);
        const table = await db.createTable("main", sampleRows(700, 3), ["a"]);
        await table.add(sampleRows(800, 3));
      }
    },
  },
  {
    name: "a table made and dropped",
    work: async (db) => {
      await db.createTable("fresh", sampleRows(0, 5), ["a"]);
      await db.dropTable("fresh", ["a"]);
    },
  },
  {
    name: "namespaces made, with tables",
    work: async (db) => {
      await db.createNamespace(["b"]);
      await db.createNamespace(["b", "c"]);
      await db.createTable("t", sampleRows(0, 5), ["b", "c"]);
    },
  },
  { name: "a namespace dropped", work: (db) => db.dropNamespace(["empty"]) },
  {
    name: "a namespace dropped with all that is in it",
    work: async (db) => {
      await db.dropTable("deep", ["a", "inner"]);
      await db.dropNamespace(["a", "inner"]);
      await db.dropAllTables(["a"]);
      await db.dropNamespace(["a"]);
    },
  },
  {
    name: "everything at once",
    work: async (db) => {
      await (await db.openTable("main")).add(sampleRows(100, 5));
      await (await db.openTable("deep", ["a", "inner"])).update({ group: "'x'" });
      await db.dropTable("main", ["a"]);
      await db.createNamespace(["b"]);
      await db.createTable("main", sampleRows(0, 5), ["b"]);
      await db.dropTable("main");
    },
  },
];

describe.each(STRATEGIES)("%s", (strategy) => {
  describe.each(inTurn(KINDS, strategy))("$name", ({ work }) => {
    test("that fails", async () => {
      const place = await newDatabase();
      await arrange(place.db);
      const before = await shownBy(place.db);
      const error = new Error("on purpose");
      const outcome = place.manager.withBackup(strategy, async (db) => {
        await work(db);
        throw error;
      });
      await expect(outcome).rejects.toBe(error);
      expect(await shownBy(await connect(place.uri))).toEqual(before);
      expect(leftovers(place)).toEqual([]);
      await work(await connect(place.uri)); // LanceDB itself can still do it
    });

    test("that succeeds", async () => {
      const [place, plain] = [await newDatabase(), await newDatabase()];
      await arrange(place.db);
      await arrange(plain.db);
      await place.manager.withBackup(strategy, work);
      await work(plain.db);
      const names = async (db: Connection) => {
        const { tables, namespaces } = (await shownBy(db)) as { tables: object; namespaces: unknown };
        return {
          namespaces,
          tables: Object.keys(tables),
          rows: JSON.stringify(Object.values(tables).map((t) => t.rows)),
        };
      };
      expect(await names(place.db)).toEqual(await names(plain.db));
      expect(leftovers(place)).toEqual([]);
    });

    test("and a restore from a backup", async () => {
      const place = await newDatabase();
      await arrange(place.db);
      const before = (await shownBy(place.db)) as { tables: Record<string, unknown>; namespaces: unknown[] };
      const id = await place.manager.createBackup(strategy);
      expect((await place.manager.listBackups())[0]?.tables).toEqual([
        "__manifest",
        "a$inner$deep",
        "a$main",
        "main",
      ]);
      await work(place.db);
      await place.manager.restoreBackup(id);
      const after = (await shownBy(await connect(place.uri))) as typeof before;
      // What was made since is left alone.
      const since = ["b", "fresh"];
      const isOld = (namespace: unknown) => !since.includes((namespace as [string])[0]);
      expect(after.namespaces.filter(isOld)).toEqual(before.namespaces);
      expect(after.tables).toMatchObject(before.tables);
      await place.manager.cleanupBackup(id);
    });
  });

  test("LanceDB refuses to drop a namespace that is not empty, and so nothing happens", async () => {
    const place = await newDatabase();
    await arrange(place.db);
    const before = await shownBy(place.db);
    await place.manager.withBackup(strategy, async (db) => {
      for (const behavior of ["cascade", "restrict"] as const) {
        await expect(db.dropNamespace(["a"], { behavior })).rejects.toThrow(/not empty/);
      }
    });
    expect(await shownBy(await connect(place.uri))).toEqual(before);
    expect(leftovers(place)).toEqual([]);
  });

  test("the first namespace of a database is made inside of work that fails", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    const before = await shownBy(place.db);
    const outcome = place.manager.withBackup(strategy, async (db) => {
      await db.createNamespace(["first"]);
      await db.createTable("t", sampleRows(0, 5), ["first"]);
      await (await db.openTable("main")).delete("true");
      throw new Error("on purpose");
    });
    await expect(outcome).rejects.toThrow("on purpose");
    expect(await shownBy(await connect(place.uri))).toEqual(before);
    expect(leftovers(place)).toEqual([]);
    await place.db.createNamespace(["first"]);
  });

  test("tables that are named in the options may lie in namespaces, or be absent", async () => {
    const place = await newDatabase();
    await arrange(place.db);
    const before = await shownBy(place.db);
    const tables = ["a$inner$deep", "main", "a$later"];
    const outcome = place.manager.withBackup(
      strategy,
      async (db) => {
        await (await db.openTable("deep", ["a", "inner"])).delete("true");
        await db.createTable("later", sampleRows(0, 5), ["a"]);
        throw new Error("on purpose");
      },
      { tables },
    );
    await expect(outcome).rejects.toThrow("on purpose");
    expect(await shownBy(await connect(place.uri))).toEqual(before);
    expect(leftovers(place)).toEqual([]);
  });
});

test("the whole database comes back from a directory copy, namespaces too", async () => {
  const place = await newDatabase();
  await arrange(place.db);
  const before = await shownBy(place.db);
  const id = await place.manager.createBackup(BackupStrategy.DirectoryCopy);
  expect(await shownBy(await connect(`${place.backupDir}/${id}`))).toEqual(before);
  rmSync(place.uri, { recursive: true });
  await place.manager.restoreBackup(id);
  expect(await shownBy(await connect(place.uri))).toEqual(before);
});
