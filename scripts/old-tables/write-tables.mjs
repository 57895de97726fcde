// Makes tables with an old LanceDB: `node write-tables.mjs <directory with node_modules> <package> <database>`. Run by
// make.ts. Prints what this version could not do. It lacks types on purpose: each version has other ones.
import { createRequire } from "node:module";
import { join } from "node:path";

const [home, name, uri] = process.argv.slice(2);
const require = createRequire(join(home, "package.json"));
const lancedb = require(name);
const arrow = require("apache-arrow");
const isVectordb = name === "vectordb";
const { Index } = lancedb;

const db = await lancedb.connect(uri);

/** What a version lacks is told, and left out of its tables. */
async function attempt(what, work) {
  try {
    await work();
  } catch (error) {
    console.log(`left out: ${what}: ${String(error?.message ?? error).split("\n")[0]}`);
  }
}

function create(table, rows, options = {}) {
  if (isVectordb) return db.createTable({ name: table, data: rows });
  return db.createTable(table, rows, options);
}

const update = (table, where, column, sql) =>
  isVectordb
    ? table.update({ where, valuesSql: { [column]: sql } })
    : table.update({ [column]: sql }, { where });
const optimize = (table) =>
  isVectordb ? table.compactFiles() : table.optimize({ cleanupOlderThan: new Date(0) });
const scalarIndex = (table, column) =>
  isVectordb ? table.createScalarIndex(column, true) : table.createIndex(column, { config: Index.btree() });

const range = (from, count) => Array.from({ length: count }, (_, index) => from + index);
const row = (id) => ({ id, name: `row ${id}`, amount: id / 4 });
const rows = (from, count) => range(from, count).map(row);

async function scalars(table, options) {
  const made = await create(table, rows(0, 8), options);
  await made.add(rows(8, 4));
  await made.delete("id = 3");
  await update(made, "id = 5", "name", "'changed'");
  return made;
}

await attempt("scalars", async () => {
  const made = await scalars("scalars");
  await optimize(made);
  await made.add(rows(12, 3));
  await made.delete("id IN (1, 13)");
});

await attempt("vectors", async () => {
  const vector = (id) => range(0, 4).map((at) => Math.fround(Math.sin(id * 7 + at * 3)));
  const all = (from, count) => rows(from, count).map((one) => ({ ...one, vector: vector(one.id) }));
  const made = await create("vectors", all(0, 260));
  if (isVectordb) {
    await made.createIndex({ type: "ivf_pq", column: "vector", num_partitions: 2, num_sub_vectors: 2 });
  } else {
    await made.createIndex("vector", { config: Index.ivfPq({ numPartitions: 2, numSubVectors: 2 }) });
  }
  await made.add(all(260, 4));
  await made.delete("id = 7");
});

await attempt("indexed", async () => {
  const made = await scalars("indexed");
  await scalarIndex(made, "id");
  await made.add(rows(12, 3));
  if (!isVectordb) await made.optimize();
  await made.delete("id = 6");
});

await attempt("words", async () => {
  const made = await create("words", rows(0, 8));
  await made.add(rows(8, 2));
  await attempt("a full-text index", () => made.createIndex("name", { config: Index.fts() }));
  await made.delete("id = 2");
});

await attempt("nested", async () => {
  const all = (from, count) =>
    rows(from, count).map((one) => ({ ...one, place: { x: one.id, y: one.id / 8 } }));
  const made = await create("nested", all(0, 6));
  await made.add(all(6, 2));
  await made.delete("id = 1");
});

await attempt("lists", async () => {
  const item = new arrow.Field("item", new arrow.Utf8(), true);
  const schema = new arrow.Schema([
    new arrow.Field("id", new arrow.Int32(), true),
    new arrow.Field("tags", new arrow.List(item), true),
  ]);
  const tags = (id) => range(0, id % 3).map((at) => `tag ${at}`);
  const data = (from, count) =>
    lancedb.makeArrowTable(
      range(from, count).map((id) => ({ id, tags: tags(id) })),
      { schema },
    );
  const made = await create("lists", data(0, 6));
  await made.add(data(6, 3));
  await attempt("an index on labels", () => made.createIndex("tags", { config: Index.labelList() }));
  await made.delete("id = 4");
});

const typedSchema = new arrow.Schema([
  new arrow.Field("id", new arrow.Int64(), true),
  new arrow.Field("at", new arrow.TimestampMicrosecond(), true),
  new arrow.Field("flag", new arrow.Int32(), true),
  new arrow.Field("bytes", new arrow.Binary(), true),
  new arrow.Field("text", new arrow.Utf8(), true),
]);

await attempt("typed", async () => {
  const data = (from, count) =>
    lancedb.makeArrowTable(
      range(from, count).map((id) => ({
        id: BigInt(id),
        at: 1_700_000_000_000 + id,
        flag: id % 2,
        bytes: id % 3 === 0 ? null : Buffer.of(id, 255),
        text: id % 4 === 0 ? null : `text ${id}`,
      })),
      { schema: typedSchema },
    );
  const made = await create("typed", data(0, 6));
  await made.add(data(6, 3));
  await attempt("a bitmap index", () => made.createIndex("flag", { config: Index.bitmap() }));
  await made.delete("id = 2");
});

await attempt("empty", () =>
  isVectordb
    ? db.createTable({ name: "empty", schema: typedSchema })
    : db.createEmptyTable("empty", typedSchema),
);

await attempt("columns", async () => {
  const made = await scalars("columns");
  await made.addColumns([{ name: "twice", valueSql: "amount * 2" }]);
  await made.dropColumns(["amount"]);
  await made.alterColumns([{ path: "name", rename: "title" }]);
});

await attempt("legacy", async () => {
  const made = await scalars("legacy", { useLegacyFormat: true, dataStorageVersion: "legacy" });
  await attempt("an index on a legacy table", () => scalarIndex(made, "name"));
  await made.add(rows(12, 3));
  await made.delete("id = 9");
});

await attempt("overwritten", async () => {
  await scalars("overwritten");
  const data = rows(20, 5);
  if (isVectordb) await (await db.openTable("overwritten")).overwrite(data);
  else await (await db.openTable("overwritten")).add(data, { mode: "overwrite" });
});

await attempt("manifest paths of version 2", async () => {
  if (isVectordb) throw new Error("not in this package");
  await scalars("paths", { enableV2ManifestPaths: true });
});
