import { existsSync, readdirSync, renameSync, rmSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { type Connection, connect } from "@lancedb/lancedb";

import { describe, expect, test } from "vitest";
import { HeldRoot } from "../../src/fs/held-root.ts";
import { listEntries } from "../../src/guard/journal/journal.ts";
import { readEntryOwner } from "../../src/guard/journal/journal-record.ts";
import { insertRecordsWithBackup, RestoreError } from "../../src/index.ts";
import { lockedTables } from "../../src/lance/lock/locked-tables.ts";
import { newDatabase, type TestDatabase } from "../support/database.ts";
import { startProcess } from "../support/other-process.ts";

// Somebody settles the entry of guarded work that runs: its end must say so, and what the tables hold.

const MINUTE_AGO = new Date(Date.now() - 60_000);

const STRATEGIES = ["lance-version", "directory-copy"] as const;

async function withTable(): Promise<TestDatabase> {
  const place = await newDatabase();
  await place.db.createTable("t", [{ id: 1 }]);
  return place;
}

const addTo = async (db: Connection, id: number) => void (await (await db.openTable("t")).add([{ id }]));

const idsOf = async (uri: string) => {
  const rows = (await (await (await connect(uri)).openTable("t")).query().toArray()) as { id: number }[];
  return rows.map(({ id }) => id).sort();
};

const journalOf = ({ uri }: TestDatabase) => join(uri, ".lancedb-backup", "journal");

function moveEntryAway(place: TestDatabase): string {
  const [entry = ""] = readdirSync(journalOf(place));
  const moved = join(place.directory, entry);
  renameSync(join(journalOf(place), entry), moved);
  return moved;
}

const errorOf = (work: Promise<unknown>) =>
  work.then(
    () => expect.fail("it was told that it had succeeded"),
    (error: unknown) => error as Error,
  );

describe.each(STRATEGIES)("the entry of guarded work is moved away (%s)", (strategy) => {
  test("work that ends well is no success; the error says that its rows are there", async () => {
    const place = await withTable();
    const error = await errorOf(
      place.manager.withBackup(strategy, async (db) => {
        await addTo(db, 2);
        moveEntryAway(place);
      }),
    );
    expect(error).toBeInstanceOf(RestoreError);
    expect(error.message).toMatch(
      /Somebody has recovered this entry.*table t is at version 2.*all of it is there/s,
    );
    expect(await idsOf(place.uri)).toEqual([1, 2]);
    await place.manager.withBackup(strategy, (db) => addTo(db, 3)); // and the table is free
  });

  test("the error of work that fails is not all that is told: nothing was rolled back", async () => {
    const place = await withTable();
    const failure = new Error("the user's own");
    const error = await errorOf(
      place.manager.withBackup(strategy, async (db) => {
        await addTo(db, 2);
        moveEntryAway(place);
        throw failure;
      }),
    );
    expect(error).toBeInstanceOf(RestoreError);
    expect((error as RestoreError).workError).toBe(failure);
    expect(error.message).toMatch(/the user's own.*Somebody has recovered this entry.*all of it is there/s);
    expect(await idsOf(place.uri)).toEqual([1, 2]);
  });

  test("nothing more is written, also to tables that come to it later", async () => {
    const place = await withTable();
    const other = await place.db.createTable("u", [{ id: 1 }]);
    const refused: unknown[] = [];
    const error = await errorOf(
      place.manager.withBackup(strategy, async (db) => {
        await addTo(db, 2);
        moveEntryAway(place);
        await addTo(db, 3).catch((reason) => refused.push(reason));
        await (await db.openTable("u")).add([{ id: 2 }]).catch((reason) => refused.push(reason));
      }),
    );
    expect(error).toBeInstanceOf(RestoreError);
    expect(refused).toHaveLength(2);
    expect(await idsOf(place.uri)).toEqual([1, 2]);
    await other.checkoutLatest();
    expect(await other.countRows()).toBe(1);
    expect(readdirSync(journalOf(place))).toEqual([]);
  });
});

test("an entry that comes back is rolled back by the next operation, though its process lives", async () => {
  const place = await withTable();
  let moved = "";
  await errorOf(
    place.manager.withBackup("lance-version", async (db) => {
      await addTo(db, 2);
      moved = moveEntryAway(place);
    }),
  );
  renameSync(moved, join(journalOf(place), moved.split("/").at(-1) ?? ""));
  expect(await place.manager.withBackup("lance-version", () => idsOf(place.uri))).toEqual([1]);
});

test("insertRecordsWithBackup, which reads its input while it writes, is no success either", async () => {
  const place = await withTable();
  const { manager } = place;
  const text = "x".repeat(8000);
  const rows = async function* () {
    for (let id = 2, moved = ""; id < 20_000 && moved === ""; id += 1000) {
      yield Array.from({ length: 1000 }, (_, index) => ({ id: id + index, text }));
      const [entry = ""] = readdirSync(journalOf(place));
      if (existsSync(join(journalOf(place), entry, "armed.json"))) moved = moveEntryAway(place);
    }
  };
  const options = { table: "new", strategy: "lance-version", manager } as const;
  const error = await errorOf(insertRecordsWithBackup(rows(), options));
  expect(error).toBeInstanceOf(RestoreError);
  expect(error.message).toMatch(/recovered this entry.*table new is/s);
});

test("a machine that takes it for dead has rolled it back: the end says so", async () => {
  const place = await withTable();
  const { uri, backupDir } = place;
  const worker = startProcess(`
    const manager = new BackupManager({ uri: ${JSON.stringify(uri)}, backupDir: ${JSON.stringify(backupDir)}, logger: silent });
    await manager.withBackup("lance-version", async (db) => {
      await (await db.openTable("t")).add([{ id: 2 }]);
      print("added");
      await goOn();
    });
    print("SUCCESS");`);
  await worker.line("added");
  worker.child.kill("SIGSTOP"); // as a laptop that sleeps
  const [entry = ""] = readdirSync(journalOf(place));
  const own = join(uri, ".lancedb-backup");
  for (const path of readdirSync(own, { recursive: true }).map(String)) {
    if (path.endsWith(".json")) utimesSync(join(own, path), MINUTE_AGO, MINUTE_AGO);
  }
  const other = startProcess(
    `const manager = new BackupManager({ uri: ${JSON.stringify(uri)}, backupDir: ${JSON.stringify(backupDir)}, logger: silent });
     const { entries } = await manager.recover({ force: true });
     print(JSON.stringify(entries.map(({ id, action }) => [id, action])));`,
    { host: "another", boot: "another" },
  );
  expect(await other.ended()).toContain(JSON.stringify([entry, "rolled-back"]));
  expect(await idsOf(uri)).toEqual([1]);
  worker.child.kill("SIGCONT");
  worker.goOn();
  const told = await worker.ended();
  expect(told).not.toContain("SUCCESS");
  expect(told).toMatch(/FAILED RESTORE .*Somebody has recovered this entry.*version 2\) was rolled back/);
});

describe("the database's directory is away for a while", () => {
  const awayAndBack = async (
    { uri }: TestDatabase,
    meanwhile: () => Promise<unknown> = async () => undefined,
  ) => {
    renameSync(uri, `${uri}-away`);
    try {
      await meanwhile();
    } finally {
      rmSync(uri, { recursive: true, force: true });
      renameSync(`${uri}-away`, uri);
    }
  };

  test.each(STRATEGIES)("nothing is written meanwhile: all of it is there (%s)", async (strategy) => {
    const place = await withTable();
    await place.manager.withBackup(strategy, async (db) => {
      await addTo(db, 2);
      await awayAndBack(place);
      await addTo(db, 3);
    });
    expect(await idsOf(place.uri)).toEqual([1, 2, 3]);
  });

  test("what LanceDB wrote meanwhile, beside it, is not there: an error, and all of it goes back", async () => {
    const place = await withTable();
    const away = `${place.uri}-away`;
    const madeAnew = join(place.uri, "t.lance", "_versions");
    const isBack = Promise.withResolvers<void>();
    const goAway = () => {
      if (existsSync(away)) return;
      renameSync(place.uri, away);
      const look = () => {
        if (!existsSync(madeAnew) || readdirSync(madeAnew).length === 0) return void setImmediate(look);
        // LanceDB may make the directory once more between the two renames.
        for (let nth = 0; existsSync(away); nth++) {
          renameSync(place.uri, `${place.uri}-made-anew-${nth}`);
          try {
            renameSync(away, place.uri);
          } catch (error) {
            if ((error as NodeJS.ErrnoException).code !== "ENOTEMPTY") throw error;
          }
        }
        isBack.resolve();
      };
      setImmediate(look);
    };
    const work = place.manager.withBackup("lance-version", async (db) => {
      await addTo(db, 2);
      const row = {
        get id() {
          goAway(); // LanceDB makes the table's directory anew, and says that all is well
          return 3;
        },
      };
      await (await db.openTable("t")).add([row]).finally(() => isBack.promise);
    });
    expect((await errorOf(work)).message).toMatch(
      /up to version 3, is not there|was renamed, unmounted or replaced/,
    );
    expect(await idsOf(place.uri)).toEqual([1]);
  });

  test("work that fails then is rolled back", async () => {
    const place = await withTable();
    const failure = new Error("the user's own");
    const work = place.manager.withBackup("lance-version", async (db) => {
      await addTo(db, 2);
      await awayAndBack(place);
      throw failure;
    });
    await expect(work).rejects.toBe(failure);
    expect(await idsOf(place.uri)).toEqual([1]);
  });

  test("still away at the end: no success, and the table is free when it is back", async () => {
    const place = await withTable();
    const error = await errorOf(
      place.manager.withBackup("lance-version", async (db) => {
        await addTo(db, 2);
        renameSync(place.uri, `${place.uri}-away`);
      }),
    );
    expect(error).toBeInstanceOf(RestoreError);
    expect(error.message).toContain("is away");
    expect(existsSync(place.uri)).toBe(false);
    renameSync(`${place.uri}-away`, place.uri);
    await place.manager.withBackup("lance-version", (db) => addTo(db, 3));
    expect(await idsOf(place.uri)).toEqual([1, 3]); // what was cut off went back first
  });
});

test("a restore whose entry has gone is no success, and says what the tables hold", async () => {
  const place = await withTable();
  const logger = {
    ...place.logger,
    debug: (message: string) => {
      if (message !== "table put back") return;
      const restore = readdirSync(journalOf(place)).find((name) => name.startsWith("restore_")) ?? "";
      renameSync(join(journalOf(place), restore), join(place.directory, restore));
    },
  };
  const manager = place.newManager({ logger });
  const backup = await manager.createBackup("lance-version", { tables: ["t"] });
  await (await place.db.openTable("t")).add([{ id: 2 }]);
  const error = await errorOf(manager.restoreBackup(backup));
  expect(error).toBeInstanceOf(RestoreError);
  expect(error.message).toMatch(
    /recovered this entry.*table t is at version 3, which holds what the backup holds/s,
  );
});

test("a backup whose entry has gone before it was whole is none", async () => {
  const place = await withTable();
  const logger = {
    ...place.logger,
    debug: (message: string) => void (message === "table captured" && moveEntryAway(place)),
  };
  const manager = place.newManager({ logger });
  const error = await errorOf(manager.createBackup("lance-version", { tables: ["t"] }));
  expect(error.message).toMatch(/entry backup_\d+ of the journal is not there any more/);
  expect(await manager.listBackups()).toEqual([]);
});

test("no list of entries or locks, and no owner, is believed to be missing while the database is away", async () => {
  const place = await newDatabase();
  await place.db.createTable("t", [{ id: 1 }]);
  const id = await place.manager.createBackup("lance-version");
  const owner = join(place.uri, ".lancedb-backup/journal", id, "owner.json");
  using _held = HeldRoot.hold(place.uri, "database");
  renameSync(place.uri, `${place.uri}-away`);
  try {
    for (const look of [listEntries, lockedTables]) {
      expect(() => look(place.uri)).toThrow(expect.objectContaining({ errno: "ESTALE" }));
    }
    expect(() => readEntryOwner(owner)).toThrow(expect.objectContaining({ errno: "ESTALE" }));
  } finally {
    renameSync(`${place.uri}-away`, place.uri);
  }
});
