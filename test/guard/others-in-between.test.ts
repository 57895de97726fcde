import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type Connection, connect, embedding, type Table } from "@lancedb/lancedb";
import { Float32 } from "apache-arrow";
import { describe, expect, test } from "vitest";
import type { GuardedWorkOptions } from "../../src/guard/manager-options.ts";
import { type BackupManager, ConflictError } from "../../src/index.ts";
import { newDatabase } from "../support/database.ts";
import { dieInside } from "../support/die-inside.ts";

// Others commit in the middle of one call of the guarded work, or just before or after it.

const failure = new Error("on purpose");

/** What the caller of guarded work gets that fails at its end. */
const failingWith = (
  manager: BackupManager,
  work: (db: Connection) => Promise<unknown>,
  options: GuardedWorkOptions = {},
): Promise<unknown> => {
  const failing = async (db: Connection) => {
    await work(db);
    throw failure;
  };
  return manager.withBackup("lance-version", failing, options).then(
    () => undefined,
    (error: unknown) => error,
  );
};

const idsIn = async (table: Table) =>
  (await table.query().toArray()).map(({ id }: { id: number }) => Number(id)).sort((a, b) => a - b);
const idsOf = async (db: Connection, name = "t") => idsIn(await db.openTable(name));

describe("a table that is absent when the work comes to it", () => {
  test("is made by others, and written to by the work: a conflict, and nothing of theirs is lost", async () => {
    const { db, manager } = await newDatabase();
    await db.createTable("u", [{ id: 1 }]);
    const error = await failingWith(
      manager,
      async (guarded) => {
        await db.createTable("t", [{ id: 1 }]);
        await (await guarded.openTable("t")).add([{ id: 2 }]);
      },
      { tables: ["t"] },
    );
    expect(error).toBeInstanceOf(ConflictError);
    expect(error).toMatchObject({ conflicts: [{ table: "t", versions: [1] }] });
    expect(await idsOf(db)).toEqual([1, 2]);
    expect(await manager.listBackups()).toHaveLength(1);
  });

  test("is made by others, and only read: it stays, and the work goes back", async () => {
    const { db, manager } = await newDatabase();
    await db.createTable("u", [{ id: 1 }]);
    const error = await failingWith(
      manager,
      async (guarded) => {
        await db.createTable("t", [{ id: 1 }]);
        await (await guarded.openTable("u")).add([{ id: 2 }]);
        expect(await idsOf(guarded)).toEqual([1]);
      },
      { tables: ["t"] },
    );
    expect(error).toBe(failure);
    expect([await idsOf(db), await idsOf(db, "u")]).toEqual([[1], [1]]);
  });

  test("is made by others, and the process dies after its write: a conflict of the recovery", async () => {
    const place = await newDatabase();
    dieInside(
      place,
      `await (await (await import("@lancedb/lancedb")).connect(${JSON.stringify(place.uri)})).createTable("t", [{ id: 1 }]);
       await (await db.openTable("t")).add([{ id: 2 }])`,
      { tables: ["t"] },
    );
    const { entries } = await place.manager.recover();
    expect(entries).toMatchObject([{ action: "conflict", conflicts: [{ table: "t", versions: [1] }] }]);
    expect(await idsOf(place.db)).toEqual([1, 2]);
  });
});

/** Called in the middle of a `createTable`: LanceDB has the rows' vectors computed then. */
let during: (() => Promise<unknown>) | undefined;

class Slow extends embedding.EmbeddingFunction<string> {
  override ndims(): number {
    return 2;
  }

  override embeddingDataType(): Float32 {
    return new Float32();
  }

  override async computeSourceEmbeddings(texts: string[]): Promise<number[][]> {
    const call = during;
    during = undefined;
    await call?.();
    return texts.map(() => [1, 2]);
  }
}

embedding.register("slow in this test")(Slow as never);
const slowly = { embeddingFunction: { function: new Slow(), sourceColumn: "text" } as never };
const row = (id: number) => ({ id, text: `${id}` });
const whole = (id: number) => ({ ...row(id), vector: [1, 2] });

