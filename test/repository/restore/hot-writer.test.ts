import { fork } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { connect, type Table } from "@lancedb/lancedb";
import { expect, onTestFinished, test } from "vitest";
import { takeSnapshot as backup } from "../../../src/repository/take-snapshot.ts";
import { LanceCatalog } from "../../../src/sources/lancedb/lance-catalog.ts";
import { restoreTest } from "../../../src/sources/lancedb/restore-test/restore-test.ts";
import { lancedb } from "../../support/database.ts";
import { blobsOf } from "../lance-parts.ts";
import { silent } from "../sound.ts";
import { newRestorePlace, type RestorePlace, restoreTo } from "./kinds.ts";

// Another process adds, deletes, compacts and cleans up without pause. In every version each of its batches is there
// in full or not at all.

const nightly = process.env["NIGHTLY"] === "1";
const BACKUPS = nightly ? 200 : 50;
const RESTORES = nightly ? 100 : 10;

test("every backup taken beside a writer is restored, and read in full in each of its versions", async () => {
  const place = await newRestorePlace();
  const stop = await startWriter(place);
  const context = { blobs: blobsOf(place.storage), logger: silent, lancedb };
  const catalog = new LanceCatalog({ storage: place.storage, logger: silent });
  const ids: string[] = [];
  for (let n = 0; n < BACKUPS; n++) {
    const previous = (source: { id: string }) => catalog.stored.newestOf(source);
    const snapshot = await backup(
      { ...context, previous },
      { source: place.uri, history: n % 2 ? "all" : "latest" },
    );
    ids.push(snapshot.id);
  }
  expect(await stop()).toBeGreaterThan(0);
  const newest = new Set<number>();
  for (const [n, id] of ids.entries()) {
    const content = await catalog.content(id);
    const target = join(place.directory, `restored-${n}`);
    await restoreTo(place.storage, content, { target, link: n % 3 === 0 });
    newest.add(await readEveryVersion(target));
    rmSync(target, { recursive: true });
    const results = await restoreTest(context, content);
    expect(results).toEqual([{ table: "main", ok: true, details: expect.any(String) }]);
  }
  expect(newest.size).toBeGreaterThan(BACKUPS / 5); // or the writer was not hot
});

test("restores in place beside a writer leave a table that is whole", async () => {
  const place = await newRestorePlace();
  const stop = await startWriter(place);
  const context = { blobs: blobsOf(place.storage), logger: silent, lancedb };
  for (let n = 0; n < RESTORES; n++) {
    const { id } = await backup(
      { ...context, previous: async () => undefined },
      { source: place.uri, history: "latest" },
    );
    const content = await new LanceCatalog({ storage: place.storage, logger: silent }).content(id);
    const report = await restoreTo(place.storage, content, { target: place.uri, mode: "in-place" });
    expect(report.tables.map((table) => table.id)).toEqual(["main"]);
    await readLive(place.uri);
  }
  expect(await stop()).toBeGreaterThan(0);
  await readLive(place.uri);
});

/** Starts the writer; answers with what ends it, which tells how often it committed. */
async function startWriter({ db, uri }: RestorePlace): Promise<() => Promise<number>> {
  await db.createTable("main", [{ batch: -1, row: 0, text: "the first" }]);
  const child = fork(join(import.meta.dirname, "../../support/hot-writer.ts"), [uri], {
    env: { ...process.env, LANCEDB_LOG: "error" },
    execArgv: [],
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const ended = once(child, "exit").then(([code]) =>
    Promise.reject(new Error(`the writer ended with ${code}`)),
  );
  ended.catch(() => undefined);
  await Promise.race([once(child, "message"), ended]);
  return async () => {
    child.send("stop");
    const [commits] = (await Promise.race([once(child, "message"), ended])) as [number];
    return commits;
  };
}

async function readEveryVersion(uri: string): Promise<number> {
  const db = await connect(uri);
  const table = await db.openTable("main");
  const newest = await table.version();
  for (const { version } of await table.listVersions()) {
    await table.checkout(version);
    await assertWhole(table);
  }
  db.close();
  return newest;
}

/** A cleanup may take the version that a reader has open; then the newest must do. */
async function readLive(uri: string): Promise<void> {
  const db = await connect(uri);
  for (let attempt = 1; ; attempt++) {
    try {
      await assertWhole(await db.openTable("main"));
      return db.close();
    } catch (error) {
      if (attempt === 20 || !/not found/i.test(String(error))) throw error;
    }
  }
}

async function assertWhole(table: Table): Promise<void> {
  const counts = new Map<number, number>();
  for (const { batch, row, text } of await table.query().toArray()) {
    if (batch >= 0) expect(text).toBe(`row ${row} of ${batch}`);
    counts.set(Number(batch), (counts.get(Number(batch)) ?? 0) + 1);
  }
  for (const [batch, count] of counts) expect([batch, count]).toEqual([batch, batch < 0 ? 1 : 10]);
}
