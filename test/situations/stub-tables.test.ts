import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Connection } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { diagnose } from "../../src/doctor/diagnose.ts";
import { moveStub } from "../../src/guard/rollback/set-aside.ts";
import {
  BackupStrategy,
  insertRecordsWithBackup,
  PeriodicBackupManager,
  Repository,
} from "../../src/index.ts";
import { runInjected } from "../crash/injected.ts";
import { nightly, spread } from "../crash/workshop.ts";
import { newDatabase, recordingLogger, type TestDatabase } from "../support/database.ts";
import { dieInside } from "../support/die-inside.ts";
import { filesBelow } from "../support/files.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";

// Directories and files that LanceDB lists as tables and cannot open. What is in them is somebody's: it is there after
// all that fails, and never lost without a word.

const STUBS: Readonly<Record<string, (path: string) => void>> = {
  "an empty directory": (path) => mkdirSync(path),
  "only data": (path) => put(path, "data/other.lance"),
  "only indices": (path) => put(path, "_indices/one/other.idx"),
  "empty _versions": (path) => mkdirSync(join(path, "_versions"), { recursive: true }),
  "only a hint": (path) => put(path, "_versions/latest_version_hint.json"),
  "a file": (path) => writeFileSync(path, "mine"),
};

function put(directory: string, path: string): void {
  mkdirSync(join(directory, path, ".."), { recursive: true });
  writeFileSync(join(directory, path), "mine");
}

async function withStub(kind: string): Promise<TestDatabase & { stub: string; names: string[] }> {
  const place = await newDatabase();
  await makeSampleTable(place.db, "good");
  const stub = join(place.uri, "x.lance");
  STUBS[kind]?.(stub);
  makeOld(stub);
  return { ...place, stub, names: filesOf(stub) };
}

/** What was written to a moment ago may be a creation that is under way. */
function makeOld(path: string): void {
  if (lstatSync(path).isDirectory()) for (const name of readdirSync(path)) makeOld(join(path, name));
  const old = Date.now() / 1000 - 600;
  utimesSync(path, old, old);
}

/** The files of a stub, each held to its content. */
function filesOf(stub: string): string[] {
  if (!lstatSync(stub, { throwIfNoEntry: false })) return [];
  const names = lstatSync(stub).isFile() ? [""] : filesBelow(stub);
  for (const name of names) expect(readFileSync(join(stub, name), "utf8"), name).toBe("mine");
  return names;
}

const WORK: Readonly<Record<string, (db: Connection) => Promise<unknown>>> = {
  create: (db) => db.createTable("x", sampleRows(0, 3)),
  "create and drop": async (db) => {
    await db.createTable("x", sampleRows(0, 3));
    await db.dropTable("x");
  },
  "create, if it is not there": (db) => db.createTable("x", sampleRows(0, 3), { existOk: true }),
  "create by overwrite": (db) => db.createTable("x", sampleRows(0, 3), { mode: "overwrite" }),
  drop: (db) => db.dropTable("x"),
  "drop and create": async (db) => {
    await db.dropTable("x");
    await db.createTable("x", sampleRows(0, 3));
  },
  "drop all": (db) => db.dropAllTables(),
  "a creation that LanceDB refuses": (db) =>
    db.createTable("x", [{ a: 1 }, { a: "no" }]).catch(() => undefined),
};

