import { rmSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { type Connection, connect } from "@lancedb/lancedb";
import { expect } from "vitest";
import {
  applyDelta,
  type BackupStrategy,
  deleteRowsWithBackup,
  diagnose,
  insertRecordsWithBackup,
  loadBackup,
  PeriodicBackupManager,
  Repository,
  restoreLatest,
} from "../../src/index.ts";
import { leftovers } from "../support/database.ts";
import { dieInside } from "../support/die-inside.ts";
import { filesBelow, newestManifest } from "../support/files.ts";
import { type OldDatabase, shownBy } from "./fixture.ts";

/** Something that must work on tables of any age. All of it is done to every table of the database. */
export interface Check {
  readonly name: string;
  readonly run: (place: OldDatabase) => Promise<void>;
}

type Shown = Record<string, unknown>;

async function shown(place: OldDatabase, uri = place.uri): Promise<Shown> {
  const db = await connect(uri);
  const all: Shown = {};
  for (const name of place.tables) {
    const table = await db.openTable(name);
    all[name] = await shownBy(table, place);
    table.close();
  }
  db.close();
  return all;
}

/** The rows alone, sorted: what periodic files promise. */
async function rowsShown(place: OldDatabase, uri = place.uri): Promise<Shown> {
  const all = await shown(place, uri);
  const withoutId = (row: Record<string, unknown>) => JSON.stringify({ ...row, _rowid: undefined });
  return Object.fromEntries(
    Object.entries(all).map(([name, one]) => {
      const { columns, rows } = one as { columns: unknown; rows: Record<string, unknown>[] };
      return [name, { columns, rows: rows.map(withoutId).sort() }];
    }),
  );
}

/** Rows by their first id. By a column with a scalar index, LanceDB cannot change rows of a legacy table at times. */
const where = (table: string, id: number) => (table === "indexed" ? `name = 'row ${id}'` : `id = ${id}`);

/** Adds, deletes and updates, in every table. */
async function work(db: Connection, tables: readonly string[]): Promise<void> {
  for (const name of tables) {
    const table = await db.openTable(name);
    const some = await table.query().limit(2).toArrow();
    if (some.numRows > 0) {
      await table.add(some);
      await table.update({ where: where(name, 0), valuesSql: { id: "id + 1000" } });
    }
    await table.delete(where(name, 8));
    table.close();
  }
}

const WORK_TEXT = `const where = ${where};
for (const name of TABLES) {
  const table = await db.openTable(name);
  const some = await table.query().limit(2).toArrow();
  if (some.numRows > 0) {
    await table.add(some);
    await table.update({ where: where(name, 0), valuesSql: { id: "id + 1000" } });
  }
  await table.delete(where(name, 8));
}`;

const cleanup = { cleanupOlderThan: new Date(Date.now() + 60_000), deleteUnverified: true };

class Wanted extends Error {}

/** Guarded work that fails leaves nothing of it. */
async function fails(
  place: OldDatabase,
  strategy: BackupStrategy,
  doIt: (db: Connection) => Promise<unknown>,
): Promise<void> {
  const before = await shown(place);
  const failed = place.manager.withBackup(strategy, async (db) => {
    await doIt(db);
    throw new Wanted();
  });
  await expect(failed).rejects.toThrow(Wanted);
  expect(await shown(place)).toEqual(before);
  expect(leftovers(place)).toEqual([]);
  await place.manager.withBackup(strategy, (db) => work(db, place.tables)); // and they are not closed
}

async function restores(place: OldDatabase, strategy: BackupStrategy): Promise<void> {
  const before = await shown(place);
  const id = await place.manager.createBackup(strategy);
  await work(place.db, place.tables);
  await place.manager.restoreBackup(id);
  expect(await shown(place)).toEqual(before);
  await place.manager.cleanupBackup(id);
}

async function inRepository<T>(place: OldDatabase, use: (repository: Repository) => Promise<T>): Promise<T> {
  await using repository = await Repository.init(join(place.directory, "repository"), {
    logger: place.logger,
  });
  return await use(repository);
}

function periodic(place: OldDatabase, fileFormat: "json" | "arrow", incremental: boolean) {
  const { uri, logger } = place;
  const backupDir = join(place.directory, "periodic");
  return new PeriodicBackupManager({ uri, backupDir, fileFormat, incremental, logger });
}

/** LanceDB does not say which indices the oldest tables have: told once of each. */
function expectIndicesTold({ logged, listsIndices, tables }: OldDatabase): void {
  const indexed = ["indexed", "legacy", "vectors"].filter((name) => tables.includes(name));
  const told = logged.filter(({ message }) => message.includes("without its indices"));
  expect(told.map(({ meta }) => meta?.["table"]).sort()).toEqual(listsIndices ? [] : indexed);
}

async function loads(place: OldDatabase, fileFormat: "json" | "arrow"): Promise<void> {
  await using manager = periodic(place, fileFormat, false);
  const file = await manager.backupFull();
  expectIndicesTold(place);
  const target = join(place.directory, "loaded");
  (await loadBackup(file, target)).close();
  expect(await rowsShown(place, target)).toEqual(await rowsShown(place));
}

/** Work whose rows keep their keys apart, as deltas need them. */
async function keyedWork(db: Connection, tables: readonly string[]): Promise<void> {
  for (const name of tables) {
    const table = await db.openTable(name);
    await table.update({ where: where(name, 0), valuesSql: { id: "id + 1000" } });
    await table.delete(where(name, 8));
    table.close();
  }
}

async function follows(place: OldDatabase, fileFormat: "json" | "arrow"): Promise<void> {
  await using manager = periodic(place, fileFormat, true);
  await manager.backupFull();
  expectIndicesTold(place);
  const target = join(place.directory, "followed");
  const backups = join(place.directory, "periodic");
  await restoreLatest(backups, target);
  for (const step of [keyedWork, async (db: Connection) => optimizeAll(db, place.tables)]) {
    await step(place.db, place.tables);
    const delta = await manager.backupDelta();
    if (delta !== null) await applyDelta(target, delta);
    expect(await rowsShown(place, target)).toEqual(await rowsShown(place));
  }
  await restoreLatest(backups, join(place.directory, "latest"));
  expect(await rowsShown(place, join(place.directory, "latest"))).toEqual(await rowsShown(place));
  const whole = place.logged.filter(({ message }) => message.includes("is written in full"));
  expect(whole).toEqual([]);
}

/** What LanceDB cannot do with indices of its old versions, guarded or not (docs/lance-facts.md). */
const LANCEDBS_OWN = /only for v2 IVFIndex|inverted\/builder\.rs|integers are ordered/;

async function optimizeAll(db: Connection, tables: readonly string[]): Promise<void> {
  for (const name of tables) {
    const table = await db.openTable(name);
    await table.optimize(cleanup).catch((error: unknown) => {
      if (!LANCEDBS_OWN.test(String(error))) throw error;
    });
  }
}

const verifyOptions = { checks: ["integrity", "completeness"], restoreTest: true } as const;

async function verifies(repository: Repository, id: string): Promise<void> {
  const results = await repository.verify(id, { ...verifyOptions, checks: [...verifyOptions.checks] });
  expect(results.filter(({ ok }) => !ok)).toEqual([]);
  expect(results.length).toBeGreaterThan(0);
}

export const CHECKS: readonly Check[] = [
  {
    name: "guarded work fails, lance-version",
    run: (place) => fails(place, "lance-version", (db) => work(db, place.tables)),
  },
  {
    name: "guarded work fails, directory-copy",
    run: (place) => fails(place, "directory-copy", (db) => work(db, place.tables)),
  },
  {
    name: "guarded columns, overwrite and restore fail",
    run: (place) =>
      fails(place, "lance-version", async (db) => {
        for (const name of place.tables) {
          const table = await db.openTable(name);
          await table.addColumns([{ name: "more", valueSql: "id" }]);
          await table.checkout(1);
          await table.restore();
          await table.delete("true");
        }
      }),
  },
  {
    name: "a guarded drop, and a table made anew, fail",
    run: (place) =>
      fails(place, "directory-copy", async (db) => {
        for (const name of place.tables) await db.dropTable(name);
        for (const name of place.tables.slice(0, 2)) await db.createTable(name, [{ id: 1, other: "x" }]);
      }),
  },
  {
    name: "a guarded optimize with cleanup fails",
    run: (place) =>
      fails(place, "lance-version", async (db) => {
        await work(db, place.tables);
        await optimizeAll(db, place.tables);
      }),
  },
  {
    name: "a process dies in guarded work",
    run: async (place) => {
      const before = await shown(place);
      dieInside(place, WORK_TEXT.replace("TABLES", JSON.stringify(place.tables)));
      const { entries } = await place.manager.recover();
      expect(entries.map(({ action }) => action)).toEqual(["rolled-back"]);
      expect(await shown(place)).toEqual(before);
    },
  },
  {
    name: "the newest manifest is cut short",
    run: async (place) => {
      for (const name of place.tables) await (await place.db.openTable(name)).delete("false");
      const before = await shown(place);
      for (const name of place.tables) {
        await (await place.db.openTable(name)).delete(where(name, 8));
        truncateSync(newestManifest(join(place.uri, `${name}.lance`)), 10);
      }
      const { healed } = await place.manager.recover();
      expect(healed.map(({ table }) => table).sort()).toEqual([...place.tables].sort());
      expect(await shown(place)).toEqual(before);
    },
  },
  { name: "restoreBackup, lance-version", run: (place) => restores(place, "lance-version") },
  { name: "restoreBackup, directory-copy", run: (place) => restores(place, "directory-copy") },
  {
    name: "restoreBackup after a cleanup and a drop",
    run: async (place) => {
      const before = await shown(place);
      const id = await place.manager.createBackup("directory-copy");
      for (const [index, name] of place.tables.entries()) {
        if (index % 2 === 0) await place.db.dropTable(name);
        else {
          await work(place.db, [name]);
          await optimizeAll(place.db, [name]);
        }
      }
      await place.manager.restoreBackup(id);
      expect(await shown(place)).toEqual(before);
    },
  },
  {
    name: "records are inserted and rows deleted",
    run: async (place) => {
      for (const table of place.tables) {
        const { uri, backupDir, manager } = place;
        const data = await (await place.db.openTable(table)).query().limit(3).toArrow();
        const options = { table, uri, backupDir, manager, strategy: "lance-version" } as const;
        if (data.numRows > 0) {
          const { updatedRows } = await insertRecordsWithBackup(data, { ...options, mergeOn: "id" });
          expect(updatedRows).toBe(3);
        }
        const { deletedRows } = await deleteRowsWithBackup([4, 5], { ...options, key: "id" });
        expect(deletedRows).toBeLessThanOrEqual(2);
      }
    },
  },
  {
    name: "a snapshot is verified by a restore test, and restored",
    run: (place) =>
      inRepository(place, async (repository) => {
        const { id } = await repository.backup({ source: place.uri });
        await verifies(repository, id);
        const target = join(place.directory, "restored");
        await repository.restore(id, { target });
        expect(await shown(place, target)).toEqual(await shown(place));
        await work(place.db, place.tables);
        const second = await repository.backup({ source: place.uri });
        await verifies(repository, second.id);
        const latest = await repository.backup({ source: place.uri, history: "latest" });
        await verifies(repository, latest.id);
      }),
  },
  {
    name: "an older version is restored",
    run: (place) =>
      inRepository(place, async (repository) => {
        const { id, tables } = await repository.get((await repository.backup({ source: place.uri })).id);
        const target = join(place.directory, "older");
        const versions = Object.fromEntries(tables.map((table) => [table.id, 1]));
        await repository.restore(id, { target, versions });
        const db = await connect(target);
        for (const name of place.tables) {
          const table = await place.db.openTable(name);
          await table.checkout(1);
          expect(await shownBy(await db.openTable(name), place)).toEqual(await shownBy(table, place));
        }
      }),
  },
  {
    name: "a snapshot is restored in place",
    run: (place) =>
      inRepository(place, async (repository) => {
        const before = await shown(place);
        const { id } = await repository.backup({ source: place.uri });
        const restore = async () => {
          await repository.restore(id, { target: place.uri, mode: "in-place" });
          expect(await shown(place)).toEqual(before);
        };
        await work(place.db, place.tables);
        await restore();
        await restore();
        await work(place.db, place.tables);
        await optimizeAll(place.db, place.tables);
        await restore();
        for (const name of place.tables) await place.db.dropTable(name);
        await restore();
      }),
  },
  {
    name: "a snapshot is opened",
    run: (place) =>
      inRepository(place, async (repository) => {
        const { id } = await repository.backup({ source: place.uri });
        await using snapshot = await repository.openSnapshot(id);
        for (const name of place.tables) {
          const [kept, live] = [await snapshot.openTable(name), await place.db.openTable(name)];
          expect(await shownBy(kept, place)).toEqual(await shownBy(live, place));
        }
      }),
  },
  {
    name: "rows of two snapshots are compared",
    run: (place) =>
      inRepository(place, async (repository) => {
        const first = await repository.backup({ source: place.uri });
        const has = async (name: string, id: number) =>
          (await (await place.db.openTable(name)).countRows(where(name, id))) > 0;
        const expected: Record<string, unknown> = {};
        for (const name of place.tables) {
          const [zero, eight] = [await has(name, 0), await has(name, 8)];
          const [added, removed] = [Number(zero), Number(zero) + Number(eight)];
          expected[name] = { comparable: true, added, removed, changed: 0 };
        }
        await keyedWork(place.db, place.tables);
        const second = await repository.backup({ source: place.uri });
        const { tables } = await repository.diff(first.id, second.id, { rows: "id" });
        for (const { id, rows } of tables) expect(rows, id).toMatchObject(expected[id] as object);
        expect(tables).toHaveLength(place.tables.length);
      }),
  },
  {
    name: "scrub finds what is damaged, and mends it",
    run: (place) =>
      inRepository(place, async (repository) => {
        await repository.backup({ source: place.uri });
        const before = await shown(place);
        expect((await repository.scrub(place.uri)).damage).toEqual([]);
        const damaged = place.tables.flatMap((name) => {
          const data = filesBelow(join(place.uri, `${name}.lance`)).filter((path) =>
            path.startsWith("data/"),
          );
          return data.length > 0 ? [join(place.uri, `${name}.lance`, data[0] as string)] : [];
        });
        for (const path of damaged) rmSync(path);
        const report = await repository.scrub(place.uri, { heal: true });
        expect(report.damage.filter(({ mended }) => mended)).toHaveLength(damaged.length);
        expect((await repository.scrub(place.uri)).damage).toEqual([]);
        expect(await shown(place)).toEqual(before);
      }),
  },
  {
    name: "doctor has nothing to tell of the tables",
    run: async (place) => {
      const { findings } = await diagnose({ uri: place.uri });
      expect(findings.filter(({ check, level }) => check === "table" && level !== "ok")).toEqual([]);
    },
  },
  { name: "a full in JSON is loaded", run: (place) => loads(place, "json") },
  { name: "a full in Arrow is loaded", run: (place) => loads(place, "arrow") },
  { name: "deltas in JSON follow", run: (place) => follows(place, "json") },
  { name: "deltas in Arrow follow", run: (place) => follows(place, "arrow") },
];
