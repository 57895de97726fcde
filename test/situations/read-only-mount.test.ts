import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "@lancedb/lancedb";
import { expect, onTestFinished, test } from "vitest";
import { Repository, type SnapshotDetails } from "../../src/repository/index.ts";
import { silent } from "../crash/silent.ts";
import { newDatabase, recordingLogger, type TestDatabase } from "../support/database.ts";
import { startProcess } from "../support/other-process.ts";

// A backup by who can only read the database: another user, or from a read-only mount.

const NOBODY = 65_534;
const isRoot = process.getuid?.() === 0;

interface Place extends TestDatabase {
  /** Where the database can be read, and not written to. */
  readonly mounted: string;
  readonly repository: Repository;
}

/** Tables alpha and zeta with a row each, which guarded work moves from one to the other; undefined without mounts. */
async function readOnlyPlace(): Promise<Place | undefined> {
  const place = await newDatabase();
  const mounted = join(place.directory, "mounted");
  mkdirSync(mounted);
  await place.db.createTable("alpha", [{ id: 1 }]);
  await place.db.createTable("zeta", [{ id: 1 }]);
  await place.manager.withBackup("lance-version", async (db) => {
    for (const name of ["alpha", "zeta"]) await (await db.openTable(name)).add([{ id: 2 }]); // they have locks
  });
  try {
    execFileSync("mount", ["--bind", place.uri, mounted], { stdio: "pipe" });
    onTestFinished(() => void execFileSync("umount", ["-l", mounted]));
    execFileSync("mount", ["-o", "remount,ro,bind", mounted], { stdio: "pipe" });
  } catch (error) {
    console.warn(`skipped, since nothing can be mounted read-only here: ${error}`);
    return undefined;
  }
  const repository = await Repository.init(join(place.directory, "repository"), { logger: silent });
  return { ...place, mounted, repository };
}

const rowsOf = ({ tables }: SnapshotDetails) =>
  Object.fromEntries(tables.filter(({ id }) => id !== "__manifest").map(({ id, rows }) => [id, rows]));

/** Guarded work in a process of its own that takes a row from zeta, waits, and adds it to alpha. */
const mover = ({ uri, backupDir }: TestDatabase) =>
  startProcess(`
    const manager = new BackupManager(${JSON.stringify({ uri, backupDir })});
    await manager.withBackup("lance-version", async (db) => {
      await (await db.openTable("zeta")).delete("id = 2");
      print("deleted");
      await goOn();
      await (await db.openTable("alpha")).add([{ id: 3 }]);
    });`);

test("guarded work is waited for, and the snapshot says how it was taken", async () => {
  const place = await readOnlyPlace();
  if (!place) return;
  const { mounted, repository, uri } = place;
  const work = mover(place);
  await work.line("deleted");
  let isOver = false;
  const backup = repository.backup({ source: mounted }).finally(() => {
    isOver = true;
  });
  await sleep(300);
  expect(isOver).toBe(false);
  work.goOn();
  await work.ended();
  const snapshot = await backup;
  expect(rowsOf(snapshot)).toEqual({ alpha: 3, zeta: 1 });
  expect(snapshot.taken).toBe("read-only");
  expect((await repository.get(snapshot.id)).taken).toBe("read-only");
  expect((await repository.backup({ source: uri })).taken).toBe("locked");
});

test("an id that is made of the path is warned of, at each backup, until one is given", async () => {
  const place = await readOnlyPlace();
  if (!place) return;
  const { mounted } = place;
  const { logger, logged } = recordingLogger();
  const repository = await Repository.open(join(place.directory, "repository"), { logger });
  const about = () => logged.splice(0).filter(({ message }) => message.includes("sourceId"));
  for (let turn = 0; turn < 2; turn++) {
    const { source } = await repository.backup({ source: mounted });
    expect(about()).toMatchObject([{ level: "warn", meta: { database: mounted, id: source.id } }]);
  }
  await repository.backup({ source: mounted, sourceId: "orders" });
  expect(about()).toEqual([]);
});

test("work that does not end in time is an error that names it, and no snapshot", async () => {
  const place = await readOnlyPlace();
  if (!place) return;
  const { mounted, repository } = place;
  const work = mover(place);
  await work.line("deleted");
  await expect(repository.backup({ source: mounted, lockTimeoutMs: 100 })).rejects.toMatchObject({
    code: "LOCKED",
    message: expect.stringContaining(`process ${work.child.pid} on`),
  });
  expect(await repository.list()).toEqual([]);
});

test("what a dead process left half-written is refused until it is rolled back", async () => {
  const place = await readOnlyPlace();
  if (!place) return;
  const { mounted, repository, manager } = place;
  const work = mover(place);
  await work.line("deleted");
  const backup = repository.backup({ source: mounted }).catch((error: unknown) => error);
  work.child.kill("SIGKILL"); // in the wait
  expect(await backup).toMatchObject({
    code: "LOCKED",
    message: expect.stringMatching(/Table zeta .*recover\(\)/),
  });
  await manager.recover();
  expect(rowsOf(await repository.backup({ source: mounted }))).toEqual({ alpha: 2, zeta: 2 });
});

test("guarded work that comes while tables are read makes the reading begin again", async () => {
  const place = await readOnlyPlace();
  if (!place) return;
  const { mounted, repository, manager } = place;
  let stop = false;
  const writer = (async () => {
    for (let id = 10; !stop; id++) {
      await manager.withBackup("lance-version", async (db) => {
        for (const name of ["zeta", "alpha"]) await (await db.openTable(name)).add([{ id }]);
      });
      await sleep(20);
    }
  })();
  for (let round = 0; round < 5; round++) {
    const { alpha, zeta } = rowsOf(await repository.backup({ source: mounted }));
    expect(alpha).toBe(zeta);
  }
  stop = true;
  await writer;
});

test.runIf(isRoot)("another user waits, refuses and says so as well", async () => {
  const place = await newDatabase();
  const { directory, uri } = place;
  for (const name of ["alpha", "zeta"]) await place.db.createTable(name, [{ id: 1 }, { id: 2 }]);
  chmodSync(directory, 0o777);
  const backup = () =>
    startProcess(
      `const location = ${JSON.stringify(join(directory, "repository"))};
       const repository = await Repository.open(location).catch(() => Repository.init(location));
       print("ready");
       const { taken, tables } = await repository.backup({ source: ${JSON.stringify(uri)} });
       print(JSON.stringify([taken, ...tables.map(({ rows }) => rows)]));`,
      undefined,
      NOBODY,
    );
  const work = mover(place);
  await work.line("deleted");
  const waiting = backup();
  await waiting.line("ready");
  await sleep(300);
  work.goOn();
  expect(await waiting.ended()).toContain('["read-only",3,1]');
  const killed = mover(place);
  await killed.line("deleted");
  killed.child.kill("SIGKILL");
  await killed.ended();
  expect(await backup().ended()).toMatch(/FAILED LOCKED Table zeta .*recover\(\)/);
  const journal = join(uri, ".lancedb-backup", "journal");
  for (const entry of readdirSync(journal)) chmodSync(join(journal, entry), 0o700);
  expect(await backup().ended()).toMatch(/FAILED IO .*permission denied/); // it might be armed
  await (await connect(uri)).openTable("zeta");
});
