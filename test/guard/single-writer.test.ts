import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Connection, connect, permutationBuilder } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { BackupStrategy, Repository } from "../../src/index.ts";
import { leftovers, newDatabase, type TestDatabase } from "../support/database.ts";
import { dieInside } from "../support/die-inside.ts";
import { arrangeTables, KINDS_OF_WORK, type KindOfWork } from "../support/kinds-of-work.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";
import { shownBy } from "../support/snapshot.ts";

// Work that connects by itself, past the guard, as a framework does: every commit since the capture is its own.

const STRATEGIES = Object.values(BackupStrategy);
const { LanceVersion } = BackupStrategy;
const failure = new Error("on purpose");
const ALL = { adopt: "all" } as const;

/** What a framework may do beside writing rows. */
const MORE: readonly KindOfWork[] = [
  { name: "makes tables", run: (db) => db.createTable("made", sampleRows(0, 3)) },
  {
    name: "drops a table, and makes another of its name",
    run: async (db) => {
      await db.dropTable("main");
      await (await db.createTable("main", [{ x: 1 }])).add([{ x: 2 }]);
    },
  },
  { name: "drops every table", run: (db) => db.dropAllTables() },
  {
    name: "makes, moves and deletes tags",
    run: async (db) => {
      const tags = await (await db.openTable("main")).tags();
      await tags.create("new", 2);
      await tags.update("kept", 3);
      await tags.delete("lost");
    },
  },
  {
    name: "makes namespaces, and tables in them",
    run: async (db) => {
      await db.createNamespace(["n", "new"]);
      await db.createTable("t", sampleRows(0, 3), ["n", "new"]);
      await db.createTable("t", sampleRows(0, 3), ["n"]);
    },
  },
  {
    name: "drops tables of namespaces, and the namespaces",
    run: async (db) => {
      await db.dropTable("old", ["n", "a"]);
      await db.dropNamespace(["n", "a"]);
    },
  },
  {
    name: "drops a table of a namespace, and makes another of its name",
    run: async (db) => {
      await db.dropTable("old", ["n", "a"]);
      await db.createTable("old", [{ y: 1 }], ["n", "a"]);
    },
  },
];

async function arrange(options: { tags?: boolean } = {}): Promise<TestDatabase> {
  const place = await newDatabase();
  await arrangeTables(place.db);
  if (options.tags) {
    const tags = await (await place.db.openTable("main")).tags();
    await tags.create("kept", 1);
    await tags.create("lost", 2);
  }
  await place.db.createNamespace(["n"]);
  await place.db.createNamespace(["n", "a"]);
  await makeSampleTable(place.db, "old", { namespacePath: ["n", "a"], rows: 10 });
  return place;
}

/** Everything that a database shows, its tags too. */
async function seen(uri: string): Promise<unknown> {
  const db = await connect(uri);
  const tags = await (await db.openTable("main")).tags();
  const versions: string[] = [];
  for (const name of Object.keys(await tags.list()).sort())
    versions.push(`${name} ${await tags.getVersion(name)}`);
  const shown = { ...((await shownBy(db)) as object), tags: versions };
  db.close();
  return shown;
}

/** Runs work as a framework would that connects by itself. */
async function pastTheGuard(uri: string, work: KindOfWork): Promise<void> {
  const db = await connect(uri);
  await work.run(db);
  db.close();
}

const nightly = process.env["NIGHTLY"] === "1";

/** Of what the guard's own tests do, a sample by day. */
const USUAL = KINDS_OF_WORK.filter((_, index) => nightly || index % 5 === 0);

/** All of them with one strategy or the other; what drops with both: a directory copy has the older versions too. */
const kinds = [...USUAL, ...MORE].flatMap((kind, index) => {
  const isDropped = /drop/.test(kind.name);
  const strategies = isDropped ? STRATEGIES : [STRATEGIES[index % 2] as BackupStrategy];
  return strategies.map((strategy) => ({
    kind,
    name: kind.name,
    strategy,
    // A cleanup refuses tagged versions, and with them goes what is dropped behind a lance-version backup.
    tags: MORE.includes(kind) && (!isDropped || strategy === BackupStrategy.DirectoryCopy),
  }));
});

/** Manifests that were replaced stay for ever, wherever they came from. */
const left = (place: TestDatabase) => leftovers(place).filter((path) => !path.endsWith("aside/manifests"));