describe("createTable while others make the table, or write to it", () => {
  test("existOk opens theirs, and leaves it alone", async () => {
    const { db, manager } = await newDatabase();
    await db.createTable("u", [{ id: 1 }]);
    during = async () => (await db.createTable("t", [whole(1)])).add([whole(2)]);
    const error = await failingWith(manager, async (guarded) => {
      expect(await idsIn(await guarded.createTable("t", [row(9)], { existOk: true, ...slowly }))).toEqual([
        1, 2,
      ]);
    });
    expect(error).toBe(failure);
    expect(await idsOf(db)).toEqual([1, 2]);
  });

  test("overwrite of theirs is a conflict, and their versions stay", async () => {
    const { db, manager } = await newDatabase();
    await db.createTable("u", [{ id: 1 }]);
    during = async () => (await db.createTable("t", [whole(1)])).add([whole(2)]);
    const error = await failingWith(manager, async (guarded) => {
      const made = await guarded.createTable("t", [row(9)], { mode: "overwrite", ...slowly });
      expect(await idsIn(made)).toEqual([9]);
    });
    expect(error).toBeInstanceOf(ConflictError);
    expect(error).toMatchObject({ conflicts: [{ table: "t", versions: [1, 2] }] });
    expect(await idsIn(await db.openTable("t", [], { version: 2 }))).toEqual([1, 2]);
  });

  test("existOk on a table that is there opens it, and hides nothing that others add meanwhile", async () => {
    const { db, manager } = await newDatabase();
    const theirs = await db.createTable("t", [whole(1)]);
    during = () => theirs.add([whole(2)]);
    const error = await failingWith(manager, async (guarded) => {
      expect(await idsIn(await guarded.createTable("t", [row(9)], { existOk: true, ...slowly }))).toEqual([
        1, 2,
      ]);
    });
    expect(error).toBe(failure);
    expect(await idsOf(db)).toEqual([1, 2]);
  });

  test.for([
    ["name, rows, options", (db: Connection) => db.createTable("t", [{ id: 9 }], { existOk: true })],
    [
      "name, rows, path, options",
      (db: Connection) => db.createTable("t", [{ id: 9 }], [], { existOk: true }),
    ],
    ["options", (db: Connection) => db.createTable({ name: "t", data: [{ id: 9 }], existOk: true })],
    [
      "an empty table",
      async (db: Connection) =>
        db.createEmptyTable("t", await (await db.openTable("u")).schema(), { existOk: true }),
    ],
  ] as const)("existOk makes what is not there, and opens what is: %s", async ([, create]) => {
    const { db, manager } = await newDatabase();
    await db.createTable("u", [{ id: 1 }]);
    const [made, opened] = await manager.withBackup("lance-version", async (guarded) => {
      const first = await (await create(guarded)).countRows();
      await (await guarded.openTable("t")).add([{ id: 10 }]);
      return [first, await (await create(guarded)).countRows()] as const;
    });
    expect(opened).toBe(made + 1);
    expect(await idsOf(db)).toHaveLength(opened);
  });

  test("other errors of it are LanceDB's own", async () => {
    const { db, manager } = await newDatabase();
    await db.createTable("t", [{ id: 1 }]);
    const bad = (connection: Connection) =>
      connection
        .createTable("t", "no rows" as never, { existOk: true })
        .catch((error: Error) => error.message);
    expect(await manager.withBackup("lance-version", bad)).toBe(await bad(db));
  });
});

describe("a call that may commit several times fails, and others commit after it", () => {
  const calls: [string, (table: Table) => Promise<unknown>][] = [
    ["refreshColumn", (table) => table.refreshColumn("nope")],
    ["refreshColumnAsync", async (table) => (await table.refreshColumnAsync("nope")).wait()],
    ["refreshMaterializedView", (table) => table.refreshMaterializedView()],
    ["createIndexAsync", async (table) => (await table.createIndexAsync("nope")).wait()],
    ["optimize", (table) => table.optimize({ cleanupOlderThan: new Date(Date.now() + 1000) })],
  ];
  const theirs: [string, (table: Table) => Promise<unknown>][] = [
    ["a row", (table) => table.add([{ id: 7 }])],
    ["an index", (table) => table.createIndex("id")],
  ];
  const cases = calls.flatMap(([call, run]) => theirs.map(([what, commit]) => ({ call, run, what, commit })));

  test.for(cases)("$call, $what", async ({ run, commit }) => {
    const { db, uri, manager } = await newDatabase();
    const table = await db.createTable("t", [{ id: 1 }]);
    await table.add([{ id: 2 }]);
    await (await table.tags()).create("old", 1); // optimize refuses to clean it up
    const other = await (await connect(uri)).openTable("t");
    const error = await failingWith(manager, async (guarded) => {
      await expect(run(await guarded.openTable("t"))).rejects.toThrow();
      await other.checkoutLatest();
      await commit(other);
    });
    if (error !== failure) expect(error).toBeInstanceOf(ConflictError);
    const now = await (await connect(uri)).openTable("t");
    const [rows, indices] = [await idsIn(now), await now.listIndices()];
    expect(rows.includes(7) || indices.length === 1).toBe(true);
    expect(rows.slice(0, 2)).toEqual([1, 2]);
  });
});

test("a table that others drop beside the work comes back when that fails, and that is told", async () => {
  const { db, manager, logged } = await newDatabase();
  await db.createTable("t", [{ id: 1 }]);
  await db.createTable("u", [{ id: 1 }]);
  const error = await failingWith(
    manager,
    async (guarded) => {
      await guarded.dropTable("u");
      await db.dropTable("t");
    },
    { tables: ["t", "u"] },
  );
  expect(error).toBe(failure);
  expect([await idsOf(db), await idsOf(db, "u")]).toEqual([[1], [1]]);
  const told = logged.filter(
    ({ level, message }) => level === "warn" && message.includes("brought tables back"),
  );
  expect(told.map(({ meta }) => meta)).toEqual([{ tables: ["t"] }]);
});

test("overwrite takes a table away that the work made, and keeps it with what others wrote to it", async () => {
  const { db, uri, manager, logged } = await newDatabase();
  await db.createTable("u", [{ id: 1 }]);
  const error = await failingWith(
    manager,
    async (guarded) => {
      await guarded.createTable("t", [{ id: 1 }]);
      await (await db.openTable("t")).add([{ id: 2 }]);
    },
    { onConflict: "overwrite" },
  );
  expect(error).toBe(failure);
  expect(await db.tableNames()).toEqual(["u"]);
  const told = logged.find(({ meta }) => meta?.["path"] !== undefined)?.meta;
  expect(told).toMatchObject({ table: "t", versions: [2] });
  const kept = String(told?.["path"]);
  expect(kept.startsWith(join(uri, ".lancedb-backup", "aside", "others"))).toBe(true);
  expect(existsSync(join(kept, "_versions"))).toBe(true);
  const directory = join(kept, "..");
  expect(readdirSync(directory)).toEqual(["t.lance"]);
  expect(await idsOf(await connect(directory))).toEqual([1, 2]);
});
