import { rmSync } from "node:fs";
import { type Connection, connect, type Table } from "@lancedb/lancedb";
import { describe, expect, onTestFinished, test } from "vitest";
import { BackupStrategy, ConflictError, insertRecordsWithBackup } from "../../src/index.ts";
import { leftovers, newDatabase, type TestDatabase } from "../support/database.ts";
import { dieInside } from "../support/die-inside.ts";
import {
  HANDLE_OPERATION_NAMES,
  HANDLE_OPERATIONS,
  type HandleOperation,
  textsOf,
} from "../support/handle-operations.ts";
import { makeSampleTable, sampleRows, sampleSchema } from "../support/sample.ts";

// A table is dropped and made again, with another width of vectors, while somebody holds a handle on the old one. By
// LanceDB alone that handle's next `add` "succeeds", and nobody can read the new table any more.

const vectors = (width: number, count: number) =>
  Array.from({ length: count }, (_, id) => ({ id, vector: new Array<number>(width).fill(id) }));
const oldRows = vectors(4, 3);
const newRows = vectors(8, 5);

async function withReaders(versions: number): Promise<{ place: TestDatabase; handles: Table[] }> {
  const place = await newDatabase();
  const table = await place.db.createTable("docs", oldRows);
  const handles = [await place.db.openTable("docs")];
  for (let n = 1; n < versions; n++) await table.add(oldRows);
  handles.push(await place.db.openTable("docs"), await (await connect(place.uri)).openTable("docs"));
  return { place, handles };
}

/** The new table opens and reads in full, whatever old handles did. */
async function expectWhole(db: Connection, rows = 5): Promise<void> {
  const table = await db.openTable("docs");
  expect((await table.query().toArray()).length).toBe(rows);
  expect((await table.schema()).fields[1]?.type.toString()).toContain("[8]");
  table.close();
}

async function expectRefused(handles: readonly Table[]): Promise<void> {
  for (const handle of handles) await expect(handle.add(oldRows)).rejects.toThrow();
}

const dropDocs = (db: Connection) => db.dropTable("docs");
const makeDocs = (db: Connection) => db.createTable("docs", newRows);

describe.each(Object.values(BackupStrategy))("%s", (strategy) => {
  test("dropped and made again in one guarded work", async () => {
    for (const versions of [1, 2, 6]) {
      const { place, handles } = await withReaders(versions);
      const version = await place.manager.withBackup(strategy, async (db) => {
        await dropDocs(db);
        const table = await makeDocs(db);
        await table.add(vectors(8, 1));
        return await table.version();
      });
      expect(await (await place.db.openTable("docs")).version()).toBe(version);
      await expectRefused(handles);
      await expectWhole(place.db, 6);
      expect(leftovers(place)).toEqual([]);
    }
  });

  test("dropped in one guarded work, made in another, by the helper", async () => {
    const { place, handles } = await withReaders(4);
    const { manager } = place;
    await manager.withBackup(strategy, dropDocs);
    const { version } = await insertRecordsWithBackup(newRows, { table: "docs", strategy, manager });
    expect(version).toBe(await (await place.db.openTable("docs")).version());
    await expectRefused(handles);
    await expectWhole(place.db);
    await insertRecordsWithBackup(vectors(8, 2), { table: "docs", strategy, manager });
    await expectWhole(place.db, 7);
  });

  test("written over: createTable and the helper keep the numbers going", async () => {
    const { place, handles } = await withReaders(3);
    const { manager } = place;
    await manager.withBackup(strategy, (db) => db.createTable("docs", newRows, { mode: "overwrite" }));
    await expectRefused(handles);
    await expectWhole(place.db);
    const options = { table: "docs", mode: "overwrite", strategy, manager } as const;
    const done = await insertRecordsWithBackup(vectors(8, 2), options);
    expect(done.version).toBe(await (await place.db.openTable("docs")).version());
    await expectRefused(handles);
    await expectWhole(place.db, 2);
  });

  test("what fails afterwards goes back, and the old handle writes on or is refused", async () => {
    const { place, handles } = await withReaders(4);
    const failing = place.manager.withBackup(strategy, async (db) => {
      await dropDocs(db);
      await (await makeDocs(db)).add(newRows);
      throw new Error("on purpose");
    });
    await expect(failing).rejects.toThrow("on purpose");
    let rows = 12;
    for (const handle of handles) {
      await handle.add(oldRows).then(
        () => {
          rows += 3;
        },
        () => undefined,
      );
      const table = await place.db.openTable("docs");
      expect((await table.query().toArray()).length).toBe(rows);
    }
    // And a later drop and creation is above all of that.
    await place.manager.withBackup(strategy, async (db) => {
      await dropDocs(db);
      await makeDocs(db);
    });
    await expectRefused(handles);
    await expectWhole(place.db);
  });

  test("a table whose creation was rolled back is above it when it is made again", async () => {
    const place = await newDatabase();
    let seen: Table | undefined;
    const failing = place.manager.withBackup(strategy, async (db) => {
      await db.createTable("docs", oldRows);
      seen = await place.db.openTable("docs");
      throw new Error("on purpose");
    });
    await expect(failing).rejects.toThrow("on purpose");
    await place.manager.withBackup(strategy, makeDocs);
    await expectRefused([seen as Table]);
    await expectWhole(place.db);
  });

  test("others' commit to the new table is seen when the work fails", async () => {
    const { place } = await withReaders(3);
    const error = await place.manager
      .withBackup(strategy, async (db) => {
        await dropDocs(db);
        await makeDocs(db);
        await (await place.db.openTable("docs")).add(vectors(8, 1));
        throw new Error("on purpose");
      })
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ConflictError);
    expect(error).toMatchObject({ conflicts: [{ table: "docs", versions: [5] }] });
    await expectWhole(place.db, 6);
  });
});