describe("work that fails leaves all as it was", () => {
  test.for(kinds)("$name, $strategy", async ({ kind, strategy, tags }) => {
    const place = await arrange({ tags });
    const before = await seen(place.uri);
    const failing = place.manager.withBackup(
      strategy,
      async () => {
        await pastTheGuard(place.uri, kind);
        throw failure;
      },
      ALL,
    );
    await expect(failing).rejects.toBe(failure);
    expect(await seen(place.uri)).toEqual(before);
    expect(left(place)).toEqual([]);
    await (await place.db.openTable("main")).add(sampleRows(900, 1));
  });
});

describe.each(STRATEGIES)("%s", (strategy) => {
  test("work that succeeds stays, past the guard and through its own connection", async () => {
    const place = await arrange({ tags: true });
    await place.manager.withBackup(
      strategy,
      async (db) => {
        for (const kind of MORE.filter(({ name }) => !name.startsWith("drops"))) {
          await pastTheGuard(place.uri, kind);
        }
        await (await db.openTable("made")).add(sampleRows(3, 2));
        await (await db.openTable("main")).delete("true");
      },
      { ...ALL, durable: true },
    );
    expect(await (await place.db.openTable("made")).countRows()).toBe(5);
    expect(await (await place.db.openTable("t", ["n", "new"])).countRows()).toBe(3);
    expect(await (await place.db.openTable("main")).countRows()).toBe(0);
    expect(left(place)).toEqual([]);
  });

  test("what the work did through its own connection goes back with the rest, to tables made meanwhile too", async () => {
    const place = await arrange();
    const before = await seen(place.uri);
    const failing = place.manager.withBackup(
      strategy,
      async (db) => {
        await pastTheGuard(place.uri, {
          name: "",
          run: (plain) => plain.createTable("made", sampleRows(0, 3)),
        });
        await (await db.openTable("made")).add(sampleRows(3, 2));
        await (await db.openTable("main")).add(sampleRows(900, 2));
        await (await (await connect(place.uri)).openTable("main")).delete("id > 5");
        await db.dropTable("other");
        await (await connect(place.uri)).createTable("other", [{ z: 1 }]);
        await db.dropTable("old", ["n", "a"]);
        await db.createNamespace(["late"]);
        await permutationBuilder(await db.openTable("main"))
          .persist(db, "permuted")
          .execute();
        throw failure;
      },
      ALL,
    );
    await expect(failing).rejects.toBe(failure);
    expect(await seen(place.uri)).toEqual(before);
    expect(left(place)).toEqual([]);
  });

  test("a death is recovered as a failure is, by whoever comes next", async () => {
    const place = await arrange();
    const before = await seen(place.uri);
    const work = `
      const { connect } = await import("@lancedb/lancedb");
      const plain = await connect(${JSON.stringify(place.uri)});
      await (await plain.openTable("main")).delete("id % 2 = 0");
      await (await db.openTable("main")).add([{ id: 900, text: "x", group: "g", score: 1, vector: new Array(8).fill(0) }]);
      await (await plain.createTable("made", [{ x: 1 }])).add([{ x: 2 }]);
      await plain.dropTable("other");
      await plain.createNamespace(["late"]);
      await plain.createTable("t", [{ x: 1 }], ["late"]);
      await plain.dropTable("old", ["n", "a"]);`;
    dieInside(place, work, ALL, strategy);
    await sleep(600); // longer than a sign of life may be late
    await pastTheGuard(place.uri, {
      name: "",
      run: async (db) => {
        await db.createTable("after", [{ x: 1 }]);
        await (await db.openTable("main")).add(sampleRows(950, 1));
      },
    });
    const last = await (await place.db.openTable("main")).version();
    const [entry, ...rest] = (await place.manager.recover()).entries;
    expect(rest).toEqual([]);
    expect(entry).toMatchObject({ action: "rolled-back", conflicts: [] });
    // What came after the death goes back with the rest, is named, and is not lost.
    const told = entry?.tables.filter(({ passedOver }) => passedOver.length > 0);
    expect(told?.map(({ table, passedOver }) => [table, passedOver])).toEqual([
      ["main", [last]],
      ["after", [1]],
    ]);
    expect(await seen(place.uri)).toEqual(before);
    const others = join(place.uri, ".lancedb-backup/aside/others");
    const kept = await connect(join(others, readdirSync(others)[0] ?? ""));
    expect(await kept.tableNames()).toEqual(["after"]);
    kept.close();
  });

  test("a database that was empty is empty again", async () => {
    const place = await newDatabase();
    const died = `
      const { connect } = await import("@lancedb/lancedb");
      await (await connect(${JSON.stringify(place.uri)})).createTable("made", [{ x: 1 }]);`;
    dieInside(place, died, ALL, strategy);
    expect(await place.db.tableNames()).toEqual(["made"]);
    // Whoever comes next has it recovered first, a table of another name too.
    await place.manager.withBackup(strategy, (db) => db.createTable("mine", [{ x: 1 }]));
    expect(await place.db.tableNames()).toEqual(["mine"]);
    expect(left(place)).toEqual([]);
  });

  test("with tables, these alone are adopted", async () => {
    const place = await arrange();
    const failing = place.manager.withBackup(
      strategy,
      async (db) => {
        const plain = await connect(place.uri);
        await (await plain.openTable("main")).delete("true");
        await plain.createTable("fresh", [{ x: 1 }]);
        await plain.createTable("theirs", [{ x: 1 }]);
        await (await plain.openTable("other")).delete("true");
        await (await db.openTable("old", ["n", "a"])).delete("true");
        throw failure;
      },
      { ...ALL, tables: ["main", "fresh"] },
    );
    await expect(failing).rejects.toBe(failure);
    expect((await place.db.tableNames()).sort()).toEqual(["main", "other", "theirs"]);
    expect(await (await place.db.openTable("main")).countRows()).toBe(39);
    expect(await (await place.db.openTable("other")).countRows()).toBe(0);
    expect(await (await place.db.openTable("old", ["n", "a"])).countRows()).toBe(9);
  });
});

