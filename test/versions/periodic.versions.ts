import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { connect } from "@lancedb/lancedb";
import {
  applyDelta,
  loadBackup,
  PeriodicBackupManager,
  restoreLatest,
  UnsupportedError,
} from "lancedb-backup";
import { arrange, newPlace, rows, stateAt } from "./place.ts";
import { abilitiesOf } from "./work.ts";

const logger = { debug: () => 0, info: () => 0, warn: () => 0, error: () => 0 };

/** What a replay brings back: everything but tags. */
async function replayable(uri: string): Promise<unknown> {
  const state = await stateAt(uri);
  return Object.fromEntries(
    Object.entries(state).map(([name, table]) => [name, { ...(table as object), tags: [] }]),
  );
}

/** Files that the newest LanceDB has written: a full and two deltas. The second drops a table and deletes rows. */
const FILES = process.env["PERIODIC_FILES"];

test("files of the newest LanceDB are replayed", { skip: FILES === undefined }, async () => {
  using place = newPlace();
  const names = readdirSync(FILES ?? "").sort((a, b) =>
    (a.split("_")[2] ?? "").localeCompare(b.split("_")[2] ?? ""),
  );
  const [full = "", ...deltas] = names.map((name) => join(FILES ?? "", name));
  const made = join(place.directory, "made");
  (await loadBackup(full, made, { logger })).close();
  for (const delta of deltas) await applyDelta(made, delta, { logger });
  const latest = join(place.directory, "latest");
  const summary = await restoreLatest(FILES ?? "", latest, { logger });
  assert.deepEqual(await stateAt(latest), await stateAt(made));
  assert.deepEqual(summary.tables, { main: 51 });
});

test("a full and its deltas lead back, or are refused by name", async () => {
  using place = newPlace();
  const { uri } = place;
  await arrange(uri);
  const backupDir = join(place.directory, "p");
  await using manager = new PeriodicBackupManager({ uri, backupDir, incremental: true, logger });
  // `cloneTable` came a step later than what is needed here: `_rowaddr`.
  if (!(await abilitiesOf(uri)).connection.has("cloneTable")) {
    await assert.rejects(manager.backupFull(), (error) => {
      return error instanceof UnsupportedError && error.message.includes("LanceDB 0.22 or newer");
    });
    return;
  }
  await manager.backupFull();
  const db = await connect(uri);
  const main = await db.openTable("main");
  await main.add(rows(500, 505));
  await main.delete("id < 4");
  await main.update({ where: "id = 500", values: { text: "changed" } });
  await manager.backupDelta();
  await db.dropTable("other");
  await manager.backupDelta();
  const target = join(place.directory, "latest");
  await restoreLatest(backupDir, target, { logger });
  assert.deepEqual(await replayable(target), await replayable(uri));
});
