import { execFile } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { type Connection, Index, type Table } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { BackupStrategy } from "../../src/index.ts";
import { newDatabase, type TestDatabase } from "../support/database.ts";

// Guarded works open the same table before any of them has its lock; the handles of those that wait for it are
// behind when they get it.

const WORKS = 8;
const run = promisify(execFile);

interface Row {
  readonly id: string;
  readonly n: number;
}

async function newShared(): Promise<TestDatabase> {
  const place = await newDatabase();
  await place.db.createTable("shared", [
    { id: "first", n: 0 },
    { id: "second", n: 0 },
  ]);
  return place;
}

/** Runs eight works at once; each has its handle before the first of them writes. */
async function together(
  place: TestDatabase,
  work: (table: Table, n: number, db: Connection) => Promise<unknown>,
): Promise<PromiseSettledResult<void>[]> {
  let open = 0;
  const all = Promise.withResolvers<void>();
  return Promise.allSettled(
    Array.from({ length: WORKS }, (_, n) =>
      place.manager.withBackup(BackupStrategy.LanceVersion, async (db) => {
        const table = await db.openTable("shared");
        if (++open === WORKS) all.resolve();
        await all.promise;
        await work(table, n, db);
      }),
    ),
  );
}

const failures = (ends: PromiseSettledResult<unknown>[]) =>
  ends.flatMap((end) => (end.status === "rejected" ? [String(end.reason)] : []));

const rowsOf = async ({ db }: TestDatabase) =>
  (await (await db.openTable("shared")).query().toArray()) as Row[];

const KINDS: readonly { name: string; write: (table: Table, n: number) => Promise<unknown> }[] = [
  { name: "add", write: (table, n) => table.add([{ id: `row-${n}`, n }]) },
  { name: "update", write: (table) => table.update({ where: "true", valuesSql: { n: "n + 1" } }) },
  { name: "delete", write: (table, n) => table.delete(`n = ${n}`) },
  {
    name: "mergeInsert",
    write: (table, n) =>
      table
        .mergeInsert("id")
        .whenMatchedUpdateAll()
        .whenNotMatchedInsertAll()
        .execute([{ id: "first", n }]),
  },
  { name: "addColumns", write: (table, n) => table.addColumns([{ name: `c${n}`, valueSql: "1" }]) },
  { name: "createIndex", write: (table) => table.createIndex("id", { config: Index.btree() }) },
  { name: "optimize", write: (table) => table.optimize() },
  { name: "overwrite", write: (table, n) => table.add([{ id: "only", n }], { mode: "overwrite" }) },
];

test.each(KINDS)("$name by eight works at once: none finds its handle stale", async ({ name, write }) => {
  const place = await newShared();
  expect(failures(await together(place, write))).toEqual([]);
  const rows = await rowsOf(place);
  if (name === "add") expect(rows).toHaveLength(2 + WORKS);
  if (name === "update") expect(rows.map(({ n }) => n)).toEqual([WORKS, WORKS]);
});

test.each(KINDS)("$name, where every other work is rolled back meanwhile", async ({ name, write }) => {
  const place = await newShared();
  const ends = await together(place, async (table, n) => {
    await write(table, n);
    if (n % 2 === 1) throw new Error("on purpose");
  });
  expect(failures(ends)).toEqual(Array.from({ length: WORKS / 2 }, () => "Error: on purpose"));
  const rows = await rowsOf(place);
  if (name === "add") expect(rows).toHaveLength(2 + WORKS / 2);
  if (name === "update") expect(rows.map(({ n }) => n)).toEqual([WORKS / 2, WORKS / 2]);
});

test("two processes, several works in each", async () => {
  const place = await newShared();
  const program = join(import.meta.dirname, "guarded-writer.ts");
  const env = { ...process.env, LANCEDB_LOG: "off" };
  const ends = await Promise.all(
    ["a", "b"].map((name) =>
      run(process.execPath, [program, place.uri, place.backupDir, name, "4"], { env }),
    ),
  );
  expect(ends.map(({ stdout }) => JSON.parse(stdout))).toEqual([[], []]);
  const rows = await rowsOf(place);
  expect(rows).toHaveLength(2 + 4);
  expect(rows.find(({ id }) => id === "first")?.n).toBe(8);
});