test("a table that was made anew past the guard comes back at its newest version; no tag of it names another's", async () => {
  const place = await arrange({ tags: true });
  const kept = await (await place.db.openTable("main")).version();
  await (await (await place.db.openTable("main")).tags()).create("newest", kept);
  const failing = place.manager.withBackup(
    LanceVersion,
    async () => {
      const plain = await connect(place.uri);
      await plain.dropTable("main");
      await (await plain.createTable("main", [{ x: 1 }])).add([{ x: 2 }]);
      throw failure;
    },
    ALL,
  );
  await expect(failing).rejects.toBe(failure);
  const table = await place.db.openTable("main");
  expect([await table.countRows(), Object.keys(await (await table.tags()).list())]).toEqual([39, ["newest"]]);
});

describe("beside other guarded operations", () => {
  test("it is refused at once while one is under way; with tables that are free it is not", async () => {
    const place = await arrange();
    const holding = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    const other = place.newManager().withBackup(LanceVersion, async (db) => {
      await (await db.openTable("other")).add(sampleRows(500, 1));
      holding.resolve();
      await go.promise;
    });
    await holding.promise;
    const alone = place.manager.withBackup(LanceVersion, async () => undefined, ALL);
    await expect(alone).rejects.toMatchObject({ code: "LOCKED", message: /backup_\d+.*tables other/ });
    await place.manager.withBackup(LanceVersion, async () => undefined, { ...ALL, tables: ["main"] });
    go.resolve();
    await other;
    await place.manager.withBackup(LanceVersion, async () => undefined, ALL);
    expect(left(place)).toEqual([]);
  });

  test("others wait until it ends, for tables that are not there yet too; a snapshot does", async () => {
    const place = await newDatabase({ lockTimeoutMs: 60_000 });
    await makeSampleTable(place.db, "main");
    const repository = await Repository.init(join(place.directory, "repository"), { logger: place.logger });
    const events: string[] = [];
    const running = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    const alone = place.manager.withBackup(
      LanceVersion,
      async () => {
        await pastTheGuard(place.uri, { name: "", run: (db) => db.createTable("made", sampleRows(0, 3)) });
        running.resolve();
        await go.promise;
        events.push("it ended");
        throw failure;
      },
      ALL,
    );
    const ended = expect(alone).rejects.toBe(failure);
    await running.promise;
    const other = place.newManager();
    const waiting = [
      other.withBackup(LanceVersion, async (db) => {
        const table = await db.createTable("mine", [{ x: 1 }]);
        events.push("made a table");
        return table.countRows();
      }),
      other.createBackup(LanceVersion, { tables: ["made"] }).then(() => events.push("backed up")),
      repository
        .backup({ source: place.uri, lockTimeoutMs: 60_000 })
        .then(({ tables }) => events.push(`snapshot ${tables.some(({ id }) => id === "made")}`)),
    ];
    const short = place.newManager({ lockTimeoutMs: 50 });
    const refused = short.withBackup(LanceVersion, (db) => db.createTable("other", [{ x: 1 }]));
    await expect(refused).rejects.toMatchObject({ code: "LOCKED", message: /whole database/ });
    go.resolve();
    await Promise.all([ended, ...waiting]);
    expect(events[0]).toBe("it ended");
    expect(events).toContain("snapshot false");
    expect((await place.db.tableNames()).sort()).toEqual(["main", "mine"]);
  });

  test("two of them: one is refused", async () => {
    const place = await arrange();
    const running = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    const first = place.manager.withBackup(
      LanceVersion,
      async () => {
        running.resolve();
        await go.promise;
      },
      ALL,
    );
    await running.promise;
    const second = place.newManager().withBackup(LanceVersion, async () => undefined, ALL);
    await expect(second).rejects.toMatchObject({ code: "LOCKED" });
    go.resolve();
    await first;
  });

  test("guarded work inside of it, and it inside of guarded work, are refused at once", async () => {
    const { manager } = await arrange();
    const nothing = async () => undefined;
    await manager.withBackup(
      LanceVersion,
      async () => {
        const inner = manager.withBackup(LanceVersion, (db) => db.createTable("x", [{ x: 1 }]));
        await expect(inner).rejects.toMatchObject({ code: "LOCKED" });
      },
      ALL,
    );
    await manager.withBackup(LanceVersion, async () => {
      const inner = manager.withBackup(LanceVersion, nothing, ALL);
      await expect(inner).rejects.toMatchObject({ code: "LOCKED", message: /inside another/ });
    });
  });
});

