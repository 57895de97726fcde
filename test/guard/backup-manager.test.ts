import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import {
  BackupNotFoundError,
  BackupStrategy,
  ConflictError,
  RestoreError,
  UnsupportedError,
  ValidationError,
} from "../../src/index.ts";
import { leftovers, newDatabase, type TestDatabase } from "../support/database.ts";
import { filesBelow, newestManifest } from "../support/files.ts";
import { arrangeTables } from "../support/kinds-of-work.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";
import { snapshotOf } from "../support/snapshot.ts";
import { sampleOf } from "../support/thorough.ts";

const { DirectoryCopy, LanceVersion } = BackupStrategy;
const STRATEGIES = Object.values(BackupStrategy);

/** What can happen to the table `main` after a backup was made. */
const DISASTERS: readonly { name: string; strike: (place: TestDatabase) => unknown }[] = [
  { name: "nothing at all", strike: () => undefined },
  {
    name: "further commits",
    strike: async ({ db }) => {
      const main = await db.openTable("main");
      await main.add(sampleRows(100, 10));
      await main.delete("id < 30");
      await main.dropColumns(["score"]);
      await main.dropIndex("text_idx");
    },
  },
  {
    name: "commits, then a cleanup of all that is old",
    strike: async ({ db }) => {
      const main = await db.openTable("main");
      await main.add(sampleRows(100, 10));
      await main.optimize({ cleanupOlderThan: new Date(Date.now() + 60_000), deleteUnverified: true });
    },
  },
  { name: "the table dropped", strike: ({ db }) => db.dropTable("main") },
  {
    name: "its directory deleted",
    strike: ({ uri }) => rmSync(join(uri, "main.lance"), { recursive: true }),
  },
  {
    name: "its directory replaced by an empty one",
    strike: ({ uri }) => {
      rmSync(join(uri, "main.lance"), { recursive: true });
      mkdirSync(join(uri, "main.lance"));
    },
  },
  {
    name: "its directory replaced by a file",
    strike: ({ uri }) => {
      rmSync(join(uri, "main.lance"), { recursive: true });
      writeFileSync(join(uri, "main.lance"), "not a table");
    },
  },
  {
    name: "dropped and made again, with fewer versions",
    strike: async ({ db }) => {
      await db.dropTable("main");
      await db.createTable("main", [{ id: 1, another: "schema" }]);
    },
  },
  {
    name: "dropped and made again, with more versions",
    strike: async ({ db }) => {
      await db.dropTable("main");
      const table = await db.createTable("main", sampleRows(600, 3));
      for (let n = 0; n < 15; n++) await table.add(sampleRows(700 + n, 1));
    },
  },
  {
    name: "dropped, made again and cleaned up to one high version",
    strike: async ({ db }) => {
      await db.dropTable("main");
      const table = await db.createTable("main", sampleRows(600, 3));
      for (let n = 0; n < 15; n++) await table.add(sampleRows(700 + n, 1));
      await table.optimize({ cleanupOlderThan: new Date(Date.now() + 60_000), deleteUnverified: true });
    },
  },
  { name: "its newest manifest emptied", strike: ({ uri }) => cutManifest(uri, 0) },
  { name: "its newest manifest cut short", strike: ({ uri }) => cutManifest(uri, 0.5) },
  {
    name: "commits, then the newest manifest emptied",
    strike: async ({ db, uri }) => {
      await (await db.openTable("main")).add(sampleRows(100, 10));
      cutManifest(uri, 0);
    },
  },
  {
    name: "every manifest emptied",
    strike: ({ uri }) => {
      const versions = join(uri, "main.lance", "_versions");
      for (const name of readdirSync(versions)) replaceBy(join(versions, name), "");
    },
  },
  {
    name: "its manifests deleted",
    strike: ({ uri }) => rmSync(join(uri, "main.lance", "_versions"), { recursive: true }),
  },
  {
    name: "its data deleted",
    strike: ({ uri }) => rmSync(join(uri, "main.lance", "data"), { recursive: true }),
  },
  {
    name: "one data file deleted",
    strike: ({ uri }) => {
      const [file = ""] = filesBelow(join(uri, "main.lance", "data"));
      rmSync(join(uri, "main.lance", "data", file));
    },
  },
  {
    name: "its data files replaced by shorter ones",
    strike: ({ uri }) => {
      const data = join(uri, "main.lance", "data");
      for (const name of readdirSync(data)) replaceBy(join(data, name), "LANC");
    },
  },
  {
    name: "its deletions and indices deleted, after a commit",
    strike: async ({ db, uri }) => {
      await (await db.openTable("main")).add(sampleRows(100, 10));
      rmSync(join(uri, "main.lance", "_deletions"), { recursive: true });
      rmSync(join(uri, "main.lance", "_indices"), { recursive: true });
    },
  },
  {
    name: "transactions deleted and the hint overwritten",
    strike: ({ uri }) => {
      rmSync(join(uri, "main.lance", "_transactions"), { recursive: true });
      writeFileSync(join(uri, "main.lance", "_versions", "latest_version_hint.json"), "{");
    },
  },
];

