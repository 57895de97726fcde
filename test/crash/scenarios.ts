import { type Connection, connect } from "@lancedb/lancedb";
import type { BackupManager } from "../../src/guard/backup-manager.ts";
import type { BackupStrategy } from "../../src/guard/backup-strategy.ts";
import type { GuardedWorkOptions } from "../../src/guard/manager-options.ts";
import type { deleteRowsWithBackup } from "../../src/guard/write/delete-rows.ts";
import type { insertRecordsWithBackup } from "../../src/guard/write/insert-records.ts";
import { rows } from "./fixture.ts";

/** Of the sources, or of the package: whose manager it is. */
export interface Helpers {
  readonly insertRecordsWithBackup: typeof insertRecordsWithBackup;
  readonly deleteRowsWithBackup: typeof deleteRowsWithBackup;
}

export interface Scenario {
  readonly work?: (db: Connection, uri: string) => Promise<void>;
  /** In place of `work`: a whole operation, by one of the helpers. */
  readonly helper?: (
    options: { manager: BackupManager; strategy: BackupStrategy },
    helpers: Helpers,
  ) => Promise<unknown>;
  /** The work throws at its end, so that everything has to go back. */
  readonly fails?: boolean;
  readonly namespace?: boolean;
  readonly options?: Pick<GuardedWorkOptions, "tables" | "durable" | "adopt">;
}

const failure = () => new Error("the work failed on purpose");

async function several(db: Connection): Promise<void> {
  const a = await db.openTable("a");
  const b = await db.openTable("b");
  await a.add(rows(100, 3));
  await b.delete("id >= 10");
  await a.update({ where: "id < 5", values: { text: "changed" } });
  await b.add(rows(200, 2));
}

async function upsert(db: Connection, name: string): Promise<void> {
  const table = await db.openTable(name);
  await table
    .mergeInsert("id")
    .whenMatchedUpdateAll()
    .whenNotMatchedInsertAll()
    .execute(rows(15, 20, "up"));
}

async function everything(db: Connection): Promise<void> {
  await several(db);
  await db.createTable("new", rows(0, 4));
  await db.dropTable("c");
}

/** As a framework does that connects by itself. */
async function pastTheGuard(db: Connection, uri: string): Promise<void> {
  const plain = await connect(uri);
  await several(plain);
  await (await plain.createTable("made", rows(0, 4))).add(rows(4, 2));
  await (await db.openTable("a")).add(rows(300, 2));
  plain.close();
  await db.dropTable("c"); // what a drop past the guard leaves when it is killed is kept aside for good
}

/** Carries a scenario out as one guarded operation. */
export async function perform(
  scenario: Scenario,
  manager: BackupManager,
  strategy: BackupStrategy,
  helpers: Helpers,
): Promise<void> {
  const { helper, work = async () => undefined, options = {} } = scenario;
  if (helper) await helper({ manager, strategy }, helpers);
  else await manager.withBackup(strategy, (db) => work(db, manager.uri), options);
}

/** What a guarded operation does while it is killed, by name. */
export const scenarios = {
  insert: {
    work: async (db) => {
      await (await db.openTable("a")).add(rows(100, 5));
    },
  },
  "insert, durable": {
    work: async (db) => {
      await (await db.openTable("a")).add(rows(100, 5));
    },
    options: { durable: true },
  },
  upsert: {
    work: async (db) => {
      const a = await db.openTable("a");
      await a
        .mergeInsert("id")
        .whenMatchedUpdateAll()
        .whenNotMatchedInsertAll()
        .execute(rows(35, 20, "up"));
    },
  },
  delete: {
    work: async (db) => {
      await (await db.openTable("a")).delete("id % 2 = 0");
    },
  },
  "single writer": { work: pastTheGuard, options: { adopt: "all" } },
  "single writer, failing": {
    work: async (db, uri) => {
      await pastTheGuard(db, uri);
      throw failure();
    },
    fails: true,
    options: { adopt: "all" },
  },
  insertRecordsWithBackup: {
    helper: (options, { insertRecordsWithBackup }) =>
      insertRecordsWithBackup(rows(35, 20, "up"), { table: "a", mergeOn: "id", ...options }),
  },
  deleteRowsWithBackup: {
    helper: (options, { deleteRowsWithBackup }) =>
      deleteRowsWithBackup([1, 2, 30], { table: "a", key: "id", ...options }),
  },
  "several tables": { work: several },
  "several tables, named": { work: several, options: { tables: ["a", "b"] } },
  "everything, durable": { work: everything, options: { durable: true } },
  create: {
    work: async (db) => {
      const table = await db.createTable("new", rows(0, 6));
      await table.add(rows(6, 2));
    },
  },
  drop: {
    work: async (db) => {
      await db.dropTable("c");
    },
  },
  "drop and create": {
    work: async (db) => {
      await db.dropTable("c");
      await (await db.createTable("c", [{ id: 1, other: true }])).add([{ id: 2, other: false }]);
    },
  },
  "drop and create, durable": {
    work: async (db) => {
      await db.dropTable("c");
      await (await db.createTable("c", [{ id: 1, other: true }])).add([{ id: 2, other: false }]);
    },
    options: { durable: true },
  },
  namespace: {
    work: async (db) => {
      await db.createTable("m", rows(0, 3), ["ns"]);
      await (await db.openTable("n", ["ns"])).add(rows(50, 2));
    },
    namespace: true,
  },
  "failing work": {
    work: async (db) => {
      await everything(db);
      throw failure();
    },
    fails: true,
  },
  "failing work that goes on after errors": {
    work: async (db) => {
      await upsert(db, "a").catch(() => undefined);
      await upsert(db, "a").catch(() => undefined);
      throw failure();
    },
    fails: true,
  },
  "failing work, drop and create": {
    work: async (db) => {
      await db.dropTable("c");
      await (await db.createTable("c", [{ id: 1, other: true }])).add([{ id: 2, other: false }]);
      throw failure();
    },
    fails: true,
  },
  "failing work, cleaned up": {
    work: async (db) => {
      await (await (await db.openTable("a")).tags()).delete("first");
      const b = await db.openTable("b");
      await b.delete("id % 3 = 0");
      await b.optimize({ cleanupOlderThan: new Date(Date.now() + 60_000), deleteUnverified: true });
      throw failure();
    },
    fails: true,
  },
  "failing work in a namespace": {
    work: async (db) => {
      await db.createTable("m", rows(0, 3), ["ns"]);
      await db.dropTable("n", ["ns"]);
      throw failure();
    },
    fails: true,
    namespace: true,
  },
} satisfies Record<string, Scenario>;

export type ScenarioName = keyof typeof scenarios;

export function scenarioOf(name: ScenarioName): Scenario {
  return scenarios[name];
}
