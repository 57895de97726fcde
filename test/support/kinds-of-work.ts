import { type Connection, Index, type Table } from "@lancedb/lancedb";
import { makeSampleTable, sampleRows, sampleSchema } from "./sample.ts";

/** A kind of work on the tables `main` (with indices) and `other`. */
export interface KindOfWork {
  readonly name: string;
  readonly run: (db: Connection) => Promise<unknown>;
}

/** What every kind of work finds. */
export async function arrangeTables(db: Connection): Promise<void> {
  await makeSampleTable(db, "main", { indices: true });
  await makeSampleTable(db, "other", { rows: 10 });
}

/** Work on the table `main`. */
function onMain(name: string, run: (table: Table) => Promise<unknown>): KindOfWork {
  return { name, run: async (db) => run(await db.openTable("main")) };
}

const cleanup = { cleanupOlderThan: new Date(Date.now() + 60_000) };

export const KINDS_OF_WORK: readonly KindOfWork[] = [
  onMain("add", (table) => table.add(sampleRows(100, 20))),
  onMain("upsert", (table) =>
    table
      .mergeInsert("id")
      .whenMatchedUpdateAll()
      .whenNotMatchedInsertAll()
      .execute(sampleRows(30, 20, 1)),
  ),
  onMain("replace a range by one merge", (table) =>
    table
      .mergeInsert("id")
      .whenMatchedUpdateAll()
      .whenNotMatchedInsertAll()
      .whenNotMatchedBySourceDelete({ where: "id >= 10" })
      .execute(sampleRows(10, 5, 2)),
  ),
  onMain("delete", (table) => table.delete("id % 3 = 0")),
  onMain("delete everything", (table) => table.delete("true")),
  onMain("update", (table) => table.update({ where: "id > 10", valuesSql: { score: "score * 2" } })),
  onMain("overwrite by add", (table) => table.add(sampleRows(500, 7), { mode: "overwrite" })),
  {
    name: "overwrite by createTable",
    run: (db) => db.createTable("main", [{ id: 1, other: "columns" }], { mode: "overwrite" }),
  },
  onMain("add columns", (table) => table.addColumns([{ name: "twice", valueSql: "score * 2" }])),
  onMain("alter columns", (table) => table.alterColumns([{ path: "group", rename: "team" }])),
  onMain("drop columns", (table) => table.dropColumns(["score", "text"])),
  onMain("create a scalar index", (table) => table.createIndex("group", { config: Index.bitmap() })),
  onMain("replace a full-text index", (table) =>
    table.createIndex("text", { config: Index.fts({ withPosition: true }), replace: true }),
  ),
  onMain("replace a vector index", (table) =>
    table.createIndex("vector", { config: Index.ivfFlat({ numPartitions: 3 }), replace: true }),
  ),
  {
    name: "create a full-text and a vector index",
    run: async (db) => {
      const table = await db.openTable("other");
      await table.createIndex("text", { config: Index.fts() });
      await table.createIndex("vector", { config: Index.ivfFlat({ numPartitions: 1 }) });
    },
  },
  onMain("drop an index", (table) => table.dropIndex("vector_idx")),
  onMain("optimize with cleanup", async (table) => {
    await table.add(sampleRows(200, 5));
    await table.optimize(cleanup);
  }),
  onMain("overwrite, then optimize with cleanup", async (table) => {
    await table.add(sampleRows(500, 7), { mode: "overwrite" });
    await table.optimize({ ...cleanup, deleteUnverified: true });
  }),
  onMain("restore an older version", async (table) => {
    await table.checkout(2);
    await table.restore();
  }),
  onMain("metadata of fields and key", async (table) => {
    await table.updateFieldMetadata([{ path: "text", metadata: { language: "en" } }]);
    await table.setUnenforcedPrimaryKey("id");
  }),
  { name: "create a table", run: (db) => db.createTable("fresh", sampleRows(0, 5)) },
  { name: "create an empty table", run: (db) => db.createEmptyTable("fresh", sampleSchema) },
  {
    name: "open or create a table that is there",
    run: (db) => db.createTable("main", sampleRows(0, 1), { existOk: true, schema: sampleSchema }),
  },
  { name: "drop a table", run: (db) => db.dropTable("main") },
  {
    name: "write, then drop a table",
    run: async (db) => {
      await (await db.openTable("main")).add(sampleRows(100, 3));
      await db.dropTable("main");
    },
  },
  {
    name: "drop a table and create it again",
    run: async (db) => {
      await db.dropTable("main");
      await db.createTable("main", sampleRows(900, 4));
    },
  },
  {
    name: "drop a table and create it again, twice, with more versions than before",
    run: async (db) => {
      for (let round = 0; round < 2; round++) {
        await db.dropTable("main");
        const table = await db.createTable("main", sampleRows(900, 4));
        for (let n = 0; n < 12; n++) await table.add(sampleRows(1000 + n, 1));
      }
    },
  },
  { name: "drop all tables", run: (db) => db.dropAllTables() },
  {
    name: "create a table and drop it again",
    run: async (db) => {
      await db.createTable("fresh", sampleRows(0, 5));
      await db.dropTable("fresh");
    },
  },
  {
    name: "several tables at once",
    run: async (db) => {
      const [main, other] = [await db.openTable("main"), await db.openTable("other")];
      await Promise.all([
        main.add(sampleRows(100, 3)),
        other.delete("id < 5"),
        db.createTable("fresh", sampleRows(0, 5)),
      ]);
      await Promise.all([
        main.add(sampleRows(200, 3)),
        main.add(sampleRows(300, 3)),
        other.update({ group: "'x'" }),
      ]);
    },
  },
];