/** Another file takes the name, as an editor or a failing copy does it: links keep the old one. */
function replaceBy(path: string, content: string): void {
  writeFileSync(`${path}.new`, content);
  renameSync(`${path}.new`, path);
}

/** As a power cut leaves it. The backup has a body of its own of the newest manifest. */
function cutManifest(uri: string, share: number): void {
  const path = newestManifest(join(uri, "main.lance"));
  truncateSync(path, Math.floor(statSync(path).size * share));
}

describe.each(STRATEGIES)("createBackup and restoreBackup, %s", (strategy) => {
  test.each(sampleOf(DISASTERS))("after $name the table is as it was", async ({ strike }) => {
    const place = await newDatabase();
    await arrangeTables(place.db);
    const before = await snapshotOf(place.db);
    const versionBefore = await (await place.db.openTable("main")).version();
    const id = await place.manager.createBackup(strategy);

    await strike(place);
    for (let time = 0; time < 2; time++) {
      const result = await place.manager.restoreBackup(id);
      expect(result.id).toBe(id);
      expect(result.tables.map(({ table }) => table).sort()).toEqual(["main", "other"]);
      expect(await snapshotOf(place.db)).toEqual(before);
    }

    // The version number did not go backwards, the old version is there by number, and work goes on.
    const table = await place.db.openTable("main");
    expect(await table.version()).toBeGreaterThanOrEqual(versionBefore);
    await table.checkout(versionBefore);
    expect(await table.countRows()).toBe(before["main"]?.rows.length);
    await table.checkoutLatest();
    await table.add(sampleRows(1000, 5));
    await table.optimize({ cleanupOlderThan: new Date(Date.now() + 60_000) });
    expect(await table.countRows()).toBe((before["main"]?.rows.length ?? 0) + 5);

    // The backup is still good after all of that.
    await place.manager.restoreBackup(id);
    expect(await snapshotOf(place.db)).toEqual(before);
    await place.manager.cleanupBackup(id);
    expect(await snapshotOf(place.db)).toEqual(before);
    expect(await place.manager.listBackups()).toEqual([]);
    expect(leftovers(place).filter((path) => !path.includes("/aside/"))).toEqual([]);
  });

  test("a table made since is left alone, one named as absent is removed", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    const all = await place.manager.createBackup(strategy);
    const named = await place.manager.createBackup(strategy, { tables: ["main", "later"] });
    await place.db.createTable("later", sampleRows(0, 3));

    await place.manager.restoreBackup(all);
    expect(await place.db.tableNames()).toEqual(["later", "main"]);
    const { tables } = await place.manager.restoreBackup(named);
    expect(tables).toContainEqual({ table: "later", action: "drop", version: undefined, passedOver: [1] });
    expect(await place.db.tableNames()).toEqual(["main"]);
    await place.manager.restoreBackup(named);
  });

  test("only the tables that were named go back", async () => {
    const place = await newDatabase();
    await arrangeTables(place.db);
    const before = await snapshotOf(place.db);
    const id = await place.manager.createBackup(strategy, { tables: ["main"] });
    for (const name of ["main", "other"]) await (await place.db.openTable(name)).delete("true");
    await place.manager.restoreBackup(id);
    const after = await snapshotOf(place.db);
    expect(after["main"]).toEqual(before["main"]);
    expect(after["other"]?.rows).toEqual([]);
  });

  test("onConflict fail refuses where anything was committed since, and changes nothing", async () => {
    const place = await newDatabase();
    await arrangeTables(place.db);
    const id = await place.manager.createBackup(strategy);
    await place.manager.restoreBackup(id, { onConflict: "fail" });
    const { version } = await (await place.db.openTable("main")).add(sampleRows(100, 1));
    const now = await snapshotOf(place.db);
    const error = await place.manager.restoreBackup(id, { onConflict: "fail" }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(ConflictError);
    expect(error).toMatchObject({ conflicts: [{ table: "main", versions: [version] }], backup: id });
    expect(await snapshotOf(place.db)).toEqual(now);
    const { tables } = await place.manager.restoreBackup(id);
    expect(tables.find(({ table }) => table === "main")?.passedOver).toEqual([version]);
  });

  test("a restore that is only asked about says what would become of each table, and changes nothing", async () => {
    const place = await newDatabase();
    await arrangeTables(place.db);
    const id = await place.manager.createBackup(strategy);
    const { version } = await (await place.db.openTable("main")).add(sampleRows(100, 1));
    const now = await snapshotOf(place.db);
    const { tables } = await place.manager.restoreBackup(id, { dryRun: true });
    expect(await snapshotOf(place.db)).toEqual(now);
    expect(tables.find(({ table }) => table === "main")).toMatchObject({ version, passedOver: [version] });
    const done = await place.manager.restoreBackup(id);
    const brief = ({ table, action, passedOver }: (typeof tables)[number]) => ({ table, action, passedOver });
    expect(done.tables.map(brief)).toEqual(tables.map(brief));
  });

  test("a restore whose signal has fired, or fires while it waits for a lock, changes nothing", async () => {
    const place = await newDatabase();
    await arrangeTables(place.db);
    const id = await place.manager.createBackup(strategy);
    const now = await snapshotOf(place.db);
    const reason = new Error("enough");
    await expect(place.manager.restoreBackup(id, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const stop = new AbortController();
    const [holds, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const work = place.manager.withBackup(
      async () => {
        holds.resolve();
        await released.promise;
      },
      { tables: ["main"] },
    );
    await holds.promise;
    const restore = place.newManager().restoreBackup(id, { signal: stop.signal });
    setTimeout(() => stop.abort(reason), 50);
    await expect(restore).rejects.toBe(reason);
    released.resolve();
    await work;
    expect(await snapshotOf(place.db)).toEqual(now);
  });

  test("list tells what there is; names are unique within a second; cleanup takes one at a time", async () => {
    const place = await newDatabase();
    await arrangeTables(place.db);
    const from = Date.now();
    const ids = [];
    for (let n = 0; n < 5; n++) ids.push(await place.manager.createBackup(strategy));
    expect(new Set(ids).size).toBe(5);
    for (const id of ids) expect(id).toMatch(/^backup_\d{10,}(_\d+)?$/);

    const listed = await place.newManager().listBackups();
    expect(listed.map(({ id }) => id).sort()).toEqual([...ids].sort());
    for (const info of listed) {
      expect(info).toMatchObject({ strategy, state: "ready", tables: ["main", "other"] });
      expect(info.createdAt.getTime()).toBeGreaterThanOrEqual(from - 1);
      expect(info.sizeBytes).toBeGreaterThan(1000);
      expect(existsSync(info.path)).toBe(true);
    }
    const [first = "", ...rest] = ids;
    await place.manager.cleanupBackup(first);
    expect((await place.manager.listBackups()).map(({ id }) => id).sort()).toEqual(rest.sort());
    await expect(place.manager.cleanupBackup(first)).rejects.toThrow(BackupNotFoundError);
    await expect(place.manager.restoreBackup(first)).rejects.toThrow(BackupNotFoundError);
  });

  test("the oldest of several backups goes back behind the others, and forward again", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    const states = [];
    const ids = [];
    for (let n = 0; n < 4; n++) {
      states.push(await snapshotOf(place.db));
      ids.push(await place.manager.createBackup(strategy));
      await (await place.db.openTable("main")).add(sampleRows(100 * (n + 1), 3));
    }
    for (const n of [2, 0, 3, 1, 0]) {
      await place.manager.restoreBackup(ids[n] ?? "");
      expect(await snapshotOf(place.db)).toEqual(states[n]);
    }
  });

  test("an empty table", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    await (await place.db.openTable("main")).delete("true");
    const before = await snapshotOf(place.db);
    const id = await place.manager.createBackup(strategy);
    await place.db.dropTable("main");
    await place.manager.restoreBackup(id);
    expect(await snapshotOf(place.db)).toEqual(before);
  });

  test("a table that is damaged at the start is not backed up half: nothing is left", async () => {
    const place = await newDatabase();
    await arrangeTables(place.db);
    const data = join(place.uri, "main.lance", "data");
    for (const name of readdirSync(data)) rmSync(join(data, name));
    const outcome = place.manager.createBackup(strategy);
    await expect(outcome).rejects.toMatchObject({
      code: "CORRUPT",
      message: expect.stringContaining("main.lance"),
    });
    expect(leftovers(place)).toEqual([]);
  });
});

describe("the whole database directory deleted", () => {
  test("directory-copy restores it", async () => {
    const place = await newDatabase();
    await arrangeTables(place.db);
    const before = await snapshotOf(place.db);
    const id = await place.manager.createBackup(DirectoryCopy);
    rmSync(place.uri, { recursive: true });
    await place.manager.restoreBackup(id);
    expect(await snapshotOf(place.db)).toEqual(before);
    rmSync(place.uri, { recursive: true });
    const other = place.newManager();
    expect((await other.listBackups()).map((info) => info.id)).toEqual([id]);
    await other.restoreBackup(id);
    expect(await snapshotOf(await connect(place.uri))).toEqual(before);
    await other.cleanupBackup(id);
    expect(await other.listBackups()).toEqual([]);
    expect(leftovers(place)).toEqual([]);
  });

  test("lance-version says that its backup went with it", async () => {
    const place = await newDatabase();
    await arrangeTables(place.db);
    const id = await place.manager.createBackup(LanceVersion);
    rmSync(place.uri, { recursive: true });
    const error = await place.manager.restoreBackup(id).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(BackupNotFoundError);
    expect(error).toMatchObject({
      id,
      code: "BACKUP_NOT_FOUND",
      message: expect.stringContaining("lance-version"),
    });
    expect(existsSync(place.uri)).toBe(false);
  });
});

describe("a file that both names share is damaged in place", () => {
  test("links cannot help: RestoreError names the file and the backup, and nothing changes", async () => {
    const place = await newDatabase({ link: "hardlink" });
    await arrangeTables(place.db);
    const id = await place.manager.createBackup(DirectoryCopy);
    const data = join(place.uri, "main.lance", "data");
    const [file = ""] = readdirSync(data);
    truncateSync(join(data, file), 10);
    await (await place.db.openTable("main")).add(sampleRows(100, 1));
    const error = await place.manager.restoreBackup(id).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(RestoreError);
    expect(error).toMatchObject({
      backupPath: join(place.backupDir, id),
      message: expect.stringContaining(file),
    });
    expect((await place.manager.listBackups()).map((info) => info.id)).toEqual([id]);
  });

  test("a true copy can", async () => {
    const place = await newDatabase({ link: "copy" });
    await arrangeTables(place.db);
    const before = await snapshotOf(place.db);
    const id = await place.manager.createBackup(DirectoryCopy);
    for (const path of filesBelow(place.uri)) {
      if (path.startsWith("main.lance/")) truncateSync(join(place.uri, path), 10);
    }
    await place.manager.restoreBackup(id);
    expect(await snapshotOf(place.db)).toEqual(before);
  });
});

describe("what a directory copy is made of", () => {
  const shared = (place: TestDatabase, path: string) => {
    const live = filesBelow(place.uri).filter((file) => file.startsWith("main.lance/data/"));
    return live.map((file) => statSync(join(place.uri, file)).ino === statSync(join(path, file)).ino);
  };

  test.each([
    { link: "copy", links: false },
    { link: "hardlink", links: true },
  ] as const)("link: $link", async ({ link, links }) => {
    const place = await newDatabase({ link });
    await arrangeTables(place.db);
    const id = await place.manager.createBackup(DirectoryCopy);
    const same = shared(place, join(place.backupDir, id));
    expect(same.length).toBeGreaterThan(2);
    expect(new Set(same)).toEqual(new Set([links]));
  });

  test("link: auto shares bytes where the file system can", async () => {
    const place = await newDatabase({ link: "auto" });
    await arrangeTables(place.db);
    const id = await place.manager.createBackup(DirectoryCopy);
    const canReflink = await place
      .newManager({ link: "reflink" })
      .createBackup(DirectoryCopy)
      .then(
        () => true,
        (error: unknown) => !(error instanceof UnsupportedError),
      );
    expect(new Set(shared(place, join(place.backupDir, id)))).toEqual(new Set([!canReflink]));
  });

  test("LanceDB opens it as it is, every version of it, without looking at the original", async () => {
    const place = await newDatabase();
    await arrangeTables(place.db);
    const before = await snapshotOf(place.db);
    const versions = await (await place.db.openTable("main")).listVersions();
    const id = await place.manager.createBackup(DirectoryCopy);
    rmSync(place.uri, { recursive: true });
    const copy = await connect(join(place.backupDir, id));
    expect(await snapshotOf(copy)).toEqual(before);
    const table = await copy.openTable("main");
    expect((await table.listVersions()).map(({ version }) => version)).toEqual(
      versions.map(({ version }) => version),
    );
    for (const { version } of versions) {
      await table.checkout(version);
      await table.query().toArray();
    }
  });

  test("files that LanceDB does not know of are neither taken nor touched", async () => {
    const place = await newDatabase();
    await arrangeTables(place.db);
    writeFileSync(join(place.uri, "notes.txt"), "mine");
    mkdirSync(join(place.uri, "my-directory"));
    writeFileSync(join(place.uri, "main.lance", "data", ".tmpAbCdEf"), "left by a killed process");
    const id = await place.manager.createBackup(DirectoryCopy);
    expect(readdirSync(join(place.backupDir, id)).sort()).toEqual([
      "backup.json",
      "main.lance",
      "other.lance",
    ]);
    expect(filesBelow(join(place.backupDir, id)).some((path) => path.includes(".tmp"))).toBe(false);
    await place.manager.restoreBackup(id);
    expect(await readFile(join(place.uri, "notes.txt"), "utf8")).toBe("mine");
  });
});

describe("backups that are found, moved or damaged", () => {
  test("a backup that was edited by hand is refused, and the others stay listed", async () => {
    const place = await newDatabase();
    await arrangeTables(place.db);
    const [bad, good] = [
      await place.manager.createBackup(DirectoryCopy),
      await place.manager.createBackup(DirectoryCopy),
    ];
    rmSync(place.uri, { recursive: true });
    const path = join(place.backupDir, bad, "backup.json");
    await writeFile(path, (await readFile(path, "utf8")).replace('"main.lance"', '"../../x.lance"'));
    expect((await place.manager.listBackups()).map(({ id }) => id)).toEqual([good]);
    expect(place.logged.some(({ level, meta }) => level === "warn" && meta?.["backup"] === bad)).toBe(true);
    await expect(place.manager.restoreBackup(bad)).rejects.toMatchObject({ code: "CORRUPT" });
    await place.manager.restoreBackup(good);
  });

  test("a backup of another database is not taken for one of this", async () => {
    const [mine, theirs] = [await newDatabase(), await newDatabase()];
    await makeSampleTable(mine.db, "main");
    await makeSampleTable(theirs.db, "main", { rows: 4 });
    const id = await theirs.manager.createBackup(DirectoryCopy);
    const manager = mine.newManager({ backupDir: theirs.backupDir });
    expect(await manager.listBackups()).toEqual([]);
    await expect(manager.restoreBackup(id)).rejects.toThrow(ValidationError);
    await expect(manager.cleanupBackup(id)).rejects.toThrow(ValidationError);
    await theirs.manager.restoreBackup(id);
  });

  test("strange things in the backup directory are left alone", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    mkdirSync(join(place.backupDir, "holiday-pictures"), { recursive: true });
    writeFileSync(join(place.backupDir, "holiday-pictures", "1.jpg"), "…");
    writeFileSync(join(place.backupDir, "backup_1"), "a file");
    const id = await place.manager.createBackup(DirectoryCopy);
    expect((await place.manager.listBackups()).map((info) => info.id)).toEqual([id]);
    await place.manager.withBackup(DirectoryCopy, async (db) => (await db.openTable("main")).delete("true"));
    await place.manager.cleanupBackup(id);
    expect(readdirSync(place.backupDir).sort()).toEqual(["backup_1", "holiday-pictures"]);
    await expect(place.manager.cleanupBackup("holiday-pictures")).rejects.toThrow(BackupNotFoundError);
  });

  test("names that are taken in the backup directory are passed over", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    const now = Math.floor(Date.now() / 1000);
    for (let second = now; second < now + 20; second++) {
      mkdirSync(join(place.backupDir, `backup_${second}`), { recursive: true });
      writeFileSync(join(place.backupDir, `backup_${second}`, "theirs"), "");
    }
    const id = await place.manager.createBackup(DirectoryCopy);
    expect(id).toMatch(/^backup_\d+_\d+$/);
    expect(basename((await place.manager.listBackups())[0]?.path ?? "")).toBe(id);
    expect(existsSync(join(place.backupDir, id, "theirs"))).toBe(false);
  });
});
