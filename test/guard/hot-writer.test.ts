import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { connect, type Table } from "@lancedb/lancedb";
import { expect, onTestFinished, test } from "vitest";
import { BackupStrategy } from "../../src/index.ts";
import { newDatabase, type TestDatabase } from "../support/database.ts";

// Another process adds, deletes, compacts and cleans up without pause. A walk over the directory gets a whole
// table in one of five cases then (docs/lance-facts.md); a backup must in every case.

const BACKUPS = process.env["NIGHTLY"] === "1" ? 1000 : 50;
const RESTORES = process.env["NIGHTLY"] === "1" ? 200 : 8;

test("every directory copy opens and reads in full, each of its versions", async () => {
  const place = await newDatabase();
  const stop = await startWriter(place);
  const newest = new Set<number>();
  for (let n = 0; n < BACKUPS; n++) {
    const id = await place.manager.createBackup(BackupStrategy.DirectoryCopy);
    newest.add(await readEveryVersion(join(place.backupDir, id)));
    await place.manager.cleanupBackup(id);
  }
  expect(newest.size).toBeGreaterThan(BACKUPS / 10); // or the writer was not hot
  expect(await stop()).toBeGreaterThan(0);
});

test("every lance-version pin opens and reads in full, also when all else was cleaned up", async () => {
  const place = await newDatabase();
  const stop = await startWriter(place);
  const ids: string[] = [];
  for (let n = 0; n < 30; n++) ids.push(await place.manager.createBackup(BackupStrategy.LanceVersion));
  await stop();
  const table = await place.db.openTable("main");
  await table.add([{ batch: 0, row: 0, text: "" }], { mode: "overwrite" });
  await table.optimize({ cleanupOlderThan: new Date(Date.now() + 60_000), deleteUnverified: true });
  for (const { path } of await place.manager.listBackups()) await readNewest(join(path, "pins"));
  for (const id of ids.filter((_, index) => index % 10 === 0)) {
    await place.manager.restoreBackup(id);
    await readLive(place.uri);
  }
});

test.each(Object.values(BackupStrategy))(
  "restores beside the writer leave a table that is whole, %s",
  async (strategy) => {
    const place = await newDatabase();
    const stop = await startWriter(place);
    for (let n = 0; n < RESTORES; n++) {
      const id = await place.manager.createBackup(strategy);
      await place.manager.restoreBackup(id);
      await readLive(place.uri);
      await place.manager.cleanupBackup(id);
    }
    await stop();
    await readLive(place.uri);
  },
);

/** Starts the writer; answers with what ends it, which tells how often it committed. */
async function startWriter({ db, uri }: TestDatabase): Promise<() => Promise<number>> {
  await db.createTable("main", [{ batch: -1, row: 0, text: "the first" }]);
  const child = fork(join(import.meta.dirname, "../support/hot-writer.ts"), [uri], {
    env: { ...process.env, LANCEDB_LOG: "error" },
    execArgv: [],
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const ended = once(child, "exit");
  await Promise.race([
    once(child, "message"),
    ended.then(() => Promise.reject(new Error("the writer ended"))),
  ]);
  return async () => {
    if (child.exitCode !== null) throw new Error(`the writer ended with ${child.exitCode}`);
    child.send("stop");
    const [commits] = (await Promise.race([
      once(child, "message"),
      ended.then(([code]) => Promise.reject(new Error(`the writer ended with ${code}`))),
    ])) as [number];
    await ended;
    return commits;
  };
}

/** A cleanup may take the version that a reader has open; then the newest must do. */
async function readLive(uri: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await readNewest(uri);
      return;
    } catch (error) {
      if (attempt === 30 || !/not found/i.test(String(error))) throw error;
    }
  }
}

async function readNewest(directory: string): Promise<number> {
  const db = await connect(directory);
  const table = await db.openTable("main");
  await readRows(table);
  const newest = await table.version();
  table.close();
  db.close();
  return newest;
}

async function readEveryVersion(directory: string): Promise<number> {
  const newest = await readNewest(directory);
  const db = await connect(directory);
  const table = await db.openTable("main");
  for (const { version } of await table.listVersions()) {
    await table.checkout(version);
    await readRows(table);
  }
  table.close();
  db.close();
  return newest;
}

/** Reads every row; each batch must be whole. */
async function readRows(table: Table): Promise<void> {
  const sizes = new Map<number, number>();
  const rows = await table.query().toArrow();
  const [batches, numbers, texts] = ["batch", "row", "text"].map((name) => rows.getChild(name));
  for (let index = 0; index < rows.numRows; index++) {
    const batch = Number(batches?.get(index));
    sizes.set(batch, (sizes.get(batch) ?? 0) + 1);
    if (batch > 0) expect(texts?.get(index)).toBe(`row ${numbers?.get(index)} of ${batch}`);
  }
  for (const [batch, size] of sizes) expect(size, `batch ${batch}`).toBe(batch > 0 ? 10 : 1);
}
