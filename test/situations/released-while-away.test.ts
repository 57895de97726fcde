import { mkdirSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { LockedError, PeriodicBackupManager } from "../../src/index.ts";
import { LockSet } from "../../src/lance/lock/lock-set.ts";
import { alone } from "../../src/periodic/write/alone.ts";
import { Repository } from "../../src/repository/index.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { silent } from "../crash/silent.ts";
import { acquireLease } from "../repository/lease/leases.ts";
import { newDatabase, newDirectory } from "../support/database.ts";
import { startProcess } from "../support/other-process.ts";

// What is to be given back lies in a directory that is away just then (a remount, a network drive, a rename). When that
// is back, nobody waits for a process that has let go of it.

const goAway = (directory: string) => renameSync(directory, `${directory}-away`);
const comeBack = (directory: string) => renameSync(`${directory}-away`, directory);

const addOne = (place: { uri: string; backupDir: string }) => `
  const manager = new BackupManager(${JSON.stringify({ ...pick(place), lockTimeoutMs: 20_000 })});
  await manager.withBackup("lance-version", async (db) => void (await (await db.openTable("t")).add([{ id: 9 }])));
  print("SUCCESS");`;
const pick = ({ uri, backupDir }: { uri: string; backupDir: string }) => ({ uri, backupDir });

test("a table's lock is had at once by the process that let go of it, and soon by others", async () => {
  const place = await newDatabase();
  await place.db.createTable("t", [{ id: 1 }]);
  const first = new LockSet({ database: place.uri, timeoutMs: 0 });
  await first.acquire("t");
  goAway(place.uri);
  first.releaseAll();
  comeBack(place.uri);
  const second = new LockSet({ database: place.uri, timeoutMs: 0 });
  await second.acquire("t");
  goAway(place.uri);
  second.releaseAll();
  comeBack(place.uri);
  expect(await startProcess(addOne(place)).ended()).toContain("SUCCESS");
});

test("an operation that let go of one table holds its others still", async () => {
  const place = await newDatabase();
  const locks = new LockSet({ database: place.uri, timeoutMs: 0 });
  await place.db.createTable("t", [{ id: 1 }]);
  await locks.acquireAll(["t", "u"]);
  goAway(place.uri);
  locks.release("t");
  comeBack(place.uri);
  const other = new LockSet({ database: place.uri, timeoutMs: 50 });
  await other.acquire("t");
  await expect(other.acquire("u")).rejects.toThrow(LockedError);
  locks.releaseAll();
  other.releaseAll();
});

test("guarded work that ended while the database was away is rolled back by whoever comes next", async () => {
  const place = await newDatabase();
  await place.db.createTable("t", [{ id: 1 }]);
  const work = place.manager.withBackup("lance-version", async (db) => {
    await (await db.openTable("t")).add([{ id: 2 }]);
    goAway(place.uri);
  });
  await expect(work).rejects.toThrow(/away/);
  comeBack(place.uri);
  expect(await startProcess(addOne(place)).ended()).toContain("SUCCESS");
  const rows = (await (await place.db.openTable("t")).query().toArray()) as { id: number }[];
  expect(rows.map(({ id }) => id).sort()).toEqual([1, 9]);
});

test("what is to be swept while the database is away is swept by whoever comes next", async () => {
  const place = await newDatabase();
  await place.db.createTable("t", [{ id: 1 }]);
  const journal = join(place.uri, ".lancedb-backup", "journal");
  const logger = {
    ...silent,
    info: (message: string) => void (message === "guarded work succeeded" && goAway(place.uri)),
  };
  await place.newManager({ logger }).withBackup("lance-version", async (db) => {
    await (await db.openTable("t")).add([{ id: 2 }]);
  });
  comeBack(place.uri);
  expect(readdirSync(journal)).toHaveLength(1);
  expect(await startProcess(addOne(place)).ended()).toContain("SUCCESS");
  await place.manager.recover();
  expect(readdirSync(journal)).toEqual([]);
  const rows = (await (await place.db.openTable("t")).query().toArray()) as { id: number }[];
  expect(rows.map(({ id }) => id).sort()).toEqual([1, 2, 9]);
});

test("a repository's lease bars nobody in its process, and goes when the repository is back", async () => {
  const location = join(await newDirectory(), "repository");
  const repository = await Repository.init(location, { logger: silent });
  const lease = await acquireLease(new LocalStorage(location), "shared", { logger: silent });
  goAway(location);
  await lease.release();
  comeBack(location);
  const exclusive = await acquireLease(new LocalStorage(location), "exclusive", {
    logger: silent,
    timeoutMs: 0,
  });
  await exclusive.release();
  await repository.prune({ keepLast: 1, lockTimeoutMs: 0 });
  const leases = join(location, "leases");
  while (readdirSync(leases).length > 0) await sleep(20);
});

test("the turn of a periodic manager goes to the next one", async () => {
  const place = await newDatabase();
  await place.db.createTable("t", [{ id: 1 }]);
  const pins = join(place.uri, ".lancedb-backup", "pins", "x");
  mkdirSync(pins, { recursive: true });
  const options = { logger: silent, timeoutMs: 0 };
  await alone(pins, options, async () => goAway(place.uri));
  comeBack(place.uri);
  expect(await alone(pins, options, async () => "mine")).toBe("mine");
});

test("a manager stops while it waits for another one", async () => {
  const place = await newDatabase();
  await place.db.createTable("t", [{ id: 1 }]);
  const isWaiting = Promise.withResolvers<void>();
  const logger = {
    ...silent,
    info: (message: string) => void (message.includes("another manager") && isWaiting.resolve()),
  };
  const manager = new PeriodicBackupManager({ ...pick(place), logger, backupInterval: 0.01 });
  await manager.backupNow();
  const [directory = ""] = readdirSync(join(place.uri, ".lancedb-backup", "pins"));
  const pins = join(place.uri, ".lancedb-backup", "pins", directory);
  await alone(pins, { logger: silent, timeoutMs: 0 }, async () => {
    manager.start();
    await isWaiting.promise;
    await manager.stop();
  });
  expect(manager.consecutiveFailures).toBe(0);
});

test("a manager that waits for another one for too long has failed, and says so", async () => {
  const place = await newDatabase();
  await place.db.createTable("t", [{ id: 1 }]);
  const failures: Error[] = [];
  const manager = new PeriodicBackupManager({
    ...pick(place),
    logger: silent,
    lockTimeoutMs: 100,
    onBackupFailure: (error) => void failures.push(error),
  });
  await manager.backupNow();
  const [directory = ""] = readdirSync(join(place.uri, ".lancedb-backup", "pins"));
  const pins = join(place.uri, ".lancedb-backup", "pins", directory);
  const other = startProcess(`
    const { alone } = await import(${JSON.stringify(join(import.meta.dirname, "../../src/periodic/write/alone.ts"))});
    await alone(${JSON.stringify(pins)}, { logger: silent, timeoutMs: 0 }, async () => { print("mine"); await goOn(); });`);
  await other.line("mine");
  await expect(manager.backupNow()).rejects.toThrow(LockedError);
  expect(failures.map(({ message }) => message)).toEqual([
    expect.stringContaining(`process ${other.child.pid} on`),
  ]);
  await manager.stop();
  other.goOn();
  await other.ended();
  await manager.backupNow();
  expect(manager.consecutiveFailures).toBe(0);
});
