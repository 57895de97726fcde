// Not run: type-checked against the types of each version, those of the package included. What the package gives are the
// application's own connections and tables.
import * as lancedb from "@lancedb/lancedb";
import {
  BackupManager,
  insertRecordsWithBackup,
  loadBackup,
  type OpenedSnapshot,
  type Repository,
} from "lancedb-backup";

const manager = new BackupManager({ uri: "x", lancedb, connection: { readConsistencyInterval: 1 } });
await manager.withBackup(async (db) => {
  const connection: lancedb.Connection = db;
  const table: lancedb.Table = await connection.openTable("t");
  await table.add([{ id: 1 }]);
});
const inserted = await insertRecordsWithBackup([{ id: 1 }], { table: "t", manager });
const loaded: lancedb.Connection = await loadBackup("f", "x", { lancedb });

export async function all(repository: Repository): Promise<lancedb.Connection[]> {
  const opened: OpenedSnapshot = await repository.openSnapshot("latest");
  return [inserted.connection, loaded, opened];
}
