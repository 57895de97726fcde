import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";
import {
  BackupManager,
  type BackupManagerOptions,
  BackupStrategy,
  createIndexesWithBackup,
  deleteRowsWithBackup,
  insertRecordsWithBackup,
  UnsupportedError,
  ValidationError,
} from "../../src/index.ts";
import { newDatabase, newDirectory } from "../support/database.ts";
import { stampOf } from "../support/files.ts";
import { makeSampleTable } from "../support/sample.ts";

// Bad input is refused before anything is written.

type Refusal = typeof ValidationError | typeof TypeError | typeof UnsupportedError;

const logger = { debug: () => 0, info: () => 0, warn: () => 0, error: () => 0 };

describe("new BackupManager", () => {
  const bad: readonly [name: string, options: unknown, refusal: Refusal][] = [
    ["options that are no object", "data", TypeError],
    ["options that are null", null, TypeError],
    ["a uri that is no text", { uri: 7 }, TypeError],
    ["an empty uri", { uri: "" }, ValidationError],
    ["a blank uri", { uri: "  " }, ValidationError],
    ["a uri with a NUL", { uri: "a\0b" }, ValidationError],
    ["a uri that is null", { uri: null }, TypeError],
    ["a backupDir that is null", { backupDir: null }, TypeError],
    ["a file address of another machine", { uri: "file://host/db" }, ValidationError],
    ["a file address that is not absolute", { uri: "file:db" }, ValidationError],
    ["a file address with a query", { uri: "file:///db?x=1" }, ValidationError],
    ["a file address with a fragment", { uri: "file:///db#x" }, ValidationError],
    ["a file address with a slash in a name", { uri: "file:///a%2Fb" }, ValidationError],
    ["a file address with a NUL", { uri: "file:///a%00b" }, ValidationError],
    ["a file address that is broken", { uri: "file:///a%" }, ValidationError],
    ["a bucket with one slash", { uri: "s3:/bucket/db" }, UnsupportedError],
    ["Google's buckets", { uri: "gs://bucket/db" }, UnsupportedError],
    ["Lance's other file systems", { uri: "file-object-store:///db" }, UnsupportedError],
    ["memory", { uri: "memory://" }, UnsupportedError],
    ["the web", { uri: "https://example.com/db" }, UnsupportedError],
    ["LanceDB Cloud", { uri: "db://somewhere" }, UnsupportedError],
    ["a bucket", { uri: "s3://bucket/db" }, UnsupportedError],
    ["backups in a bucket", { uri: "db", backupDir: "s3://bucket/backups" }, UnsupportedError],
    ["a backupDir that is no text", { backupDir: ["a"] }, TypeError],
    ["an empty backupDir", { backupDir: "" }, ValidationError],
    ["backups in the database's own directory", { uri: "data/x", backupDir: "./data/x" }, ValidationError],
    ["backups inside of a table", { uri: "data/x", backupDir: "data/x/t.lance/b" }, ValidationError],
    ["backups inside of a namespace's table", { uri: "data/x", backupDir: "data/x/0a_n$t" }, ValidationError],
    [
      "backups in our own directory",
      { uri: "data/x", backupDir: "data/x/.lancedb-backup/b" },
      ValidationError,
    ],
    ["an unknown way to link", { link: "symlink" }, ValidationError],
    ["a way to link that is no text", { link: 1 }, ValidationError],
    ["a lock time that is no number", { lockTimeoutMs: "1" }, TypeError],
    ["a negative lock time", { lockTimeoutMs: -1 }, ValidationError],
    ["a lock time that is NaN", { lockTimeoutMs: Number.NaN }, ValidationError],
    ["a logger without warn", { logger: { ...logger, warn: undefined } }, TypeError],
    ["a logger that is null", { logger: null }, TypeError],
  ];

  test.each(bad)("%s is refused", (_name, options, refusal) => {
    expect(() => new BackupManager(options as BackupManagerOptions)).toThrow(refusal);
  });

  test.each([
    (path: string) => `file:${path}`,
    (path: string) => `file://${path}`,
    (path: string) => `file://localhost${path}`,
    (path: string) => `FILE://${path}/x/..`,
    (path: string) => pathToFileURL(path).href,
  ])(
    "a file address is the path that it means, and leaves no directory of its own name: %s",
    async (addressOf) => {
      const directory = await newDirectory();
      const path = join(directory, "my db");
      const uri = addressOf(path).replaceAll(" ", "%20");
      const here = readdirSync(process.cwd());
      const manager = new BackupManager({ uri, backupDir: `file://${directory}/b%20c`, logger });
      await manager.withBackup(BackupStrategy.DirectoryCopy, (db) => db.createTable("t", [{ id: 1 }]));
      await manager.createBackup(BackupStrategy.DirectoryCopy);
      await using plain = new BackupManager({ uri: path, backupDir: join(directory, "b c"), logger });
      expect(await plain.listBackups()).toHaveLength(1);
      await insertRecordsWithBackup([{ id: 2 }], {
        table: "t",
        strategy: BackupStrategy.LanceVersion,
        manager: plain,
        uri,
      });
      expect(await (await (await plain.connection()).openTable("t")).countRows()).toBe(2);
      expect(readdirSync(directory).sort()).toEqual(["b c", "my db"]);
      expect(readdirSync(process.cwd())).toEqual(here);
      await manager[Symbol.asyncDispose]();
    },
  );

  test("the refusal of an address says what can be used", () => {
    expect(() => new BackupManager({ uri: "s3://bucket/db" })).toThrow(/local directories/);
    expect(() => new BackupManager({ uri: "file://host/db" })).toThrow(/host.*file:\/\/\/absolute/);
    // A colon in a plain path is no scheme.
    expect(new BackupManager({ uri: "./s3:/x" }).uri).toBe("./s3:/x");
    expect(new BackupManager({ uri: "data/at:noon" }).uri).toBe("data/at:noon");
  });

  test("defaults, file addresses and undefined are taken", async () => {
    const plain = new BackupManager();
    expect([plain.uri, plain.backupDir]).toEqual(["data/lancedb-table", join(process.cwd(), "data/backups")]);
    const none = new BackupManager({
      uri: undefined,
      backupDir: undefined,
      link: undefined,
      logger: undefined,
    });
    expect(none.uri).toBe("data/lancedb-table");
    const directory = await newDirectory();
    const place = await newDatabase({
      uri: `file://${directory}/db`,
      backupDir: `file://${directory}/backups`,
    });
    await makeSampleTable(place.db, "main");
    const id = await place.manager.createBackup(BackupStrategy.DirectoryCopy);
    expect((await place.manager.listBackups()).map(({ path }) => path)).toEqual([
      join(directory, "backups", id),
    ]);
    await place.manager.restoreBackup(id);
    // A relative path and the same place by another name are the same database.
    const other = new BackupManager({
      uri: `${directory}/x/../db/`,
      backupDir: `${directory}/backups`,
      logger,
    });
    expect((await other.listBackups()).map((info) => info.id)).toEqual([id]);
  });
});

