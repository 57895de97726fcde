import { readFileSync } from "node:fs";
import { connect, Index, type Table } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { arrow } from "../../src/arrow/arrow.ts";
import { makeIndices } from "../../src/periodic/index-records.ts";
import { applyDelta, loadBackup } from "../../src/periodic/replay/replay-file.ts";
import { restoreLatest } from "../../src/periodic/replay/restore-latest.ts";
import { lancedb } from "../support/database.ts";
import { Place, rowsOf, tableOf } from "./harness.ts";

test("indices are made anew, and one that cannot be is a warning", async () => {
  await using place = new Place();
  const table = await (await place.db()).createTable("a", rowsOf([1, 2, 3]));
  await table.createIndex("id", { config: Index.btree() });
  await table.createIndex("name", { config: Index.fts() });
  const manager = place.manager({ incremental: true });
  await manager.backupFull();
  await table.createIndex("name", { config: Index.bitmap(), name: "names" });
  const delta = (await manager.backupDelta()) as string;
  expect(JSON.parse(readFileSync(delta, "utf8")).tables.a.upserts).toEqual([]);
  const target = place.fresh();
  await restoreLatest(place.backupDir, target, { logger: place.logger });
  const db = await connect(target);
  const indices = await (await db.openTable("a")).listIndices();
  expect(indices.map(({ indexType, name }) => `${name} ${indexType}`).sort()).toEqual([
    "id_idx BTree",
    "name_idx FTS",
    "names Bitmap",
  ]);
  db.close();
});

test("a delta that is applied leaves a table with the indices that it recorded, also one that it replaces", async () => {
  await using place = new Place();
  const db = await place.db();
  const [a, b] = [await db.createTable("a", rowsOf([1, 2, 3])), await db.createTable("b", rowsOf([1]))];
  await a.createIndex("id", { config: Index.btree() });
  const manager = place.manager({ incremental: true });
  const copy = place.fresh();
  const loaded = await loadBackup(await manager.backupFull(), copy);
  await a.addColumns([{ name: "z", valueSql: "id * 2" }]);
  await b.createIndex("name", { config: Index.bitmap() });
  await db.createTable("c", rowsOf([1])).then((c) => c.createIndex("id", { config: Index.btree() }));
  const delta = (await manager.backupDelta()) ?? "";
  const indicesOf = async () => {
    const found: string[] = [];
    for (const name of await loaded.tableNames()) {
      for (const index of await (await loaded.openTable(name)).listIndices())
        found.push(`${name} ${index.name} ${index.indexType}`);
    }
    return found.sort();
  };
  await applyDelta(copy, delta, { logger: place.logger });
  expect(await indicesOf()).toEqual(["a id_idx BTree", "b name_idx Bitmap", "c id_idx BTree"]);
  const version = await (await loaded.openTable("b")).version();
  await applyDelta(copy, delta, { logger: place.logger });
  expect(await (await loaded.openTable("b")).version()).toBe(version);
  expect(await indicesOf()).toHaveLength(3);
  expect(place.warnings).toEqual([]);
  loaded.close();
});

const vectorType = new arrow.FixedSizeList(8, new arrow.Field("item", new arrow.Float32(), true));
const KINDS: [string, () => Index][] = [
  ["text", () => Index.fts({ withPosition: true, baseTokenizer: "ngram", ngramMinLength: 2, stem: false })],
  [
    "text",
    () => Index.fts({ language: "German", lowercase: false, maxTokenLength: 7, removeStopWords: false }),
  ],
  ["vector", () => Index.ivfPq({ numSubVectors: 2, numBits: 8, distanceType: "cosine", maxIterations: 7 })],
  ["vector", () => Index.ivfFlat({ distanceType: "dot", sampleRate: 99 })],
  ["vector", () => Index.ivfRq({ numBits: 1 })],
  ["vector", () => Index.hnswSq({ m: 11, efConstruction: 77 })],
  ["vector", () => Index.hnswPq({ m: 9, numSubVectors: 4, distanceType: "cosine" })],
];

test.each(["json", "arrow"] as const)("indices of each kind keep their settings (%s)", async (fileFormat) => {
  await using place = new Place();
  const ids = Array.from({ length: 300 }, (_, id) => id);
  const vectors = ids.map((id) => Array.from({ length: 8 }, (_, at) => Math.sin(id * 8 + at)));
  const rows = tableOf({
    id: [new arrow.Int32(), ids],
    text: [new arrow.Utf8(), ids.map((id) => `the word ${id}`)],
    vector: [vectorType, vectors],
  });
  const table = await (await place.db()).createTable("a", rows);
  for (const [at, [column, make]] of KINDS.entries())
    await table.createIndex(column, { config: make(), name: `i${at}`, replace: false });
  await place.manager({ fileFormat }).backupFull();
  const target = place.fresh();
  await restoreLatest(place.backupDir, target, { logger: place.logger });
  const db = await connect(target);
  expect(place.warnings).toEqual([]);
  expect(await settingsOf(await db.openTable("a"))).toEqual(await settingsOf(table));
  db.close();
});

async function settingsOf(table: Table) {
  const indices = await table.listIndices();
  expect(indices).toHaveLength(KINDS.length);
  return Object.fromEntries(
    indices.map(({ name, indexType, columns, indexDetails }) => [name, { indexType, columns, indexDetails }]),
  );
}

test.each([
  ["FTS", { base_tokenizer: "lindera/../../etc" }],
  ["FTS", { language: "EnPlish" }],
  ["FTS", { max_ngram_length: 4e9 }],
  ["IvfHnswSq", { hnsw: { max_connections: 4294967295 } }],
  ["IvfPq", { compression: { num_bits: -1 } }],
  ["IvfPq", { compression: [] }],
  ["constructor", {}],
])("an index %s that is said to have %j is a warning, and nothing is made", async (type, details) => {
  await using place = new Place();
  const table = await (await place.db()).createTable("a", rowsOf([1, 2, 3]));
  const record = { name: "i", columns: ["name"], type, details };
  expect(await makeIndices(table, [record], { lancedb, table: "a", logger: place.logger })).toEqual([]);
  expect(place.warnings).toMatchObject([{ meta: { table: "a", index: "i" } }]);
});
