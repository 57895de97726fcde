import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as lancedb from "@lancedb/lancedb";
import * as otherArrow from "apache-arrow";
import { describe, expect, test } from "vitest";
import {
  applyDelta,
  BackupManager,
  BackupStrategy,
  insertRecordsWithBackup,
  type LanceDBModule,
  loadBackup,
  PeriodicBackupManager,
  Repository,
  restoreLatest,
  ValidationError,
} from "../../src/index.ts";
import { newDatabase, newDirectory } from "../support/database.ts";

/** LanceDB's module, and what was connected to by it. */
function recording(): { module: typeof lancedb; connected: [path: string, options: unknown][] } {
  const connected: [string, unknown][] = [];
  const connect = (path: string, options?: object) => {
    connected.push([path, options]);
    return lancedb.connect(path, options);
  };
  return { module: { ...lancedb, connect: connect as typeof lancedb.connect }, connected };
}

/** How the file's format is numbered: 0 for the one before 2.0. */
function majorOf(uri: string, table: string): number {
  const data = join(uri, `${table}.lance`, "data");
  const bytes = readFileSync(join(data, readdirSync(data)[0] ?? ""));
  return bytes.readUInt16LE(bytes.length - 8);
}

describe("the application's LanceDB", () => {
  test("is the one that connects, also inside guarded work, on a failure, and for the helpers", async () => {
    const place = await newDatabase();
    await place.db.createTable("t", [{ id: 1 }]);
    const { module, connected } = recording();
    const manager = place.newManager({ lancedb: module });
    await manager.connection();
    expect(connected).toEqual([[place.uri, {}]]);
    const failed = manager.withBackup(async (db) => {
      await (await db.openTable("t")).add([{ id: 2 }]);
      throw new Error("no");
    });
    await expect(failed).rejects.toThrow("no");
    expect(connected.filter(([path]) => path === place.uri)).toHaveLength(2);
    expect(connected.some(([path]) => path.startsWith(join(place.uri, ".lancedb-backup")))).toBe(true);
    const before = connected.length;
    const { uri, backupDir } = place;
    await insertRecordsWithBackup([{ id: 3 }], { table: "t", uri, backupDir, lancedb: module });
    expect(connected.slice(before).map(([path]) => path)).toEqual([uri, uri]);
    expect(await place.db.openTable("t").then((table) => table.countRows())).toBe(2);
  });

  test("reads and writes periodic files", async () => {
    const place = await newDatabase();
    const table = await place.db.createTable("t", [{ id: 1 }]);
    const { module, connected } = recording();
    const files = join(place.directory, "files");
    const { uri, logger } = place;
    await using periodic = new PeriodicBackupManager({
      uri,
      backupDir: files,
      incremental: true,
      lancedb: module,
      logger,
    });
    const full = await periodic.backupFull();
    await table.add([{ id: 2 }]);
    const delta = await periodic.backupDelta();
    expect(connected.length).toBeGreaterThan(0);
    const before = connected.length;
    const made = join(place.directory, "made");
    (await loadBackup(full, made, { lancedb: module, logger })).close();
    await applyDelta(made, delta ?? "", { lancedb: module, logger });
    const at = { lancedb: module, connection: { readConsistencyInterval: 0 }, logger };
    await restoreLatest(files, join(place.directory, "latest"), at);
    expect(connected.slice(before).map(([path]) => path.replace(/\.partial-.*/, ".partial"))).toEqual([
      `${made}.partial`,
      made,
      made,
      join(place.directory, "latest.partial"),
    ]);
    expect(connected.at(-1)?.[1]).toEqual({ readConsistencyInterval: 0 });
  });

  test("opens, tests and compares snapshots", async () => {
    const place = await newDatabase();
    const table = await place.db.createTable("t", [{ id: 1 }]);
    const { module, connected } = recording();
    const options = { lancedb: module, connection: { readConsistencyInterval: 5 }, logger: place.logger };
    await using repository = await Repository.init(join(place.directory, "r"), options);
    const first = await repository.backup({ source: place.uri });
    await table.add([{ id: 2 }]);
    await repository.backup({ source: place.uri });
    await using opened = await repository.openSnapshot(first.id);
    expect(await opened.tableNames()).toEqual(["t"]);
    expect(connected.map(([, given]) => given)).toEqual([{ readConsistencyInterval: 5 }]);
    await repository.verify("latest", { restoreTest: true });
    expect(connected).toHaveLength(2);
    const { tables } = await repository.diff(first.id, "latest", { rows: "id" });
    expect(tables).toMatchObject([{ rows: { added: 1 } }]);
    expect(connected).toHaveLength(4);
    await repository.restore(first.id, { target: place.uri, mode: "in-place" });
    expect(connected).toHaveLength(5);
    expect(await (await place.db.openTable("t")).countRows()).toBe(1);
  });

  test("that has another copy of apache-arrow is handed no rows, and gives none: that is refused by name", async () => {
    const place = await newDatabase();
    await place.db.createTable("t", [{ id: 1 }]);
    const { uri, backupDir, logger } = place;
    const makeArrowTable = () => otherArrow.tableFromArrays({ id: [1] });
    const other = { ...lancedb, makeArrowTable };
    const files = join(place.directory, "files");
    const full = await new PeriodicBackupManager({ uri, backupDir: files, logger }).backupFull();
    const periodic = new PeriodicBackupManager({ uri, backupDir: files, lancedb: other, logger });
    const calls = [
      () => insertRecordsWithBackup([{ id: 2 }], { table: "t", uri, backupDir, lancedb: other }),
      () => loadBackup(full, join(place.directory, "made"), { lancedb: other, logger }),
      () => periodic.backupFull(),
    ];
    for (const call of calls) await expect(call()).rejects.toThrow(/another copy of apache-arrow/);
    expect(await (await place.db.openTable("t")).countRows()).toBe(1);
    expect(existsSync(join(place.directory, "made"))).toBe(false);
    const rows = async (db: lancedb.Connection) => (await db.openTable("t")).add([{ id: 3 }]);
    await place.newManager({ lancedb: other }).withBackup(rows);
  });

  test.each([
    ["a path", "@lancedb/lancedb"],
    ["a connection", { openTable: () => 0 }],
    ["null", null],
  ])("that is %s is refused, and nothing is touched", async (_, given) => {
    const directory = await newDirectory();
    const uri = join(directory, "db");
    expect(() => new BackupManager({ uri, lancedb: given as unknown as LanceDBModule })).toThrow(TypeError);
    expect(() => new PeriodicBackupManager({ uri, lancedb: given as unknown as LanceDBModule })).toThrow(
      TypeError,
    );
    expect(existsSync(uri)).toBe(false);
  });
});

