// Everything that guarded work can do to tables, in whatever version of LanceDB. What a version lacks is left out.
import { type Connection, connect, Index, type MergeInsertBuilder } from "@lancedb/lancedb";
import { rows } from "./place.ts";

export interface Work {
  readonly name: string;
  readonly run: (db: Connection) => Promise<unknown>;
  /** Whether this LanceDB has what it takes. Default: yes. */
  readonly isThere?: ((has: Abilities) => boolean) | undefined;
}

/** Members of a connection, a table, a merge and `Index`, by name. */
export interface Abilities {
  readonly connection: ReadonlySet<string>;
  readonly table: ReadonlySet<string>;
  readonly merge: ReadonlySet<string>;
}

export async function abilitiesOf(uri: string): Promise<Abilities> {
  const db = await connect(uri);
  const table = await db.openTable("main");
  const merge = table.mergeInsert("id");
  const abilities = { connection: namesOf(db), table: namesOf(table), merge: namesOf(merge) };
  db.close();
  return abilities;
}

/** Names of an object's members, inherited ones too. */
export function namesOf(value: object): Set<string> {
  const names = new Set<string>();
  for (let at: object | null = value; at && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const name of Object.getOwnPropertyNames(at)) names.add(name);
  }
  return names;
}

const on = (db: Connection, name = "main") => db.openTable(name);

/** LanceDB compacts, and then refuses to clean up, where an old version has a tag. */
function unlessTagged(error: unknown): void {
  if (!String(error).includes("tag")) throw error;
}

const merged = (step: string) => async (db: Connection) => {
  const builder = (await on(db)).mergeInsert("id");
  const next = Reflect.get(builder, step) as (use: boolean) => MergeInsertBuilder;
  await next.call(builder, false).whenMatchedUpdateAll().whenNotMatchedInsertAll().execute(rows(55, 65));
};

export const WORKS: readonly Work[] = [
  { name: "add", run: async (db) => (await on(db)).add(rows(100, 110)) },
  { name: "add over all", run: async (db) => (await on(db)).add(rows(100, 110), { mode: "overwrite" }) },
  {
    name: "update",
    run: async (db) => (await on(db)).update({ where: "text LIKE 'word1%'", values: { text: "x" } }),
  },
  { name: "delete", run: async (db) => (await on(db)).delete("id > 20") },
  {
    name: "merge",
    run: async (db) =>
      (await on(db)).mergeInsert("id").whenMatchedUpdateAll().whenNotMatchedInsertAll().execute(rows(55, 65)),
  },
  { name: "merge without an index", run: merged("useIndex"), isThere: ({ merge }) => merge.has("useIndex") },
  { name: "merge without LSM", run: merged("useLsmWrite"), isThere: ({ merge }) => merge.has("useLsmWrite") },
  {
    name: "merge without LSM, as it is called now",
    run: merged("useLsm"),
    isThere: ({ merge }) => merge.has("useLsm"),
  },
  {
    name: "several writes",
    run: async (db) => {
      const [main, other] = [await on(db), await on(db, "other")];
      await main.add(rows(200, 203));
      await other.delete("id = 1");
      await main.delete("id = 201");
    },
  },
  {
    name: "add a column",
    run: async (db) => (await on(db)).addColumns([{ name: "more", valueSql: "id + 1" }]),
  },
  {
    name: "alter a column",
    run: async (db) => (await on(db)).alterColumns([{ path: "text", rename: "words" }]),
  },
  { name: "drop a column", run: async (db) => (await on(db)).dropColumns(["text"]) },
  { name: "make an index", run: async (db) => (await on(db)).createIndex("text", { config: Index.fts() }) },
  { name: "drop an index", run: async (db) => (await on(db)).dropIndex("id_idx") },
  { name: "optimize", run: async (db) => (await on(db)).optimize().catch(unlessTagged) },
  {
    name: "clean up",
    run: async (db) => {
      const main = await on(db);
      await main.add(rows(300, 301));
      const cleanupOlderThan = new Date(Date.now() + 1000);
      await main.optimize({ cleanupOlderThan, deleteUnverified: true }).catch(unlessTagged);
    },
  },
  {
    name: "restore an older version",
    run: async (db) => {
      const main = await on(db);
      await main.checkout(1);
      await main.restore();
    },
  },
  {
    name: "tags",
    run: async (db) => {
      const tags = await (await on(db)).tags();
      await tags.create("made", 1);
      await tags.update("kept", 3);
    },
  },
  { name: "new names of manifests", run: async (db) => migrate(db) },
  { name: "make a table", run: async (db) => db.createTable("made", rows(0, 3)) },
  {
    name: "make a table, by one object",
    run: async (db) => db.createTable({ name: "made", data: rows(0, 3) }),
  },
  {
    name: "make a table over one",
    run: async (db) => db.createTable("main", rows(0, 3), { mode: "overwrite" }),
  },
  {
    name: "make a table over one, with an empty path",
    run: async (db) => db.createTable("main", rows(0, 3), [], { mode: "overwrite" }),
  },
  { name: "open or make a table", run: async (db) => db.createTable("main", rows(0, 3), { existOk: true }) },
  {
    name: "make an empty table",
    run: async (db) => db.createEmptyTable("made", await (await on(db)).schema()),
  },
  { name: "drop a table", run: async (db) => db.dropTable("main") },
  { name: "drop all tables", run: async (db) => db.dropAllTables() },
  {
    name: "drop a table and make it anew",
    run: async (db) => {
      await db.dropTable("main");
      await db.createTable("main", rows(0, 3));
    },
  },
  {
    name: "a column's notes",
    run: async (db) => (await on(db)).updateFieldMetadata([{ path: "text", metadata: { note: "x" } }]),
    isThere: ({ table }) => table.has("updateFieldMetadata"),
  },
];

async function migrate(db: Connection): Promise<void> {
  const main = await on(db);
  const change = Reflect.get(main, "migrateManifestPathsV2") as () => Promise<void>;
  await change.call(main);
}

/** Fails when it has done its work. */
export class Failure extends Error {}