describe("calls", () => {
  const { LanceVersion } = BackupStrategy;
  const work = async () => undefined;
  type Call = (manager: BackupManager) => unknown;
  const as = <T>(value: unknown) => value as T;
  const bad: readonly [name: string, call: Call, refusal: Refusal][] = [
    ["createBackup: an unknown strategy", (m) => m.createBackup(as("snapshot")), ValidationError],
    [
      "createBackup: tables that are a text",
      (m) => m.createBackup(LanceVersion, { tables: as("main") }),
      TypeError,
    ],
    [
      "createBackup: a table that is no text",
      (m) => m.createBackup(LanceVersion, { tables: as([1]) }),
      TypeError,
    ],
    [
      "createBackup: a table that climbs",
      (m) => m.createBackup(LanceVersion, { tables: ["../x"] }),
      ValidationError,
    ],
    [
      "createBackup: an absolute table",
      (m) => m.createBackup(LanceVersion, { tables: ["/etc"] }),
      ValidationError,
    ],
    ["createBackup: an empty name", (m) => m.createBackup(LanceVersion, { tables: [""] }), ValidationError],
    [
      "createBackup: an empty namespace",
      (m) => m.createBackup(LanceVersion, { tables: ["$x"] }),
      ValidationError,
    ],
    ["createBackup: dots", (m) => m.createBackup(LanceVersion, { tables: [".."] }), ValidationError],
    ["restoreBackup: no id", (m) => m.restoreBackup(as(undefined)), TypeError],
    ["restoreBackup: an id that climbs", (m) => m.restoreBackup("../backup_1"), ValidationError],
    ["restoreBackup: an empty id", (m) => m.restoreBackup(""), ValidationError],
    [
      "restoreBackup: an unknown onConflict",
      (m) => m.restoreBackup("x", { onConflict: as("keep") }),
      ValidationError,
    ],
    ["cleanupBackup: an id that climbs", (m) => m.cleanupBackup("../db"), ValidationError],
    ["cleanupBackup: dots", (m) => m.cleanupBackup(".."), ValidationError],
    ["cleanupBackup: no id", (m) => m.cleanupBackup(as(null)), TypeError],
    [
      "withBackup: an unknown strategy",
      (m) => m.withBackup(as<BackupStrategy>("copy"), work),
      ValidationError,
    ],
    ["withBackup: no work", (m) => m.withBackup(LanceVersion, as<() => Promise<void>>(undefined)), TypeError],
    [
      "withBackup: tables that climb",
      (m) => m.withBackup(LanceVersion, work, { tables: ["a/../b"] }),
      ValidationError,
    ],
    [
      "withBackup: an unknown onConflict",
      (m) => m.withBackup(LanceVersion, work, { onConflict: as("x") }),
      ValidationError,
    ],
    [
      "withBackup: a signal that is none",
      (m) => m.withBackup(LanceVersion, work, { signal: as({}) }),
      TypeError,
    ],
    ["createBackup: options that are null", (m) => m.createBackup(LanceVersion, as(null)), TypeError],
    [
      "createBackup: tables that are null",
      (m) => m.createBackup(LanceVersion, { tables: as(null) }),
      TypeError,
    ],
    [
      "createBackup: a signal that is none",
      (m) => m.createBackup(LanceVersion, { signal: as(true) }),
      TypeError,
    ],
    ["restoreBackup: options that are null", (m) => m.restoreBackup("backup_1", as(null)), TypeError],
    ["withBackup: options that are null", (m) => m.withBackup(LanceVersion, work, as(null)), TypeError],
    ["withBackup: options that are a text", (m) => m.withBackup(LanceVersion, work, as("main")), TypeError],
    [
      "withBackup: a signal that is a controller",
      (m) => m.withBackup(LanceVersion, work, { signal: as(new AbortController()) }),
      TypeError,
    ],
    [
      "withBackup: a signal that is null",
      (m) => m.withBackup(LanceVersion, work, { signal: as(null) }),
      TypeError,
    ],
    [
      "withBackup: durable that is a text",
      (m) => m.withBackup(LanceVersion, work, { durable: as("yes") }),
      TypeError,
    ],
    ["recover: options that are null", (m) => m.recover(as(null)), TypeError],
    ["recover: force that is a number", (m) => m.recover({ force: as(1) }), TypeError],
    ["onCommitted: no listener", (m) => m.onCommitted(as(null)), TypeError],
    ["insert: no options", () => insertRecordsWithBackup([{ id: 1 }], as(undefined)), TypeError],
    ["insert: options that are null", () => insertRecordsWithBackup([{ id: 1 }], as(null)), TypeError],
    [
      "insert: a signal that is none",
      (m) =>
        insertRecordsWithBackup([{ id: 1 }], {
          table: "main",
          strategy: LanceVersion,
          manager: m,
          signal: as({}),
        }),
      TypeError,
    ],
    [
      "insert: a manager that is none",
      () => insertRecordsWithBackup([{ id: 1 }], { table: "main", strategy: LanceVersion, manager: as({}) }),
      TypeError,
    ],
    [
      "insert: a uri that is no text, beside a manager",
      (m) =>
        insertRecordsWithBackup([{ id: 1 }], {
          table: "main",
          strategy: LanceVersion,
          manager: m,
          uri: as(7),
        }),
      TypeError,
    ],
    ["delete: options that are null", () => deleteRowsWithBackup(["a"], as(null)), TypeError],
    [
      "delete: durable that is a number",
      (m) =>
        deleteRowsWithBackup([1], {
          table: "main",
          key: "id",
          strategy: LanceVersion,
          manager: m,
          durable: as(1),
        }),
      TypeError,
    ],
    ["index: options that are null", () => createIndexesWithBackup("main", [], as(null)), TypeError],
    [
      "index: a signal that is none",
      (m) => createIndexesWithBackup("main", [], { strategy: LanceVersion, manager: m, signal: as("abort") }),
      TypeError,
    ],
    ["recover: an unknown onConflict", (m) => m.recover({ onConflict: as("fail") }), ValidationError],
  ];

  test.each(bad)("%s is refused, and nothing is touched", async (_name, call, refusal) => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    await place.manager.cleanupBackup(await place.manager.createBackup(LanceVersion));
    const stamp = stampOf(place.directory);
    await expect(Promise.resolve().then(() => call(place.manager))).rejects.toThrow(refusal);
    expect(stampOf(place.directory)).toEqual(stamp);
  });

  test("a database that is a file is refused by every call", async () => {
    const directory = await newDirectory();
    writeFileSync(join(directory, "db"), "a file");
    const manager = new BackupManager({
      uri: join(directory, "db"),
      backupDir: join(directory, "b"),
      logger,
    });
    await expect(manager.createBackup(LanceVersion)).rejects.toThrow(ValidationError);
    await expect(manager.withBackup(LanceVersion, work)).rejects.toThrow(ValidationError);
    await expect(manager.restoreBackup("backup_1")).rejects.toThrow(ValidationError);
    await expect(manager.recover()).rejects.toThrow(ValidationError);
    await expect(manager.connection()).rejects.toThrow(ValidationError);
  });

  test("a database that is not there: reading calls say what there is, and make nothing", async () => {
    const directory = await newDirectory();
    const manager = new BackupManager({
      uri: join(directory, "db"),
      backupDir: join(directory, "b"),
      logger,
    });
    expect(await manager.listBackups()).toEqual([]);
    await expect(manager.createBackup(LanceVersion)).rejects.toThrow(ValidationError);
    await expect(manager.restoreBackup("backup_1")).rejects.toMatchObject({ code: "BACKUP_NOT_FOUND" });
    await expect(manager.cleanupBackup("backup_1")).rejects.toMatchObject({ code: "BACKUP_NOT_FOUND" });
    expect(await manager.recover()).toEqual({ entries: [], healed: [], unreadable: [] });
    expect(stampOf(directory)).toEqual([]);
  });

  test("a backup directory that cannot be made is an IoError that names it", async () => {
    const directory = await newDirectory();
    writeFileSync(join(directory, "file"), "");
    const place = await newDatabase({ backupDir: join(directory, "file", "backups") });
    await makeSampleTable(place.db, "main");
    const error = await place.manager.createBackup(BackupStrategy.DirectoryCopy).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: "IO", message: expect.stringContaining(join(directory, "file")) });
    mkdirSync(join(directory, "ok"));
    const other = place.newManager({ backupDir: join(directory, "ok") });
    await other.cleanupBackup(await other.createBackup(BackupStrategy.DirectoryCopy));
  });
});

describe("what is logged", () => {
  test("every step, with id, tables, versions and milliseconds", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    const id = await place.manager.createBackup(BackupStrategy.LanceVersion);
    await place.manager.restoreBackup(id);
    await place.manager.cleanupBackup(id);
    const outcome = place.manager.withBackup(BackupStrategy.LanceVersion, async (db) => {
      await (await db.openTable("main")).delete("true");
      throw new Error("on purpose");
    });
    await expect(outcome).rejects.toThrow("on purpose");
    const told = place.logged.filter(({ level }) => level === "info").map(({ message }) => message);
    expect(told).toEqual([
      "backup made",
      "backup restored",
      "backup removed",
      "guarded work failed; rolling back",
      "rolled back",
    ]);
    for (const { level, meta } of place.logged)
      if (level === "info") expect(meta?.["backup"]).toMatch(/^backup_/);
    expect(place.logged.find(({ message }) => message === "backup made")?.meta).toMatchObject({
      strategy: "lance-version",
      tables: [{ table: "main", version: 4 }],
      ms: expect.any(Number),
    });
  });
});
