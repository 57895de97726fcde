import { randomUUID } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Connection } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { JournalEntry } from "../../src/guard/journal/journal-entry.ts";
import { ConflictError, deleteRowsWithBackup, insertRecordsWithBackup } from "../../src/index.ts";
import { newDatabase, type TestDatabase } from "../support/database.ts";
import { dieInside } from "../support/die-inside.ts";

// What dies while a manager lives is rolled back by that manager's next operation, whichever it is.

const ADD_TWO = `await (await db.openTable("t")).add([{ id: 2 }])`;

async function used(): Promise<TestDatabase> {
  const place = await newDatabase();
  await place.db.createTable("t", [{ id: 1 }]);
  await place.db.createTable("u", [{ id: 1 }]);
  await place.manager.withBackup("lance-version", async (db) => (await db.openTable("t")).countRows());
  return place;
}

const idsOf = async (db: Connection) => {
  const rows = (await (await db.openTable("t")).query().toArray()) as { id: number }[];
  return rows.map(({ id }) => id).sort();
};

const journalOf = (place: TestDatabase) => readdirSync(join(place.uri, ".lancedb-backup", "journal"));

describe("a process dies while a manager lives", () => {
  const operations: [string, (place: TestDatabase) => Promise<unknown>, number[]][] = [
    ["guarded work that reads", ({ manager }) => manager.withBackup("lance-version", idsOf), [1]],
    ["guarded work on another table", ({ manager }) => manager.withBackup("lance-version", addToU), [1]],
    [
      "a backup of another table",
      ({ manager }) => manager.createBackup("lance-version", { tables: ["u"] }),
      [1],
    ],
    ["its connection", async ({ manager }) => idsOf(await manager.connection()), [1]],
    [
      "insertRecordsWithBackup",
      ({ manager }) =>
        insertRecordsWithBackup([{ id: 3 }], { table: "t", strategy: "lance-version", manager }),
      [1, 3],
    ],
    [
      "deleteRowsWithBackup",
      ({ manager }) =>
        deleteRowsWithBackup([9], { table: "t", key: "id", strategy: "lance-version", manager }),
      [1],
    ],
  ];
  const addToU = async (db: Connection) => (await db.openTable("u")).add([{ id: 2 }]);

  test.for(operations)("%s puts the table back first", async ([, operate, expected]) => {
    const place = await used();
    for (let round = 0; round < 2; round++) {
      dieInside(place, ADD_TWO);
      expect(journalOf(place).length).toBeGreaterThan(0);
      const seen = await operate(place);
      if (Array.isArray(seen)) expect(seen).toEqual([1]);
      expect(new Set(await idsOf(place.db))).toEqual(new Set(expected));
    }
  });

  test("many operations at once: one of them puts it back, all see it so", async () => {
    const place = await used();
    dieInside(place, ADD_TWO);
    const seen = await Promise.all(
      Array.from({ length: 8 }, () => place.manager.withBackup("lance-version", idsOf)),
    );
    expect(seen).toEqual(Array.from({ length: 8 }, () => [1]));
    expect(place.logged.filter(({ message }) => message.startsWith("rolled back an operation"))).toHaveLength(
      1,
    );
  });

  test("a table in conflict is told of once, and holds up only those who write to it", async () => {
    const place = await used();
    dieInside(place, ADD_TWO);
    await (await place.db.openTable("t")).delete("id = 1");
    for (let round = 0; round < 3; round++) await place.manager.withBackup("lance-version", addToU);
    expect(place.logged.filter(({ message }) => message.includes("needs attention"))).toHaveLength(1);
    const write = place.manager.withBackup("lance-version", async (db) =>
      (await db.openTable("t")).add([{ id: 5 }]),
    );
    await expect(write).rejects.toThrow(ConflictError);
    await place.manager.recover({ onConflict: "overwrite" });
    expect(await place.manager.withBackup("lance-version", idsOf)).toEqual([1]);
  });

  test("where nobody died, looking takes next to nothing", async () => {
    const place = await used();
    const times: number[] = [];
    await place.manager.withBackup("lance-version", async () => {
      for (let round = 0; round < 50; round++) {
        const started = performance.now();
        await place.manager.connection();
        times.push(performance.now() - started);
      }
    });
    expect(times.sort((a, b) => a - b)[5]).toBeLessThan(10); // some 0.2 ms alone; a busy machine may be slow, and not each time
  });
});

