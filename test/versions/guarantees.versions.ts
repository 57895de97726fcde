import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { connect, Index } from "@lancedb/lancedb";
import {
  BackupManager,
  BackupStrategy,
  createIndexesWithBackup,
  deleteRowsWithBackup,
  insertRecordsWithBackup,
} from "lancedb-backup";
import { arrange, killWhenReady, newPlace, stateAt, stateOf } from "./place.ts";
import { abilitiesOf, Failure, WORKS } from "./work.ts";

const logger = { debug: () => 0, info: () => 0, warn: () => 0, error: () => 0 };
/** Of these, and the rest of them in turn, the process is killed. */
const KILLED = [
  "several writes",
  "drop a table and make it anew",
  "make a table",
  "make a table over one",
  "merge",
];

for (const strategy of Object.values(BackupStrategy)) {
  for (const { name, run, isThere } of WORKS) {
    test(`${strategy}: ${name}: all of it or nothing`, async (t) => {
      using place = newPlace();
      const { uri } = place;
      await arrange(uri);
      if (isThere && !isThere(await abilitiesOf(uri))) return t.skip("not in this LanceDB");
      const before = await stateAt(uri);
      await using manager = new BackupManager({
        uri,
        backupDir: join(place.directory, "b"),
        strategy,
        logger,
      });
      const failed = manager.withBackup(async (db) => {
        await run(db);
        throw new Failure();
      });
      await assert.rejects(failed, Failure);
      assert.deepEqual(await stateAt(uri), before, "after a failure");
      using other = newPlace();
      await arrange(other.uri);
      const plain = await connect(other.uri);
      // With an empty path LanceDB below 0.22 takes no notice of the options, and refuses.
      const isRefused = await run(plain).then(
        () => false,
        () => true,
      );
      await manager.withBackup(run);
      if (!isRefused) assert.deepEqual(await stateAt(uri), await stateOf(plain), "after a success");
      assert.deepEqual(await manager.listBackups(), []);
    });
  }

  for (const name of KILLED) {
    test(`${strategy}: ${name}: killed, and recovered`, async () => {
      using place = newPlace();
      const { uri } = place;
      await arrange(uri);
      const before = await stateAt(uri);
      const backupDir = join(place.directory, "b");
      await killWhenReady("program.ts", [uri, backupDir, strategy, name]);
      await using manager = new BackupManager({ uri, backupDir, strategy, logger });
      const { entries } = await manager.recover();
      assert.deepEqual(
        entries.map(({ action }) => action),
        ["rolled-back"],
      );
      assert.deepEqual(await stateAt(uri), before);
    });
  }

  test(`${strategy}: a backup by hand comes back`, async () => {
    using place = newPlace();
    const { uri } = place;
    await arrange(uri);
    const before = await stateAt(uri);
    await using manager = new BackupManager({ uri, backupDir: join(place.directory, "b"), strategy, logger });
    const id = await manager.createBackup();
    const db = await connect(uri);
    await (await db.openTable("main")).delete("id > 3");
    await db.dropTable("other");
    await manager.restoreBackup(id);
    assert.deepEqual(await stateAt(uri), before);
    await manager.cleanupBackup(id);
  });

  test(`${strategy}: the helpers`, async () => {
    using place = newPlace();
    const { uri } = place;
    await arrange(uri);
    await using manager = new BackupManager({ uri, backupDir: join(place.directory, "b"), strategy, logger });
    const made = [{ id: 1, text: "a", vector: [1, 2] }];
    await insertRecordsWithBackup(made, { table: "made", manager });
    const upserted = await insertRecordsWithBackup(
      [
        { id: 1, text: "b" },
        { id: 2, text: "c" },
      ],
      {
        table: "made",
        mergeOn: "id",
        manager,
      },
    );
    assert.deepEqual([upserted.insertedRows, upserted.updatedRows], [1, 1]);
    const deleted = await deleteRowsWithBackup([1, 77], { table: "made", key: "id", manager });
    assert.equal(deleted.deletedRows, 1);
    const none = await deleteRowsWithBackup([77], { table: "made", key: "id", manager });
    assert.equal(none.deletedRows, 0);
    const specs = [{ column: "id", config: Index.btree() }];
    const { indexes } = await createIndexesWithBackup("made", specs, { manager });
    assert.deepEqual(indexes, ["id_idx"]);
  });
}
