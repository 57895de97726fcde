import { setTimeout as sleep } from "node:timers/promises";
import type { Connection } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { BackupStrategy, type GuardEvent } from "../../src/index.ts";
import { newDatabase } from "../support/database.ts";
import { dieInside } from "../support/die-inside.ts";
import { makeSampleTable } from "../support/sample.ts";

test("a listener that throws, or rejects, fails no work that is committed, and holds up no other", async () => {
  const place = await newDatabase();
  await makeSampleTable(place.db, "main");
  const told: string[] = [];
  place.manager.onCommitted(() => {
    throw new Error("at once");
  });
  place.manager.onCommitted(async () => {
    await sleep(1);
    throw new Error("later");
  });
  const end = place.manager.onCommitted(() => void told.push("third"));
  const work = () =>
    place.manager.withBackup(BackupStrategy.LanceVersion, async (db) => {
      await (await db.openTable("main")).delete("id = 1");
      return "done";
    });
  expect(await work()).toBe("done");
  end();
  expect(await work()).toBe("done");
  expect(told).toEqual(["third"]);
  await sleep(20);
  const warnings = place.logged.filter(({ level }) => level === "warn").map(({ meta }) => meta?.["error"]);
  expect(warnings.sort()).toEqual(["at once", "at once", "later", "later"]);
});

test("what was committed, and what was rolled back, is told with tables, versions, rows and milliseconds", async () => {
  const place = await newDatabase();
  const table = await makeSampleTable(place.db, "main");
  const [version, rows] = [await table.version(), await table.countRows()];
  const events: GuardEvent[] = [];
  for (const name of ["committed", "rolledBack", "recovered"] as const) {
    place.manager.on(name, (event) => void events.push(event));
  }
  const remove = async (db: Connection) => {
    await (await db.openTable("main")).delete("id = 1");
    await db.createTable("new", [{ id: 1 }, { id: 2 }]);
  };
  await place.manager.withBackup(remove);
  const broken = new Error("broken");
  const failing = place.manager.withBackup(async (db) => {
    await (await db.openTable("main")).delete("id = 2");
    await db.dropTable("new");
    throw broken;
  });
  await expect(failing).rejects.toBe(broken);
  const written = (before: number | undefined, now: number | undefined, count: number | undefined) => ({
    versionBefore: before,
    version: now,
    rows: count,
  });
  expect(events).toEqual([
    {
      type: "committed",
      backup: expect.stringMatching(/^backup_/),
      strategy: "lance-version",
      durationMs: expect.any(Number),
      tables: [
        { table: "main", ...written(version, version + 1, rows - 1) },
        { table: "new", ...written(undefined, 1, 2) },
      ],
    },
    {
      type: "rolledBack",
      backup: expect.stringMatching(/^backup_/),
      strategy: "lance-version",
      durationMs: expect.any(Number),
      error: broken,
      tables: [
        { table: "main", ...written(version + 1, version + 3, rows - 1) },
        { table: "new", ...written(1, 1, 2) },
      ],
    },
  ]);
});

test("what a dead process left, and is rolled back, is told", async () => {
  const place = await newDatabase();
  await place.db.createTable("main", [{ id: 1 }]);
  dieInside(place, `await (await db.openTable("main")).add([{ id: 2 }])`);
  const events: GuardEvent[] = [];
  place.manager.on("recovered", (event) => void events.push(event));
  await place.manager.withBackup(async (db) => db.tableNames());
  expect(events).toMatchObject([
    { type: "recovered", entries: [{ action: "rolled-back", tables: [{ table: "main" }] }] },
  ]);
});

test("an event that there is not is refused by name", async () => {
  const place = await newDatabase();
  expect(() => place.manager.on("commited" as "committed", () => undefined)).toThrow(
    /committed, rolledBack, recovered/,
  );
});