describe("a process dies inside of a write, before it commits, and somebody else commits at once", () => {
  /** LanceDB reads the rows before it commits: reading this one kills. */
  const DEADLY = `{ get id() { process.kill(process.pid, "SIGKILL"); return 2; } }`;
  const DIES_IN_ADD = `await (await db.openTable("t")).add([${DEADLY}])`;

  /** As if it had died just now, however long that took. */
  function showLifeNow(place: { uri: string }): void {
    const journal = join(place.uri, ".lancedb-backup", "journal");
    const now = new Date();
    for (const id of readdirSync(journal)) utimesSync(join(journal, id, "log"), now, now);
  }

  test("what it cannot have been is theirs", async () => {
    const place = await used();
    const table = await place.db.openTable("t");
    dieInside(place, DIES_IN_ADD);
    await table.add([{ id: 7 }, { id: 8 }]);
    showLifeNow(place);
    expect((await place.manager.recover()).entries).toMatchObject([
      { action: "rolled-back", tables: [{ action: "keep", passedOver: [] }], assumed: [] },
    ]);
    expect(await idsOf(place.db)).toEqual([1, 7, 8]);
  });

  test("what it can have been is taken for its own, and told of by number", async () => {
    const place = await used();
    const table = await place.db.openTable("t");
    dieInside(place, DIES_IN_ADD);
    await table.add([{ id: 7 }]);
    showLifeNow(place);
    const version = await table.version();
    const { entries } = await place.manager.recover();
    expect(entries).toMatchObject([
      { action: "rolled-back", assumed: [{ table: "t", versions: [version] }] },
    ]);
    expect(place.logged.filter(({ message }) => message.includes("taken for what it wrote"))).toHaveLength(1);
    expect(await idsOf(place.db)).toEqual([1]);
    await table.checkout(version);
    expect(await table.countRows()).toBe(2);
  });
});

test("another container's work, whose life only watching can tell, is not waited for by what does not touch its tables", async () => {
  const place = await used();
  await place.manager.withBackup("lance-version", async (db) => {
    await (await db.openTable("t")).add([{ id: 2 }]);
    const [id = ""] = journalOf(place);
    const path = join(place.uri, ".lancedb-backup/journal", id, "owner.json");
    const content = JSON.parse(readFileSync(path, "utf8"));
    const theirs = {
      ...content,
      owner: { ...content.owner, pidNamespace: "pid:[1]", operation: randomUUID() },
    };
    writeFileSync(path, JSON.stringify(theirs));
    expect(new JournalEntry(place.uri, id).outlook()).toBe("live");
    writeFileSync(path, JSON.stringify(content));
  });
});

describe("what is no entry", () => {
  test("a file and a strange directory in the journal are left alone", async () => {
    const place = await used();
    const journal = join(place.uri, ".lancedb-backup", "journal");
    writeFileSync(join(journal, "notes.txt"), "mine");
    writeFileSync(join(journal, "backup_1"), "mine");
    mkdirSync(join(journal, "mine"));
    const report = await place.manager.recover();
    expect(report.entries).toEqual([]);
    expect(await place.manager.listBackups()).toEqual([]);
    await place.manager.withBackup("lance-version", async (db) => (await db.openTable("t")).add([{ id: 2 }]));
    expect(journalOf(place).sort()).toEqual(["backup_1", "mine", "notes.txt"]);
  });

  test.for(["held.json", "armed.json", "owner.json", "tables"])(
    "a damaged entry, whose %s is of another kind, is skipped with a warning",
    async (name) => {
      const place = await used();
      const bad = await place.manager.createBackup("lance-version", { tables: ["u"] });
      const good = await place.manager.createBackup("lance-version", { tables: ["t"] });
      const path = join(place.uri, ".lancedb-backup", "journal", bad, name);
      rmSync(path, { recursive: true, force: true });
      if (name === "tables") writeFileSync(path, "");
      else mkdirSync(path);
      const listed = (await place.newManager().listBackups()).map(({ id }) => id);
      expect(listed).toContain(good);
      expect(listed.includes(bad)).toBe(name === "owner.json" || name === "armed.json");
      await place.manager.recover().catch(() => undefined);
      await place
        .newManager()
        .withBackup("lance-version", async (db) => (await db.openTable("t")).add([{ id: 2 }]));
      await place.manager.restoreBackup(good);
      expect(await idsOf(place.db)).toEqual([1]);
    },
  );
});
