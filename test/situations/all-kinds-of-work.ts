import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import {
  BackupManager,
  insertRecordsWithBackup,
  PeriodicBackupManager,
  Repository,
  restoreLatest,
} from "../../src/index.ts";

const ignore = () => undefined;
const logger = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/** Tables `t`, with three versions, and `u`, and one in a namespace. */
export async function makeTables(uri: string): Promise<void> {
  const db = await connect(uri);
  const table = await db.createTable("t", [{ id: 1 }]);
  await table.add([{ id: 2 }]);
  await table.add([{ id: 3 }]);
  await db.createTable("u", [{ id: 1 }]);
  await db.createNamespace(["ns"]);
  await db.createTable("n", [{ id: 1 }], ["ns"]);
  db.close();
}

/** Everything that links files or renames directories, on the tables that `makeTables` made; answers with what came out. */
export async function workOn(uri: string, place: string): Promise<Record<string, unknown>> {
  const manager = new BackupManager({ uri, backupDir: join(place, "backups"), logger });
  const results: Record<string, unknown> = {};
  const note = async (what: string, at = uri) => {
    results[what] = await stateOf(at);
  };

  const fail = async (strategy: "lance-version" | "directory-copy") =>
    manager
      .withBackup(strategy, async (db) => {
        await (await db.openTable("t")).delete("id = 1");
        await db.dropTable("t");
        await db.dropTable("n", ["ns"]);
        await db.createTable("t", [{ other: "columns" }]);
        await db.createTable("w", [{ id: 1 }]);
        throw new Error("the application's own");
      })
      .catch((error: Error) => error.message);
  results["fails"] = [await fail("lance-version"), await fail("directory-copy")];
  await note("after failures");

  const id = await manager.createBackup("directory-copy");
  await manager.withBackup("lance-version", async (db) => {
    await db.dropTable("u");
    await db.dropTable("t");
    await db.createTable("t", [{ id: 9 }]);
  });
  await note("after drops");
  await manager.restoreBackup(id);
  await manager.cleanupBackup(id);
  await note("after restoreBackup");

  const repository = await Repository.init(join(place, "repository"), { logger });
  await repository.backup({ source: uri });
  await insertRecordsWithBackup([{ id: 4 }], { table: "t", strategy: "directory-copy", manager });
  await repository.backup({ source: uri });
  const [newest, first] = await repository.list();
  await repository.restore(first?.id ?? "", { target: uri, mode: "in-place" });
  await note("in place");
  await repository.restore(newest?.id ?? "", { target: join(place, "back") });
  await note("restored", join(place, "back"));
  results["verified"] = (await repository.verify(undefined, { restoreTest: true })).every(({ ok }) => ok);
  await repository.delete(newest?.id ?? "");
  await repository.prune({ graceHours: 0 });

  const periodicDir = join(place, "periodic");
  const periodic = new PeriodicBackupManager({ uri, backupDir: periodicDir, incremental: true, logger });
  await periodic.backupFull();
  await insertRecordsWithBackup([{ id: 5 }], { table: "t", strategy: "lance-version", manager });
  await periodic.backupDelta();
  await periodic.stop();
  await restoreLatest(periodicDir, join(place, "replayed"), { logger });
  await note("replayed", join(place, "replayed"));
  results["entries"] = (await manager.recover()).entries.length;
  return results;
}

export const EXPECTED = {
  fails: ["the application's own", "the application's own"],
  "after failures": { t: [1, 2, 3], u: [1], n: [1] },
  "after drops": { t: [9], n: [1] },
  "after restoreBackup": { t: [1, 2, 3], u: [1], n: [1] },
  "in place": { t: [1, 2, 3], u: [1], n: [1] },
  restored: { t: [1, 2, 3, 4], u: [1], n: [1] },
  verified: true,
  replayed: { t: [1, 2, 3, 5], u: [1], n: [1] },
  entries: 0,
};

async function stateOf(uri: string): Promise<Record<string, number[]>> {
  const db = await connect(uri);
  const state: Record<string, number[]> = {};
  for (const name of await db.tableNames()) state[name] = await idsOf(db, name);
  for (const name of await db.tableNames(["ns"])) state[name] = await idsOf(db, name, ["ns"]);
  return state;
}

async function idsOf(
  db: Awaited<ReturnType<typeof connect>>,
  name: string,
  path: string[] = [],
): Promise<number[]> {
  const rows = await (await db.openTable(name, path)).query().toArray();
  return rows.map(({ id }) => Number(id)).sort((a, b) => a - b);
}

const [, program, uri, place] = process.argv;
if (program === import.meta.filename && uri !== undefined && place !== undefined) {
  console.log(JSON.stringify(await workOn(uri, place)));
}
