import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, truncate } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createIndexesWithBackup } from "../../../src/guard/write/create-indexes.ts";
import { deleteRowsWithBackup } from "../../../src/guard/write/delete-rows.ts";
import { insertRecordsWithBackup } from "../../../src/guard/write/insert-records.ts";
import { leftovers, newPlace, type Place, print, rowsOf, stateOf } from "./harness.ts";

const insert = (at: Place, data: unknown, given = {}) =>
  insertRecordsWithBackup(data as Iterable<object>, {
    table: "t",
    strategy: "lance-version",
    manager: at.manager,
    ...given,
  });
const rows = async (at: Place) => (await rowsOf(await at.db.openTable("t"))).map(print).sort();

describe("calls at the same time wait for each other", () => {
  test("upserts of one new key insert it once", async () => {
    const at = await newPlace();
    await insert(at, [{ id: 0n, by: -1 }]);
    const calls = Array.from({ length: 12 }, (_, by) =>
      insert(at, [{ id: 7n, by }], { mergeOn: "id", manager: by % 2 ? at.newManager() : at.manager }),
    );
    const results = await Promise.all(calls);
    expect(results.map(({ insertedRows }) => insertedRows).sort()).toEqual([...new Array(11).fill(0), 1]);
    expect((await rows(at)).length).toBe(2);
  });

  test("the first makes the table, the others add to it", async () => {
    const at = await newPlace();
    const results = await Promise.all(
      [0, 1, 2, 3].map((id) => insert(at, [{ id }], { manager: at.newManager() })),
    );
    expect(results.map(({ version }) => version).sort()).toEqual([1, 2, 3, 4]);
    expect(await rows(at)).toEqual([0, 1, 2, 3].map((id) => print({ id })));
  });

  test("rows are checked again where the table changed while the call waited", async () => {
    const at = await newPlace();
    await insert(at, [{ id: 1n, vector: [1, 2] }]);
    const { promise: changing, resolve: changed } = Promise.withResolvers<void>();
    const { promise: started, resolve: start } = Promise.withResolvers<void>();
    const change = at.manager.withBackup("lance-version", async (db) => {
      await (await db.openTable("t")).add([{ id: 2n, vector: [1, 2] }]);
      start();
      await changing;
      await db.createTable("t", [{ id: "a", vector: [1, 2, 3] }], { mode: "overwrite" });
    });
    await started;
    const late = Promise.allSettled([
      insert(at, [{ id: "b", vector: [1, 2] }], { manager: at.newManager() }),
      insert(at, [{ id: 3n, vector: [1, 2] }], { manager: at.newManager() }),
      insert(at, [{ id: 3n }].values(), { manager: at.newManager() }),
      deleteRowsWithBackup([1n], {
        table: "t",
        key: "id",
        strategy: "lance-version",
        manager: at.newManager(),
      }),
    ]);
    await new Promise((wake) => setTimeout(wake, 100));
    changed();
    await change;
    const reasons = (await late).map((result) =>
      result.status === "rejected" ? result.reason.message : "written",
    );
    expect(reasons[0]).toMatch(/"b" is not a whole number/); // found in the first look
    expect(reasons[1]).toMatch(/Row 0, column "id": 3n is not a string/);
    expect(reasons[2]).toMatch(/Row 0, column "id": 3n is not a string/);
    expect(reasons[3]).toMatch(/changed its type meanwhile/);
    expect(await rows(at)).toEqual([print({ id: "a", vector: [1, 2, 3] })]);
    expect(leftovers(at)).toEqual([]);
  });
});

describe("what a dead process left is undone before the table is looked at", () => {
  /** Runs guarded work in a process of its own, which is killed in the middle of it. */
  async function dieIn(at: Place, work: string): Promise<void> {
    const index = new URL("../../../dist/index.js", import.meta.url).href;
    const code = `
      import { BackupManager } from ${JSON.stringify(index)};
      const manager = new BackupManager(${JSON.stringify({ uri: at.uri, backupDir: at.backupDir })});
      await manager.withBackup("directory-copy", async (db) => { ${work}; process.kill(process.pid, "SIGKILL"); });`;
    const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", code], {
      stdio: "inherit",
    });
    const [, signal] = await once(child, "exit");
    expect(signal).toBe("SIGKILL");
  }

  async function place() {
    const at = await newPlace();
    await insert(at, [
      { id: 1n, name: "a" },
      { id: 2n, name: "b" },
    ]);
    return { at, fresh: { table: "t", strategy: "lance-version", manager: at.newManager() } as const };
  }

  test("a table that it dropped", async () => {
    const { at, fresh } = await place();
    await dieIn(at, `await db.dropTable("t")`);
    expect(await deleteRowsWithBackup([2n], { ...fresh, key: "id" })).toMatchObject({ deletedRows: 1 });
    expect(await rows(at)).toEqual([print({ id: 1n, name: "a" })]);
  });

  test("columns that it changed", async () => {
    const { at, fresh } = await place();
    await dieIn(at, `await db.createTable("t", [{ other: 1 }], { mode: "overwrite" })`);
    expect(await insertRecordsWithBackup([{ id: 3n, name: "c" }], fresh)).toMatchObject({ insertedRows: 1 });
    expect((await rows(at)).length).toBe(3);
  });

  test("a table that it had begun to make", async () => {
    const { at, fresh } = await place();
    await dieIn(at, `await db.createTable("new", [{ wrong: "x" }])`);
    await insertRecordsWithBackup([{ id: 3n }], { ...fresh, table: "new" });
    expect((await rowsOf(await at.db.openTable("new"))).map(print)).toEqual([print({ id: 3n })]);
  });
});

test("a table whose newest manifest a power cut emptied is written to as it was before", async () => {
  const at = await newPlace();
  await insert(at, [{ id: 1n }]);
  const before = await stateOf(at.db, "t");
  await insert(at, [{ id: 2n }]);
  const versions = join(at.uri, "t.lance", "_versions");
  const [newest] = (await readdir(versions)).filter((name) => name.endsWith(".manifest")).sort();
  await truncate(join(versions, newest as string), 0);
  const manager = at.newManager();
  const options = { table: "t", strategy: "lance-version", manager } as const;
  expect(await deleteRowsWithBackup([9n], { ...options, key: "id" })).toMatchObject({ deletedRows: 0 });
  expect(await stateOf(at.db, "t")).toMatchObject({ rows: before.rows, schema: before.schema });
  expect(await insertRecordsWithBackup([{ id: 3n }], options)).toMatchObject({ insertedRows: 1 });
  expect(await createIndexesWithBackup("t", [{ column: "id" }], options)).toMatchObject({
    indexes: ["id_idx"],
  });
});