test("the other handles of the work, and one that was checked out, keep what they show until they write", async () => {
  const place = await newShared();
  const others = await place.db.openTable("shared");
  await place.manager.withBackup(BackupStrategy.LanceVersion, async (db) => {
    const [writes, reads, old] = await Promise.all([1, 2, 3].map(() => db.openTable("shared")));
    await old!.checkout(1);
    await others.addColumns([{ name: "theirs", valueSql: "1" }]);
    await writes!.addColumns([{ name: "own", valueSql: "2" }]);
    expect(await writes!.version()).toBe(3);
    // As with any connection of default consistency.
    expect(await reads!.version()).toBe(1);
    await reads!.addColumns([{ name: "more", valueSql: "3" }]);
    expect(await reads!.version()).toBe(4);
    // Checked out: it stays there, LanceDB refuses writes, and restore() restores just that version.
    await expect(old!.addColumns([{ name: "no", valueSql: "1" }])).rejects.toThrow();
    expect(await old!.version()).toBe(1);
    await old!.restore();
    expect(await old!.version()).toBe(5);
    expect((await old!.schema()).fields.map(({ name }) => name)).toEqual(["id", "n"]);
    await old!.checkout(4);
    await old!.checkoutLatest();
    await old!.addColumns([{ name: "last", valueSql: "1" }]);
  });
  await others.checkoutLatest();
  expect((await others.schema()).fields.map(({ name }) => name)).toEqual(["id", "n", "last"]);
});

test("a checkout that fails leaves the handle as it was", async () => {
  const place = await newShared();
  const others = await place.db.openTable("shared");
  await place.manager.withBackup(BackupStrategy.LanceVersion, async (db) => {
    const table = await db.openTable("shared");
    await expect(table.checkout(99)).rejects.toThrow();
    await others.addColumns([{ name: "theirs", valueSql: "1" }]);
    await table.addColumns([{ name: "own", valueSql: "2" }]);
  });
});

test.each([
  { name: "dropped", again: 0 },
  { name: "dropped and made again, to the same number", again: 1 },
  { name: "dropped and made again, to a lower number", again: 1, versions: 3 },
])("a table that was $name while the work waited: an error, and the table is whole", async (kind) => {
  const place = await newShared();
  for (let n = 1; n < (kind.versions ?? 1); n++)
    await (await place.db.openTable("shared")).add([{ id: "x", n }]);
  const opened = Promise.withResolvers<void>();
  const holds = Promise.withResolvers<void>();
  const first = place.manager.withBackup(BackupStrategy.LanceVersion, async (db) => {
    await opened.promise;
    await db.dropTable("shared");
    holds.resolve();
    await sleep(100);
    if (kind.again > 0) await db.createTable("shared", [{ id: "new", n: 7 }]);
  });
  const second = place.manager.withBackup(BackupStrategy.LanceVersion, async (db) => {
    const table = await db.openTable("shared");
    opened.resolve();
    await holds.promise;
    await table.add([{ id: "late", n: 0 }]);
  });
  await first;
  await expect(second).rejects.toMatchObject({
    code: "VALIDATION",
    message: expect.stringContaining("open the"),
  });
  if (kind.again > 0) expect((await rowsOf(place)).map(({ id }) => id)).toEqual(["new"]);
  else expect(await place.db.tableNames()).toEqual([]);
});

test("a handle from before the work itself dropped the table and made it again is told so", async () => {
  const place = await newShared();
  await place.manager.withBackup(BackupStrategy.LanceVersion, async (db) => {
    const table = await db.openTable("shared");
    await db.dropTable("shared");
    await db.createTable("shared", [{ id: "new", n: 7 }]);
    await expect(table.add([{ id: "late", n: 0 }])).rejects.toMatchObject({ code: "VALIDATION" });
  });
  expect((await rowsOf(place)).map(({ id }) => id)).toEqual(["new"]);
});
