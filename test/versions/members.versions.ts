import assert from "node:assert/strict";
import { test } from "node:test";
import { type Connection, connect, type Table } from "@lancedb/lancedb";
import { BackupManager } from "lancedb-backup";
import { arrange, newPlace } from "./place.ts";
import { namesOf } from "./work.ts";

const logger = { debug: () => 0, info: () => 0, warn: () => 0, error: () => 0 };

/** Members that some version has, so that none of them appears where LanceDB lacks it. */
const LATER = [
  [
    "createNamespace",
    "dropNamespace",
    "listNamespaces",
    "describeNamespace",
    "cloneTable",
    "createMaterializedView",
  ],
  ["branches", "currentBranch", "updateFieldMetadata", "setUnenforcedPrimaryKey", "setLsmWriteSpec"],
  ["unsetLsmWriteSpec", "createIndexAsync", "refreshColumn", "refreshMaterializedView", "blobColumns"],
  ["useIndex", "useLsm", "useLsmWrite", "validateSingleShard", "dropTableAsync", "openMaterializedView"],
].flat();

function assertSame(guarded: object, plain: object): void {
  const names = namesOf(plain);
  for (const name of [...names, ...LATER]) {
    assert.equal(name in guarded, names.has(name), name);
    if (name === "inner") continue; // which guarded work hands to nobody
    assert.equal(typeof Reflect.get(guarded, name), typeof Reflect.get(plain, name, plain), name);
  }
}

test("guarded connections, tables and merges have the members that plain ones have, and no others", async () => {
  using place = newPlace();
  await arrange(place.uri);
  await using manager = new BackupManager({ uri: place.uri, backupDir: `${place.directory}/b`, logger });
  const plain = await connect(place.uri);
  await manager.withBackup(async (db: Connection) => {
    assertSame(db, plain);
    const [guarded, table]: Table[] = [await db.openTable("main"), await plain.openTable("main")];
    assert.ok(guarded && table);
    assertSame(guarded, table);
    assertSame(guarded.mergeInsert("id"), table.mergeInsert("id"));
    assertSame(await guarded.tags(), await table.tags());
    for await (const batch of guarded.query()) assert.ok(batch.numRows > 0);
  });
});
