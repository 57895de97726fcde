import { cpSync, mkdirSync, readdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { Placer } from "../../src/fs/placer.ts";
import { CorruptError } from "../../src/index.ts";
import { captureTable } from "../../src/lance/capture.ts";
import {
  assertTableId,
  databasePath,
  listTables,
  parseTableId,
  rootDirectory,
  tableId,
} from "../../src/lance/database.ts";
import { healDamagedHead } from "../../src/lance/heal-head.ts";
import { locateTable } from "../../src/lance/namespaces.ts";
import {
  type PutBackAction,
  type PutBackTarget,
  planPutBack,
} from "../../src/lance/put-back/plan-put-back.ts";
import { putBack } from "../../src/lance/put-back/put-back.ts";
import { digestOfVersion } from "../../src/lance/put-back/table-state.ts";
import { lancedb, newDatabase, newDirectory, type TestDatabase } from "../support/database.ts";
import { newestManifest, stampOf } from "../support/files.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";
import { snapshotOf } from "../support/snapshot.ts";

interface Captured {
  readonly place: TestDatabase;
  readonly dataset: string;
  readonly target: PutBackTarget;
}

/** The sample table at version 4, kept by links. */
async function captured(): Promise<Captured> {
  const place = await newDatabase();
  await makeSampleTable(place.db, "main");
  const dataset = join(place.uri, "main.lance");
  const kept = join(place.directory, "kept");
  const placer = new Placer("hardlink");
  const capture = await captureTable(dataset, { target: kept, placer, history: "latest" });
  if (!capture) throw new Error("nothing was captured");
  const { version, digest } = capture;
  const target = {
    table: "main",
    dataset,
    version,
    digest,
    sources: [kept],
    highestKnown: version,
    capturedAt: Date.now(),
  };
  return { place, dataset, target };
}

/** Own versions; of a plain number nothing else is known. */
const known = (versions: readonly (number | readonly [number, string])[]) =>
  new Map(versions.map((version) => (typeof version === "number" ? [version, undefined] : version)));

describe("an attempt that was cut off once the image was back, in a directory that was made anew", () => {
  async function linked(made: (place: TestDatabase) => Promise<unknown>) {
    const c = await captured();
    await sleep(20); // the clock by which directories are born goes in steps of some milliseconds
    await c.place.db.dropTable("main");
    await made(c.place);
    // As `relink` leaves it before it commits.
    for (const room of ["data", "_deletions", "_versions"])
      cpSync(join(c.target.sources[0] ?? "", room), join(c.dataset, room), { recursive: true });
    return c;
  }
  const anew = ({ db }: TestDatabase) => db.createTable("main", [{ x: 1 }]);

  test("goes above the numbers that are known to have been seen", async () => {
    const { target, place } = await linked(anew);
    const known8 = { ...target, asideDataset: join(place.directory, "aside"), highestKnown: 8 };
    const policy = { ours: new Map(), onConflict: "overwrite", always: false } as const;
    const plan = await planPutBack(known8, policy);
    expect(plan).toMatchObject({ action: "restore", floor: 8 });
    await putBack(lancedb, place.uri, plan);
    expect(await (await connect(place.uri).then((db) => db.openTable("main"))).version()).toBe(9);
    expect((await planPutBack(known8, policy)).action).toBe("keep");
  });

  test("goes above those that may have been seen", async () => {
    const { target, place } = await linked(anew);
    const again = { ...target, again: true };
    const policy = { ours: new Map(), onConflict: "overwrite", always: false } as const;
    const plan = await planPutBack(again, policy);
    expect(plan.action).toBe("restore");
    expect(plan.floor).toBeGreaterThanOrEqual(target.version + 1000);
    await putBack(lancedb, place.uri, plan);
    expect((await planPutBack(again, policy)).action).toBe("keep");
    // Not of a restore that is asked for in a copy of the database, whose directories are all younger.
    expect((await planPutBack(target, policy)).action).toBe("keep");
  });
});

describe("the plan reads and never writes", () => {
  const add = async ({ place }: Captured, count = 1) => {
    const table = await place.db.openTable("main");
    for (let n = 0; n < count; n++) await table.add(sampleRows(100 + n, 1));
  };
  const madeAgain = async ({ place }: Captured, versions: number) => {
    await place.db.dropTable("main");
    const table = await place.db.createTable("main", [{ x: 1 }]);
    for (let x = 2; x <= versions; x++) await table.add([{ x }]);
  };
  const cases: readonly {
    readonly name: string;
    readonly arrange: (c: Captured) => unknown;
    /** Own versions, with the digests that they were noted with. */
    readonly ours: readonly (number | readonly [number, string])[];
    readonly onConflict?: "fail" | "overwrite";
    readonly always?: boolean;
    readonly action: PutBackAction;
    readonly foreign: number[];
  }[] = [
    { name: "nothing happened", arrange: () => 0, ours: [], action: "keep", foreign: [] },
    { name: "ours above", arrange: (c) => add(c, 2), ours: [5, 6], action: "restore", foreign: [] },
    { name: "foreign above", arrange: (c) => add(c, 2), ours: [], action: "keep", foreign: [] },
    { name: "ours, then foreign", arrange: (c) => add(c, 2), ours: [5], action: "conflict", foreign: [6] },
    { name: "foreign, then ours", arrange: (c) => add(c, 2), ours: [6], action: "conflict", foreign: [5] },
    {
      name: "the same, overwriting",
      arrange: (c) => add(c, 2),
      ours: [5],
      onConflict: "overwrite",
      action: "restore",
      foreign: [6],
    },
    {
      name: "foreign above, asked for",
      arrange: (c) => add(c, 2),
      ours: [],
      onConflict: "overwrite",
      always: true,
      action: "restore",
      foreign: [5, 6],
    },
    {
      name: "foreign above, asked for, but not over others",
      arrange: (c) => add(c),
      ours: [],
      always: true,
      action: "conflict",
      foreign: [5],
    },
    {
      name: "ours, and a foreign one that changes nothing",
      arrange: async (c) => {
        await add(c);
        await (await c.place.db.openTable("main")).delete("false");
      },
      ours: [5],
      action: "restore",
      foreign: [],
    },
    {
      name: "the directory gone",
      arrange: (c) => rmSync(c.dataset, { recursive: true }),
      ours: [],
      action: "rebuild",
      foreign: [],
    },
    {
      name: "dropped and made again by somebody",
      arrange: async (c) => {
        await c.place.db.dropTable("main");
        await c.place.db.createTable("main", [{ x: 1 }]);
      },
      ours: [],
      action: "conflict",
      foreign: [1],
    },
    {
      name: "dropped and made again by us",
      arrange: async (c) => {
        await c.place.db.dropTable("main");
        await c.place.db.createTable("main", [{ x: 1 }]);
      },
      ours: [1],
      action: "relink",
      foreign: [],
    },
    {
      name: "made again by somebody, up to the number that was captured and above",
      arrange: (c) => madeAgain(c, 5),
      ours: [],
      action: "conflict",
      foreign: [1, 2, 3, 4, 5],
    },
    {
      name: "made again by somebody, up to a number of ours",
      arrange: (c) => madeAgain(c, 5),
      ours: [[5, "the digest of our version 5"]],
      action: "conflict",
      foreign: [1, 2, 3, 4, 5],
    },
    {
      name: "made again by somebody, a version that we found gone",
      arrange: (c) => madeAgain(c, 5),
      ours: [[5, ""]],
      action: "conflict",
      foreign: [1, 2, 3, 4, 5],
    },
    {
      name: "our commit, and a cleanup that took the version",
      arrange: async (c) => {
        await add(c);
        await (await c.place.db.openTable("main")).optimize({
          cleanupOlderThan: new Date(Date.now() + 60_000),
        });
      },
      ours: [5, 6, 7],
      action: "relink",
      foreign: [],
    },
    {
      name: "the version's own manifest emptied",
      arrange: (c) => truncateSync(newestManifest(c.dataset), 0),
      ours: [],
      action: "relink",
      foreign: [],
    },
  ];

  test.each(cases)(
    "$name: $action",
    async ({ arrange, ours, onConflict = "fail", always = false, action, foreign }) => {
      const c = await captured();
      await arrange(c);
      const stamp = stampOf(c.place.directory);
      const plan = await planPutBack(c.target, { ours: known(ours), onConflict, always });
      expect([plan.action, plan.foreign]).toEqual([action, foreign]);
      expect(stampOf(c.place.directory)).toEqual(stamp);
    },
  );
});

test("a plan that is carried out twice does no harm the second time", async () => {
  const c = await captured();
  const before = await snapshotOf(c.place.db);
  await (await c.place.db.openTable("main")).add(sampleRows(100, 1));
  const policy = { ours: known([5]), onConflict: "fail", always: false } as const;
  const plan = await planPutBack(c.target, policy);
  for (let time = 0; time < 2; time++) {
    await putBack(lancedb, c.place.uri, plan);
    expect(await snapshotOf(c.place.db)).toEqual(before);
  }
  expect((await planPutBack(c.target, policy)).action).toBe("keep");
});

test("a plan is not carried out on another table that has come to stand there, with the same numbers", async () => {
  const c = await captured();
  await (await c.place.db.openTable("main")).add(sampleRows(100, 1));
  const ours = [[5, digestOfVersion(c.dataset, 5)] as const];
  const plan = await planPutBack(c.target, { ours: known(ours), onConflict: "fail", always: false });
  expect(plan.action).toBe("restore");
  await c.place.db.dropTable("main");
  const theirs = await c.place.db.createTable("main", [{ x: 1 }]);
  for (let x = 2; x <= 5; x++) await theirs.add([{ x }]);
  const stamp = stampOf(c.dataset);
  expect(await putBack(lancedb, c.place.uri, plan)).toMatchObject({
    action: "conflict",
    foreign: [1, 2, 3, 4, 5],
  });
  expect(stampOf(c.dataset)).toEqual(stamp);
});

test("a plan that is a conflict touches nothing", async () => {
  const c = await captured();
  await (await c.place.db.openTable("main")).add(sampleRows(100, 1));
  const now = await snapshotOf(c.place.db);
  const plan = await planPutBack(c.target, { ours: known([]), onConflict: "fail", always: true });
  await putBack(lancedb, c.place.uri, plan).catch(() => undefined);
  expect(await snapshotOf(c.place.db)).toEqual(now);
});

test("a version that is nowhere any more is a CorruptError that names the places looked at", async () => {
  const c = await captured();
  rmSync(c.dataset, { recursive: true });
  rmSync(c.target.sources[0] ?? "", { recursive: true });
  const plan = await planPutBack(c.target, { ours: known([]), onConflict: "overwrite", always: true });
  const error = await putBack(lancedb, c.place.uri, plan).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(CorruptError);
  expect((error as Error).message).toContain(c.target.sources[0]);
});

describe("a damaged newest manifest", () => {
  test.each([0, 1, 100])(
    "of %i bytes: the table opens at the version before, under a higher number",
    async (bytes) => {
      const { place, dataset } = await captured();
      const table = await place.db.openTable("main");
      await table.add(sampleRows(100, 1));
      const whole = await snapshotOf(place.db);
      await table.add(sampleRows(200, 1));
      truncateSync(newestManifest(dataset), bytes);
      await expect(place.db.openTable("main")).rejects.toThrow();
      expect(await healDamagedHead(lancedb, place.uri, dataset)).toEqual({ damaged: [6], openedAt: 5 });
      expect(await snapshotOf(place.db)).toEqual(whole);
      expect(await (await place.db.openTable("main")).version()).toBeGreaterThan(6);
      expect(await healDamagedHead(lancedb, place.uri, dataset)).toBeUndefined();
      expect(readdirSync(join(place.uri, ".lancedb-backup/aside/manifests/main.lance"))).toHaveLength(1);
    },
  );

  test("several, and all", async () => {
    const { place, dataset } = await captured();
    const versions = join(dataset, "_versions");
    const names = readdirSync(versions)
      .filter((name) => name.endsWith(".manifest"))
      .sort();
    for (const name of names.slice(0, 2)) truncateSync(join(versions, name), 7);
    expect(await healDamagedHead(lancedb, place.uri, dataset)).toEqual({ damaged: [4, 3], openedAt: 2 });
    expect(await (await place.db.openTable("main")).countRows()).toBe(40);
    for (const name of readdirSync(versions)) truncateSync(join(versions, name), 7);
    await expect(healDamagedHead(lancedb, place.uri, dataset)).rejects.toThrow(CorruptError);
    expect(await healDamagedHead(lancedb, place.uri, join(place.uri, "nope.lance"))).toBeUndefined();
  });
});

describe("tables of a database", () => {
  test("every dataset, and nothing else", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "b");
    await makeSampleTable(place.db, "a");
    await place.db.createNamespace(["ns"]);
    await makeSampleTable(place.db, "a", { namespacePath: ["ns"] });
    mkdirSync(join(place.uri, "empty.lance"));
    mkdirSync(join(place.uri, "pictures"));
    writeFileSync(join(place.uri, "file.lance"), "");
    symlinkSync(join(place.uri, "a.lance"), join(place.uri, "linked.lance"));
    const tables = await listTables(place.uri);
    expect(tables.map(({ id }) => id)).toEqual(["__manifest", "a", "b", "linked", "ns$a"]);
    for (const { id, directory } of tables) expect(await locateTable(lancedb, place.uri, id)).toBe(directory);
    expect(await locateTable(lancedb, place.uri, "nope")).toBeUndefined();
    expect(await locateTable(lancedb, place.uri, "ns$nope")).toBeUndefined();
    expect(await listTables(join(place.uri, "nope"))).toEqual([]);
  });

  test("of directories left by a killed creation, LanceDB says which is the table", async () => {
    const place = await newDatabase();
    await place.db.createNamespace(["ns"]);
    await makeSampleTable(place.db, "a", { namespacePath: ["ns"] });
    const directory = await locateTable(lancedb, place.uri, "ns$a");
    for (const other of ["00000000_ns$a", "ffffffff_ns$a"]) {
      mkdirSync(join(place.uri, other, "_versions"), { recursive: true });
    }
    expect(await locateTable(lancedb, place.uri, "ns$a")).toBe(directory);
  });

  test("ids", () => {
    expect(tableId("t")).toBe("t");
    expect(tableId("t", ["a", "b"])).toBe("a$b$t");
    expect(parseTableId("a$b$t")).toEqual({ name: "t", namespacePath: ["a", "b"] });
    expect([rootDirectory("t"), rootDirectory("a$t"), rootDirectory("__manifest")]).toEqual([
      "t.lance",
      undefined,
      "__manifest",
    ]);
    for (const id of ["", "$t", "a$", "a/b", "..", "a$..", "a b"])
      expect(() => assertTableId(id), id).toThrow();
    expect(() => tableId("__manifest")).toThrow(/__manifest/);
  });

  test("paths", async () => {
    const directory = await newDirectory();
    expect(await databasePath(directory)).toBe(directory);
    expect(await databasePath(`file://${directory}/x`)).toBe(join(directory, "x"));
    for (const uri of ["s3://x", "db://x", "gs://x/y"])
      await expect(databasePath(uri)).rejects.toMatchObject({ code: "UNSUPPORTED" });
    writeFileSync(join(directory, "file"), "");
    await expect(databasePath(join(directory, "file"))).rejects.toMatchObject({ code: "VALIDATION" });
  });
});
