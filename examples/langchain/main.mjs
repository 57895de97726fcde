// LangChain's vector store on its own LanceDB (0.19), guarded: node main.mjs [database]
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as lancedb from "@lancedb/lancedb";
import { LanceDB } from "@langchain/community/vectorstores/lancedb";
import { SyntheticEmbeddings } from "@langchain/core/utils/testing";
import { BackupManager, Repository } from "lancedb-backup";

const [uri = "data/langchain", die] = process.argv.slice(2);
const embeddings = new SyntheticEmbeddings({ vectorSize: 8 });
const manager = new BackupManager({ uri, backupDir: `${uri}-backups`, lancedb });
const texts = (...names) => names.map((name) => ({ pageContent: `All about ${name}.`, metadata: { name } }));
const openTable = async (database) => (await lancedb.connect(database)).openTable("docs");
const count = async (database = uri) => (await openTable(database)).countRows();

// It takes a table: a guarded one. Others may write to the database meanwhile, and keep what they wrote.
const add = (documents, afterEach = () => undefined) =>
  manager.withBackup(async (db) => {
    const store = new LanceDB(embeddings, { table: await db.openTable("docs") });
    for (const document of documents) {
      await store.addDocuments([document]);
      afterEach(document);
    }
  });

if (die) await add(texts("lost", "too"), () => process.kill(process.pid, "SIGKILL"));

// With a uri it connects by itself, past the guard: so every commit of that time counts as the work's own.
const first = () => LanceDB.fromDocuments(texts("ants", "bees"), embeddings, { uri, tableName: "docs" });
await manager.withBackup(first, { adopt: "all" });
assert.equal(await count(), 2);

// A failure in the middle: the first of these is gone again, and the error is the work's own.
const refuse = () => assert.fail("the second document is refused");
await assert.rejects(add(texts("cats", "dogs"), refuse), /refused/);
const overwritten = async () => assert.fail((await first()).uri);
await assert.rejects(manager.withBackup(overwritten, { adopt: "all" }), assert.AssertionError);
assert.equal(await count(), 2);

// A death in the middle: whoever comes next takes it back.
assert.equal(spawnSync(process.execPath, [import.meta.filename, uri, "die"]).signal, "SIGKILL");
const { entries } = await manager.recover();
assert.deepEqual([entries[0].action, await count()], ["rolled-back", 2]);

// A snapshot, and a copy of the database from it.
const repository = await Repository.init(`${uri}-vault`, { lancedb });
const { id } = await repository.backup({ source: uri });
await add(texts("elks"));
await repository.restore(id, { target: `${uri}-restored` });
const restored = new LanceDB(embeddings, { table: await openTable(`${uri}-restored`) });
const [found] = await restored.similaritySearch("All about bees.", 1);
assert.deepEqual([await count(), await count(`${uri}-restored`), found.metadata.name], [3, 2, "bees"]);
console.log("Guarded, rolled back, recovered, backed up and restored.");