describe.each(Object.keys(STUBS))("%s", (kind) => {
  test.each(Object.values(BackupStrategy))("%s: work that fails leaves it as it was", async (strategy) => {
    // LanceDB tries for seconds to write to a file.
    const short = kind === "a file" || strategy === "directory-copy";
    for (const [name, work] of Object.entries(WORK).filter(
      ([name]) => !short || name === "drop and create",
    )) {
      const place = await withStub(kind);
      const failing = place.manager.withBackup(strategy, async (db) => {
        await work(db);
        throw new Error("on purpose");
      });
      // On a file LanceDB itself fails.
      await expect(failing, name).rejects.toThrow(kind === "a file" ? /./ : "on purpose");
      expect(filesOf(place.stub), name).toEqual(place.names);
      expect(await (await place.db.openTable("good")).countRows(), name).toBe(39);
    }
  });

  test("what a killed work had moved is back", async () => {
    const place = await withStub(kind);
    if (kind === "a file") return;
    dieInside(place, 'await db.createTable("x", [{ id: 1 }]); await db.createTable("y", [{ id: 1 }])');
    await place.newManager().recover();
    expect(filesOf(place.stub)).toEqual(place.names);
    expect((await place.db.tableNames()).includes("y")).toBe(false);
  });

  test("a creation that succeeds makes a table of its own, and keeps the files aside", async () => {
    const place = await withStub(kind);
    if (kind === "a file") return;
    const { manager } = place;
    await insertRecordsWithBackup(sampleRows(0, 3), { table: "x", strategy: "lance-version", manager });
    expect(await (await place.db.openTable("x")).countRows()).toBe(3);
    const kept = place.logged.find(({ message }) => message.includes("moved aside"))?.meta?.["path"];
    expect(kept === undefined ? [] : filesOf(String(kept))).toEqual(place.names);
  });

  test("backups by hand, snapshots, periodic files and doctor", async () => {
    const place = await withStub(kind);
    for (const strategy of Object.values(BackupStrategy)) {
      const id = await place.manager.createBackup(strategy, { tables: ["good", "x"] });
      await place.manager.restoreBackup(id);
      expect(filesOf(place.stub)).toEqual(place.names);
      await place.manager.cleanupBackup(id);
    }
    const { logger, logged } = recordingLogger();
    await using repository = await Repository.init(join(place.directory, "repo"), { logger });
    const snapshot = await repository.backup({ source: place.uri });
    expect(snapshot.tables.map(({ id }) => id)).toEqual(["good"]);
    expect(logged.find(({ level }) => level === "warn")?.meta).toEqual({ names: ["x.lance"] });
    const { uri } = place;
    const backupDir = join(place.directory, "periodic");
    await using periodic = new PeriodicBackupManager({ uri, backupDir, logger: place.logger });
    await periodic.backupFull();
    expect(place.logged.at(-1)?.message ?? "").toBeTruthy();
    expect(place.logged.some(({ meta }) => JSON.stringify(meta)?.includes('"x.lance"'))).toBe(true);
    const { findings } = await diagnose({ uri });
    expect(findings.filter(({ about }) => /^x(\.lance)?$/.test(about))).toEqual([
      expect.objectContaining({
        level: "warning",
        details: expect.stringContaining("LanceDB lists it as a table"),
      }),
    ]);
  });

  test("a snapshot that has the table is restored over it; scrub says that the table is missing", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "x");
    await makeSampleTable(place.db, "good");
    await using repository = await Repository.init(join(place.directory, "repo"), { logger: place.logger });
    const snapshot = await repository.backup({ source: place.uri });
    const id = await place.manager.createBackup("directory-copy");
    for (const restore of [
      () => repository.restore(snapshot.id, { target: place.uri, mode: "in-place" }),
      () => place.manager.restoreBackup(id),
    ]) {
      await place.db.dropTable("x");
      const stub = join(place.uri, "x.lance");
      STUBS[kind]?.(stub);
      const names = filesOf(stub);
      expect((await repository.scrub(place.uri)).missingTables).toEqual(["x"]);
      await restore();
      expect(await (await place.db.openTable("x")).countRows()).toBe(39);
      const room = join(place.uri, ".lancedb-backup/aside");
      const aside = existsSync(room) ? filesBelow(room) : [];
      if (kind === "a file") expect(aside.length).toBe(1);
      else
        for (const name of names)
          expect(
            aside.some((path) => path.endsWith(name)),
            name,
          ).toBe(true);
      await place.db.dropTable("x");
      await place.db.createTable("x", [{ id: 1 }]);
      rmSync(room, { recursive: true, force: true });
    }
  });
});

test("a table that others made in it goes aside with it when a backup by hand is restored", async () => {
  const place = await withStub("only data");
  const id = await place.manager.createBackup("lance-version", { tables: ["x"] });
  await place.db.createTable("x", sampleRows(0, 3));
  await place.manager.restoreBackup(id);
  const others = join(place.uri, ".lancedb-backup/aside/others");
  expect(filesBelow(others).some((path) => path.endsWith("data/other.lance"))).toBe(true);
  expect(await place.db.tableNames()).toEqual(["good"]);
});

describe("a creation by others that is under way", () => {
  /** Its data are there, and its manifest is not yet. */
  async function underWay() {
    const place = await newDatabase();
    const elsewhere = await newDatabase();
    await makeSampleTable(elsewhere.db, "x");
    const [made, stub] = [join(elsewhere.uri, "x.lance"), join(place.uri, "x.lance")];
    cpSync(join(made, "data"), join(stub, "data"), { recursive: true });
    const names = readdirSync(join(stub, "data"));
    const complete = () => cpSync(made, stub, { recursive: true });
    return { ...place, stub, names, complete };
  }

  test("keeps its files when guarded work makes the table and fails, and can be completed", async () => {
    const { manager, db, stub, names, complete } = await underWay();
    const work = manager.withBackup("lance-version", async (guarded) => {
      const table = await guarded.createTable("x", [{ id: 1 }]);
      await table.add([{ id: 2 }]);
      expect(readdirSync(join(stub, "data"))).toEqual(expect.arrayContaining(names));
      throw new Error("on purpose");
    });
    await expect(work).rejects.toThrow("on purpose");
    expect(readdirSync(join(stub, "data"))).toEqual(names);
    expect(readdirSync(join(stub, "_versions"))).not.toContainEqual(expect.stringContaining(".manifest"));
    complete();
    expect(await (await db.openTable("x")).countRows()).toBe(39);
  });

  test("keeps its files aside when guarded work drops the table that it has made there", async () => {
    const { manager, uri, names, db } = await underWay();
    const work = manager.withBackup("lance-version", async (guarded) => {
      await guarded.createTable("x", [{ id: 1 }]);
      await guarded.dropTable("x");
      await guarded.createTable("x", [{ id: 1 }]);
      throw new Error("on purpose");
    });
    await expect(work).rejects.toThrow("on purpose");
    const kept = filesBelow(join(uri, ".lancedb-backup/aside/others"));
    for (const name of names) expect(kept.some((path) => path.endsWith(`data/${name}`))).toBe(true);
    expect(await db.tableNames()).toEqual([]);
  });

  test("is where it was when it has become a table while it was moved", async () => {
    const { db, uri, complete } = await underWay();
    complete();
    expect(await moveStub(uri, "x.lance", "others/a/x.lance")).toBe(undefined);
    expect(await (await db.openTable("x")).countRows()).toBe(39);
  });
});

