// One operation in a process of its own: between two marks, for whoever counts its system calls, or as often as it
// says, for its times:
//
//   node bench/costs-child.ts <operation> <database> [<runs>]
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { BackupStrategy } from "lancedb-backup";
import { MARK } from "./costs/calls.ts";
import type { Spent } from "./costs/costs.ts";
import type { Operation } from "./costs/operations.ts";
import { cache } from "./data/paths.ts";
import { insertRows } from "./data/rows.ts";
import { Workplace } from "./harness/workplace.ts";
import { PeriodicPlace } from "./periodic/place.ts";
import { RepositoryPlace } from "./repository/place.ts";

const [operation, database, runs] = process.argv.slice(2) as [Operation, string, string?];

type Work = () => Promise<unknown>;

/** Not the first time, which loads code, and makes what is made once. */
async function measure(work: Work, after?: Work): Promise<void> {
  await work();
  await after?.();
  if (runs === undefined) await betweenMarks(work);
  else {
    const spent: Spent[] = [];
    while (spent.length < Number(runs)) {
      spent.push(await spentOn(work));
      await after?.();
    }
    console.log(JSON.stringify(spent));
  }
}

async function betweenMarks(work: Work): Promise<void> {
  const marks = mkdtempSync(join(cache, "work", "marks-"));
  mkdirSync(join(marks, `${MARK}-1`));
  await work();
  mkdirSync(join(marks, `${MARK}-2`));
  rmSync(marks, { recursive: true });
}

async function spentOn(work: Work): Promise<Spent> {
  const before = process.cpuUsage();
  const started = performance.now();
  await work();
  const wall = performance.now() - started;
  const { user, system } = process.cpuUsage(before);
  return { wall, user: user / 1000, system: system / 1000 };
}

const rows = insertRows(10_000, 99);

async function add(database: string, strategy?: BackupStrategy): Promise<void> {
  await using place = new Workplace(database);
  const db = await place.manager.connection();
  const write = async (connection: typeof db) =>
    void (await (await connection.openTable("documents")).add(rows));
  await measure(() => (strategy ? place.manager.withBackup(strategy, write) : write(db)));
}

async function createBackup(database: string, strategy: BackupStrategy): Promise<void> {
  await using place = new Workplace(database);
  let id = "";
  await measure(
    async () => {
      id = await place.manager.createBackup(strategy);
    },
    () => place.manager.cleanupBackup(id),
  );
}

const operations: Readonly<Record<Operation, (database: string) => Promise<void>>> = {
  "plain add": add,
  "add in withBackup, lance-version": (database) => add(database, BackupStrategy.LanceVersion),
  "add in withBackup, directory-copy": (database) => add(database, BackupStrategy.DirectoryCopy),
  "createBackup lance-version": (database) => createBackup(database, BackupStrategy.LanceVersion),
  "createBackup directory-copy": (database) => createBackup(database, BackupStrategy.DirectoryCopy),
  "delta where a commit changed no row": async (database) => {
    using place = new PeriodicPlace(database);
    const manager = place.manager({ incremental: true });
    await manager.backupFull();
    const table = await (await connect(place.uri)).openTable("words");
    const commit = () => table.delete("false");
    await commit();
    await measure(() => manager.backupDelta(), commit);
  },
  "snapshot, nothing changed": async (database) => {
    using place = new RepositoryPlace(database);
    const repository = await place.newRepository("ours");
    await measure(() => repository.backup({ source: place.uri }));
  },
  openSnapshot: async (database) => {
    using place = new RepositoryPlace(database);
    const repository = await place.newRepository("ours");
    await repository.backup({ source: place.uri });
    await measure(async () => {
      await using db = await repository.openSnapshot("latest");
      return db.isOpen();
    });
  },
};

await operations[operation](database);
