// One operation between two marks, in a process of its own, for whoever counts its system calls:
//
//   node bench/costs-child.ts <operation> <database>
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { BackupStrategy } from "lancedb-backup";
import { MARK } from "./costs/calls.ts";
import type { Operation } from "./costs/operations.ts";
import { cache } from "./data/paths.ts";
import { insertRows } from "./data/rows.ts";
import { Workplace } from "./harness/workplace.ts";
import { PeriodicPlace } from "./periodic/place.ts";
import { RepositoryPlace } from "./repository/place.ts";

type Work = () => Promise<unknown>;

/** The second time is what counts: the first has loaded code, and made what is made once. */
async function counted(work: Work, after?: Work): Promise<void> {
  await work();
  await after?.();
  const marks = mkdtempSync(join(cache, "work", "marks-"));
  mkdirSync(join(marks, `${MARK}-1`));
  await work();
  mkdirSync(join(marks, `${MARK}-2`));
  await after?.();
  rmSync(marks, { recursive: true });
}

const rows = insertRows(10_000, 99);

async function add(database: string, strategy?: BackupStrategy): Promise<void> {
  await using place = new Workplace(database);
  const db = await place.manager.connection();
  const write = async (connection: typeof db) =>
    void (await (await connection.openTable("documents")).add(rows));
  await counted(() => (strategy ? place.manager.withBackup(strategy, write) : write(db)));
}

async function createBackup(database: string, strategy: BackupStrategy): Promise<void> {
  await using place = new Workplace(database);
  let id = "";
  await counted(
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
    await counted(() => manager.backupDelta(), commit);
  },
  "snapshot, nothing changed": async (database) => {
    using place = new RepositoryPlace(database);
    const repository = await place.newRepository("ours");
    await counted(() => repository.backup({ source: place.uri }));
  },
  openSnapshot: async (database) => {
    using place = new RepositoryPlace(database);
    const repository = await place.newRepository("ours");
    await repository.backup({ source: place.uri });
    await counted(async () => {
      await using db = await repository.openSnapshot("latest");
      return db.isOpen();
    });
  },
};

const [operation, database] = process.argv.slice(2) as [Operation, string];
await operations[operation](database);
