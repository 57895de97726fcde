import { type Connection, connect } from "@lancedb/lancedb";

import { describe, expect, test } from "vitest";
import { BackupStrategy } from "../../src/index.ts";
import { leftovers, newDatabase, newDirectory } from "../support/database.ts";
import { arrangeTables, KINDS_OF_WORK } from "../support/kinds-of-work.ts";
import { sampleRows } from "../support/sample.ts";
import { rowsOf, snapshotOf, type TableSnapshot } from "../support/snapshot.ts";

// The promise of the guard, one case a kind of work: after success the tables are what plain LanceDB would
// have made of them, after a failure they are what they were.

const STRATEGIES = Object.values(BackupStrategy);

describe.each(STRATEGIES)("%s", (strategy) => {
  describe.each(KINDS_OF_WORK)("$name", ({ run }) => {
    test("success: everything stays, the backup goes", async () => {
      const place = await newDatabase();
      await arrangeTables(place.db);
      const plain = await connect(await newDirectory());
      await arrangeTables(plain);

      const result = await place.manager.withBackup(strategy, async (db) => {
        await run(db);
        return "the work's own result";
      });
      await run(plain);

      expect(result).toBe("the work's own result");
      expect(comparable(await snapshotOf(place.db))).toEqual(comparable(await snapshotOf(plain)));
      expect(leftovers(place)).toEqual([]);
      expect(await place.manager.listBackups()).toEqual([]);
    });

    test("exception: everything is as before", async () => {
      const place = await newDatabase();
      await arrangeTables(place.db);
      const before = await stateOf(place.db);
      const error = new Error("the work's own error");
      let highest: Record<string, number> = {};

      const outcome = place.manager.withBackup(strategy, async (db) => {
        await run(db);
        highest = await versionsOf(place.db);
        throw error;
      });

      await expect(outcome).rejects.toBe(error);
      await expectAsBefore(place.db, before, highest);
      expect(leftovers(place)).toEqual([]);
      expect(await place.manager.listBackups()).toEqual([]);
    });

    test("abort in the middle: everything is as before", async () => {
      const place = await newDatabase();
      await arrangeTables(place.db);
      const before = await stateOf(place.db);
      const controller = new AbortController();
      const reason = new Error("the caller's own reason");

      const outcome = place.manager.withBackup(
        strategy,
        async (db) => {
          await (await db.openTable("other")).add(sampleRows(700, 2));
          setImmediate(() => controller.abort(reason));
          await run(db);
          await new Promise(() => undefined);
        },
        { signal: controller.signal },
      );

      await expect(outcome).rejects.toBe(reason);
      await expectAsBefore(place.db, before, {});
      expect(leftovers(place)).toEqual([]);
      expect(await place.manager.listBackups()).toEqual([]);
    });
  });
});

interface State {
  readonly tables: Record<string, TableSnapshot>;
  readonly versions: Record<string, number>;
}

async function stateOf(db: Connection): Promise<State> {
  return { tables: await snapshotOf(db), versions: await versionsOf(db) };
}

async function versionsOf(db: Connection): Promise<Record<string, number>> {
  const versions: Record<string, number> = {};
  for (const name of await db.tableNames()) versions[name] = await (await db.openTable(name)).version();
  return versions;
}

/** Rows, schema, indices, searches; version numbers only grew; the old version can still be read by number. */
async function expectAsBefore(db: Connection, before: State, highest: Record<string, number>): Promise<void> {
  expect(await snapshotOf(db)).toEqual(before.tables);
  for (const [name, version] of Object.entries(before.versions)) {
    const table = await db.openTable(name);
    expect(await table.version()).toBeGreaterThanOrEqual(Math.max(version, highest[name] ?? 0));
    await table.checkout(version);
    expect(await rowsOf(table)).toEqual(before.tables[name]?.rows);
  }
}

/**
 * What two databases that went the same way have in common: not the names of indices, and, where writes ran
 * side by side, not the order of rows.
 */
function comparable(tables: Record<string, TableSnapshot>): unknown {
  return Object.entries(tables).map(([name, { schema, rows, indices, nearest, found }]) => [
    name,
    {
      schema,
      rows: rows.map((row) => JSON.stringify({ ...(row as object), _rowid: "" })).sort(),
      indices: indices.map((index) => ({ ...(index as object), indexUuid: "" })),
      distances: Object.values(nearest).map((hits) =>
        (hits as [string, number][]).map(([, distance]) => distance),
      ),
      found: Object.values(found).map((hits) => (hits as string[]).length),
    },
  ]);
}