test.each(["fails", "succeeds"] as const)(
  "work that %s, killed at steps of its own: the files are there or aside",
  async (end) => {
    const source = JSON.stringify(join(import.meta.dirname, "../../dist/index.js"));
    const run = async (at: number) => {
      const place = await withStub("only data");
      const { uri, backupDir, directory } = place;
      const program = `
      const { BackupManager } = await import(${source});
      const manager = new BackupManager(${JSON.stringify({ uri, backupDir })});
      await manager.withBackup("lance-version", async (db) => {
        await db.createTable("x", [{ id: 1 }]);
        await db.dropTable("x");
        await db.createTable("x", [{ id: 2 }]);
        if (${end === "fails"}) throw new Error("on purpose");
      }).catch(() => undefined);`;
      const argv = [process.execPath, "--input-type=module", "-e", program];
      const { calls, hit } = await runInjected(argv, { root: directory, at });
      await place.newManager().recover();
      const isTable =
        (await place.db.tableNames()).includes("x") && !existsSync(join(place.stub, "data/other.lance"));
      if (end === "fails" || !isTable) expect(filesOf(place.stub), `killed at ${hit}`).toEqual(place.names);
      else {
        const others = join(uri, ".lancedb-backup/aside/others");
        expect(
          filesBelow(others).some((path) => path.endsWith("data/other.lance")),
          `killed at ${hit}`,
        ).toBe(true);
        expect((await (await place.db.openTable("x")).query().toArray()).length).toBe(1);
      }
      expect(await (await place.db.openTable("good")).countRows()).toBe(39);
      return calls;
    };
    const steps = (await run(0)) ?? 0;
    expect(steps).toBeGreaterThan(50);
    for (const at of spread(steps - 1, nightly ? Number.POSITIVE_INFINITY : 4)) await run(at + 1);
  },
);

test.each([
  ["only data", "made, dropped and made", {}],
  ["only data", "made", {}],
  ["empty _versions", "made, dropped and made", {}],
  ["only data", "made, dropped and made", { adopt: "all" }],
] as const)(
  "%s, given back by a rollback that dies before it says so, is there after the next (%s, %j)",
  async (kind, work, options) => {
    const place = await withStub(kind);
    const { uri, backupDir } = place;
    const again = work === "made" ? "" : `await db.dropTable("x"); await db.createTable("x", [{ id: 2 }]);`;
    const program = `
      import fs from "node:fs";
      import { syncBuiltinESMExports } from "node:module";
      let isGoingBack = false;
      for (const [at, name] of [[fs, "renameSync"], [fs.promises, "rename"]]) {
        const real = at[name];
        at[name] = (from, ...to) => {
          if (isGoingBack && String(from).endsWith("armed.json")) process.kill(process.pid, "SIGKILL");
          return real(from, ...to);
        };
      }
      syncBuiltinESMExports();
      const { BackupManager } = await import(${JSON.stringify(join(import.meta.dirname, "../../dist/index.js"))});
      const manager = new BackupManager(${JSON.stringify({ uri, backupDir })});
      await manager.withBackup("lance-version", async (db) => {
        await db.createTable("x", [{ id: 1 }]);
        ${again}
        isGoingBack = true;
        throw new Error("on purpose");
      }, ${JSON.stringify(options)});`;
    const { signal, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
      encoding: "utf8",
    });
    expect([signal, stderr]).toEqual(["SIGKILL", expect.stringContaining("moved aside")]);
    expect(filesOf(place.stub)).toEqual(place.names);
    const { entries } = await place.newManager().recover();
    expect(entries.map(({ action }) => action)).toEqual(["rolled-back"]);
    expect(filesOf(place.stub)).toEqual(place.names);
  },
);