test("what was there before without a version stays, what came since goes", async () => {
  const place = await newDatabase();
  mkdirSync(join(place.uri, "before.lance/data"), { recursive: true });
  const failing = place.manager.withBackup(
    LanceVersion,
    async () => {
      mkdirSync(join(place.uri, "since.lance/data"), { recursive: true });
      throw failure;
    },
    ALL,
  );
  await expect(failing).rejects.toBe(failure);
  expect(existsSync(join(place.uri, "before.lance/data"))).toBe(true);
  expect(existsSync(join(place.uri, "since.lance"))).toBe(false);
});

test("a shallow clone is in its way, unless other tables are named", async () => {
  const { uri, db, manager } = await arrange();
  await db.cloneTable("clone", join(uri, "main.lance"));
  const work = async (_: Connection) => "done";
  await expect(manager.withBackup(LanceVersion, work, ALL)).rejects.toMatchObject({ code: "UNSUPPORTED" });
  expect(await manager.withBackup(LanceVersion, work, { ...ALL, tables: ["main"] })).toBe("done");
  await expect(manager.withBackup(LanceVersion, work, { adopt: "some" as never })).rejects.toThrow(/"own"/);
});

test("files under the name of a named table that the work never made stay", async () => {
  const place = await newDatabase();
  await makeSampleTable(place.db, "main");
  mkdirSync(join(place.uri, "x.lance", "data"), { recursive: true });
  writeFileSync(join(place.uri, "x.lance", "data", "other"), "mine");
  mkdirSync(join(place.uri, "empty.lance"));
  const work = place.manager.withBackup(
    LanceVersion,
    async () => {
      await (await place.db.openTable("main")).add(sampleRows(100, 3));
      await place.db.createTable("made", [{ id: 1 }]);
      throw failure;
    },
    { ...ALL, tables: ["main", "x", "empty", "made"] },
  );
  await expect(work).rejects.toBe(failure);
  expect(readFileSync(join(place.uri, "x.lance", "data", "other"), "utf8")).toBe("mine");
  expect(existsSync(join(place.uri, "empty.lance"))).toBe(true);
  expect(existsSync(join(place.uri, "made.lance"))).toBe(false);
  expect(await (await place.db.openTable("main")).countRows()).toBe(39);
});