test("no kind of write by a handle from before breaks the new table, and none that succeeds is lost", async () => {
  const place = await newDatabase();
  await makeSampleTable(place.db, "main", { rows: 100 });
  const handles = new Map<string, Table>();
  for (const name of HANDLE_OPERATION_NAMES) handles.set(name, await place.db.openTable("main"));
  await (await place.db.openTable("main")).add(sampleRows(500, 1));
  for (const name of HANDLE_OPERATION_NAMES) handles.set(`${name} ahead`, await place.db.openTable("main"));
  await place.manager.withBackup("lance-version", async (db) => {
    await db.dropTable("main");
    await db.createTable("main", sampleRows(0, 50, 3), { schema: sampleSchema });
  });
  const now = async () => textsOf(await place.db.openTable("main"));
  let n = 0;
  for (const [kind, handle] of handles) {
    const operation: HandleOperation =
      HANDLE_OPERATIONS[kind.split(" ")[0] as (typeof HANDLE_OPERATION_NAMES)[number]];
    const expected = await now();
    const worked = await operation.run(handle, ++n).then(
      () => true,
      () => false,
    );
    if (worked) operation.effect?.(expected, n);
    expect(await now(), kind).toEqual(expected);
  }
});

test("a handle from before that commits just after the creation breaks nothing", async () => {
  const { place, handles } = await withReaders(4);
  const [first, last] = [handles[0] as Table, handles[1] as Table];
  const connection = Object.getPrototypeOf(place.db) as { createTable: Connection["createTable"] };
  const { createTable } = connection;
  onTestFinished(() => {
    connection.createTable = createTable;
  });
  for (const stale of [last, first]) {
    connection.createTable = async function (this: Connection, ...args: unknown[]) {
      const table = await (Reflect.apply(createTable, this, args) as Promise<Table>);
      await stale.add(oldRows); // "succeeds"
      return table;
    } as typeof createTable;
    await place.manager.withBackup("lance-version", async (db) => {
      await dropDocs(db);
      await (await makeDocs(db)).add(vectors(8, 1));
    });
    connection.createTable = createTable;
    await expectWhole(place.db, 6);
    await expectRefused([stale]);
    await expectWhole(place.db, 6);
  }
});

test("a table of a namespace", async () => {
  const place = await newDatabase();
  await place.db.createNamespace(["ns"]);
  await (await place.db.createTable("docs", oldRows, ["ns"])).add(oldRows);
  const handle = await place.db.openTable("docs", ["ns"]);
  await place.manager.withBackup("lance-version", async (db) => {
    await db.dropTable("docs", ["ns"]);
    await db.createTable("docs", newRows, ["ns"]);
  });
  await handle.add(oldRows).catch(() => undefined); // its directory is gone: what it makes is another
  const table = await place.db.openTable("docs", ["ns"]);
  expect((await table.query().toArray()).length).toBe(5);
});

test("killed before the new table is above the old one: all of it goes back", async () => {
  const { place, handles } = await withReaders(4);
  dieInside(
    place,
    `await db.dropTable("docs"); await db.createTable("docs", [{ id: 1 }]); await (await db.openTable("docs")).add([{ id: 2 }])`,
  );
  const report = await place.manager.recover();
  expect(report.entries).toEqual([expect.objectContaining({ action: "rolled-back", conflicts: [] })]);
  const table = await place.db.openTable("docs");
  expect((await table.query().toArray()).length).toBe(12);
  for (const handle of handles) await handle.add(oldRows).catch(() => undefined);
  await (await place.db.openTable("docs")).query().toArray();
});

test("a handle that guarded work opened before another dropped the table says so", async () => {
  const { place } = await withReaders(4);
  const other = place.newManager();
  await place.manager.withBackup("lance-version", async (db) => {
    const table = await db.openTable("docs");
    await other.withBackup("lance-version", async (inner) => {
      await dropDocs(inner);
      await makeDocs(inner);
    });
    await expect(table.add(oldRows)).rejects.toThrow(/dropped and made again/);
  });
  await expectWhole(place.db);
});

test("where no table of that name was dropped, nothing is lifted", async () => {
  const place = await newDatabase();
  rmSync(place.uri, { recursive: true, force: true });
  await place.manager.withBackup("lance-version", makeDocs);
  expect(await (await place.db.openTable("docs")).version()).toBe(1);
});
