// Mastra's vector store on its own LanceDB (0.21), guarded, in an application that has another: node main.mjs [database]
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { LanceVectorStore } from "@mastra/lance";
import { BackupManager, Repository } from "lancedb-backup";

// Mastra's copy, not the application's: a table that a newer LanceDB makes, an older one cannot read.
const lancedb = createRequire(import.meta.resolve("@mastra/lance"))("@lancedb/lancedb");

const [uri = "data/mastra", die] = process.argv.slice(2);
const manager = new BackupManager({ uri, backupDir: `${uri}-backups`, lancedb });
const store = await LanceVectorStore.create(uri);
const rows = (...ids) => ids.map((id) => ({ id, vector: [id.length, 1, 2, 3], metadata: { name: id } }));
const vectors = (ids) => ({ tableName: "docs", ids, vectors: ids.map((id) => [id.length, 0, 0, 1]) });
const namesIn = async (from) => {
  const found = await from.query({ tableName: "docs", queryVector: [1, 0, 0, 1], topK: 9 });
  return found.map(({ id }) => id).sort();
};

// Its store connects by itself and takes no connection, so every commit of that time counts as the work's own. Nobody
// else may write meanwhile; other guarded work waits.
const guarded = (work) => manager.withBackup(work, { adopt: "all" });

const overwrite = async (...ids) =>
  store.upsert({ ...vectors(ids), metadata: ids.map((name) => ({ name })) });
const dieHalfWay = () => process.kill(process.pid, "SIGKILL");
if (die) await guarded(() => overwrite("lost").then(dieHalfWay));

await guarded(() => store.createTable("docs", rows("ants", "bees")));
assert.deepEqual(await namesIn(store), ["ants", "bees"]);

// A failure in the middle. (This version's upsert writes over the whole table: the more it is worth to have it back.)
const half = () => overwrite("cats").then(() => store.createTable("more", [])); // no rows, no table
await assert.rejects(guarded(half));
assert.deepEqual([await namesIn(store), await store.listTables()], [["ants", "bees"], ["docs"]]);

// A death in the middle: whoever comes next takes it back.
assert.equal(spawnSync(process.execPath, [import.meta.filename, uri, "die"]).signal, "SIGKILL");
const { entries } = await manager.recover();
assert.deepEqual([entries[0].action, await namesIn(store)], ["rolled-back", ["ants", "bees"]]);

// A snapshot, and a copy of the database from it.
const repository = await Repository.init(`${uri}-vault`, { lancedb });
const { id } = await repository.backup({ source: uri });
await guarded(() => overwrite("elks"));
await repository.restore(id, { target: `${uri}-restored` });
const restored = await LanceVectorStore.create(`${uri}-restored`);
assert.deepEqual([await namesIn(store), await namesIn(restored)], [["elks"], ["ants", "bees"]]);
console.log("Guarded, rolled back, recovered, backed up and restored.");
