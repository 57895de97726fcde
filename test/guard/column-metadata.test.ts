import { readFileSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { Field, Int32, Schema, Utf8 } from "apache-arrow";
import { expect, test } from "vitest";
import { BackupStrategy } from "../../src/index.ts";
import { parseManifest } from "../../src/lance/manifest.ts";
import { newDatabase } from "../support/database.ts";
import { newestManifest } from "../support/files.ts";
import { snapshotOf } from "../support/snapshot.ts";

// Lance writes the metadata of a column in another order at each commit.

const STRATEGIES = [BackupStrategy.DirectoryCopy, BackupStrategy.LanceVersion] as const;
const METADATA = new Map(Array.from({ length: 6 }, (_, index) => [`key ${index}`, `value ${index}`]));

async function place() {
  const made = await newDatabase();
  const schema = new Schema([
    new Field("id", new Int32(), true, METADATA),
    new Field("text", new Utf8(), true, METADATA),
  ]);
  const table = await made.db.createEmptyTable("a", schema);
  await table.add([{ id: 1, text: "one" }]);
  return { ...made, table };
}

test("the order of a column's metadata changes from commit to commit", async () => {
  const { uri, table } = await place();
  const fields = async () => {
    await table.add([{ id: 2, text: "two" }]);
    const manifest = newestManifest(join(uri, "a.lance"));
    const { message } = parseManifest(readFileSync(manifest), await table.version(), manifest);
    return Buffer.concat(message.fields).toString("hex");
  };
  const seen = new Set<string>();
  for (let commit = 0; commit < 20; commit++) seen.add(await fields());
  expect(seen.size).toBeGreaterThan(1);
});

test.for(STRATEGIES)(
  "guarded work that fails on a table whose columns have much metadata, %s",
  async (strategy) => {
    const { db, manager, table } = await place();
    const before = await snapshotOf(db);
    for (let round = 0; round < 3; round++) {
      const failing = manager.withBackup(strategy, async (guarded) => {
        await (await guarded.openTable("a")).add([{ id: 3, text: "half" }]);
        throw new Error("on purpose");
      });
      await expect(failing).rejects.toThrow("on purpose");
      await table.checkoutLatest();
      expect(await snapshotOf(db)).toEqual(before);
    }
  },
);

test.for(STRATEGIES)("a backup of it is restored, %s", async (strategy) => {
  const { db, manager, table } = await place();
  const before = await snapshotOf(db);
  const backup = await manager.createBackup(strategy);
  for (let round = 0; round < 3; round++) {
    await table.add([{ id: 4, text: "later" }]);
    await manager.restoreBackup(backup);
    await table.checkoutLatest();
    expect(await snapshotOf(db)).toEqual(before);
  }
});

test("a column that LanceDB computes", async () => {
  const { db, manager, table } = await place();
  await table.addColumns([{ name: "twice", valueSql: "id * 2" }]);
  const before = await snapshotOf(db);
  const failing = manager.withBackup(BackupStrategy.LanceVersion, async (guarded) => {
    const inside = await guarded.openTable("a");
    await inside.update({ where: "id = 1", values: { text: "changed" } });
    await inside.addColumns([{ name: "thrice", valueSql: "id * 3" }]);
    throw new Error("on purpose");
  });
  await expect(failing).rejects.toThrow("on purpose");
  await table.checkoutLatest();
  expect(await snapshotOf(db)).toEqual(before);
});

test("a damaged newest manifest of it is moved aside", async () => {
  const { uri, manager, table } = await place();
  await table.add([{ id: 5, text: "lost" }]);
  const lost = await table.version();
  truncateSync(newestManifest(join(uri, "a.lance")), 10);
  const { healed } = await manager.recover();
  expect(healed).toMatchObject([{ table: "a" }]);
  const opened = await (await manager.connection()).openTable("a");
  expect(await opened.countRows()).toBe(1);
  expect(await opened.version()).toBeGreaterThan(lost);
});