describe("what connections are opened with", () => {
  const connection = { storageOptions: { newTableDataStorageVersion: "legacy" } };

  test("holds for tables that guarded work makes", async () => {
    const place = await newDatabase();
    await place.newManager({ connection }).withBackup(async (db) => {
      await db.createTable("made", [{ id: 1 }]);
    });
    await place.db.createTable("plain", [{ id: 1 }]);
    expect(["made", "plain"].map((table) => majorOf(place.uri, table))).toEqual([0, 2]);
  });

  test("holds for tables that an insert and a replay make", async () => {
    const place = await newDatabase();
    const { uri, logger, backupDir } = place;
    await place.db.createTable("plain", [{ id: 1 }]);
    await using periodic = new PeriodicBackupManager({ uri, backupDir: join(place.directory, "p"), logger });
    const replayed = join(place.directory, "replayed");
    (await loadBackup(await periodic.backupFull(), replayed, { connection, logger })).close();
    await insertRecordsWithBackup([{ id: 1 }], { table: "made", uri, backupDir, connection });
    expect([majorOf(uri, "made"), majorOf(replayed, "plain")]).toEqual([0, 0]);
  });

  test("a session of the application's caches for guarded work too", async () => {
    const place = await newDatabase();
    await place.db.createTable("t", [{ id: 1 }]);
    const session = new lancedb.Session();
    const before = session.sizeBytes();
    await place.newManager({ connection: { session } }).withBackup(async (db) => {
      await (await db.openTable("t")).countRows("id = 1");
    });
    expect(session.sizeBytes()).toBeGreaterThan(before);
  });

  test("is left as the caller gave it", async () => {
    const place = await newDatabase();
    await place.newManager({ connection }).withBackup(async () => undefined);
    expect(connection).toEqual({ storageOptions: { newTableDataStorageVersion: "legacy" } });
    expect(() => new BackupManager({ connection: "x" as never })).toThrow(TypeError);
  });
});

describe("the strategy", () => {
  test("may be left out: the manager's is taken, lance-version by default", async () => {
    const place = await newDatabase();
    await place.db.createTable("t", [{ id: 1 }]);
    const work = async (db: lancedb.Connection) => (await db.openTable("t")).add([{ id: 2 }]);
    const used = async (manager: BackupManager) => {
      place.logged.length = 0;
      await manager.withBackup(work);
      await manager.withBackup(work, { tables: ["t"] });
      await manager.withBackup(undefined, work);
      return place.logged
        .filter(({ message }) => message === "guarded work succeeded")
        .map(({ meta }) => meta?.["strategy"]);
    };
    expect(await used(place.newManager())).toEqual(Array(3).fill(BackupStrategy.LanceVersion));
    const strategy = BackupStrategy.DirectoryCopy;
    const manager = place.newManager({ strategy });
    expect(await used(manager)).toEqual(Array(3).fill(strategy));
    const id = await manager.createBackup();
    expect(await manager.listBackups()).toMatchObject([{ id, strategy }]);
    expect(() => new BackupManager({ strategy: "copy" as never })).toThrow(ValidationError);
  });

  test("that a call names goes before the manager's", async () => {
    const place = await newDatabase();
    await place.db.createTable("t", [{ id: 1 }]);
    const manager = place.newManager({ strategy: BackupStrategy.DirectoryCopy });
    await manager.createBackup(BackupStrategy.LanceVersion);
    expect(await manager.listBackups()).toMatchObject([{ strategy: BackupStrategy.LanceVersion }]);
  });
});

test("a LanceDB that knows no paths drops no tables of the root for a namespace", async () => {
  const place = await newDatabase();
  await place.db.createTable("t", [{ id: 1 }]);
  const connect = async (path: string, options?: object) => {
    const db = await lancedb.connect(path, options);
    const [drop, names] = [db.dropTable.bind(db), db.tableNames.bind(db)];
    // As LanceDB below 0.22: what follows the name is the options, or nothing.
    return Object.assign(db, { dropTable: (name: string) => drop(name), tableNames: () => names() });
  };
  const module = { ...lancedb, connect: connect as unknown as typeof lancedb.connect };
  const work = place
    .newManager({ lancedb: module })
    .withBackup("lance-version", (db) => db.dropAllTables(["ns"]));
  await expect(work).rejects.toMatchObject({ code: "UNSUPPORTED" });
  expect(await place.db.tableNames()).toEqual(["t"]);
});
