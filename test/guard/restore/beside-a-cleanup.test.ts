import { readdirSync, rmSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { BackupStrategy } from "../../../src/index.ts";
import { newDatabase } from "../../support/database.ts";
import { newestManifest } from "../../support/files.ts";

// `optimize` of another process compacts, decides which files only old versions need, and removes them: it may have
// decided before a restore commits, and remove afterwards.

test.each(Object.values(BackupStrategy))(
  "what a cleanup takes after the restore has committed comes back, %s",
  async (strategy) => {
    const place = await newDatabase();
    const dataset = join(place.uri, "t.lance");
    const other = await (await connect(place.uri)).createTable("t", [{ id: 1 }]);
    await other.add([{ id: 2 }]);
    const id = await place.manager.createBackup(strategy);
    const old = readdirSync(join(dataset, "data"));
    await other.add([{ id: 3 }]);
    await other.optimize();
    // The machine may be slow: the compaction is not older than this when the cleanup is played.
    const soon = new Date(Date.now() + 3_000);
    utimesSync(newestManifest(dataset), soon, soon);
    const before = newestManifest(dataset);
    const restored = place.manager.restoreBackup(id);
    while (newestManifest(dataset) === before) await sleep(5);
    await sleep(300);
    for (const name of old) rmSync(join(dataset, "data", name));
    await restored;
    const table = await (await connect(place.uri)).openTable("t");
    expect((await table.query().toArray()).map((row) => Number(row.id)).sort()).toEqual([1, 2]);
  },
);
