// Writes a full and two deltas into a directory, for replays by other versions of LanceDB: `main` with 60 rows, which
// become 51, and `other`, which is dropped.
//
//   node periodic-files.ts <directory>
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { PeriodicBackupManager } from "lancedb-backup";

const [backupDir] = process.argv.slice(2);
const scratch = mkdtempSync(join(tmpdir(), "lancedb-backup-files-"));
try {
  const uri = join(scratch, "db");
  const db = await connect(uri);
  const rows = Array.from({ length: 60 }, (_, id) => ({ id, text: `word${id}`, vector: [id, 1, 0, 0] }));
  const main = await db.createTable("main", rows);
  await db.createTable("other", rows.slice(0, 5));
  const nothing = () => undefined;
  const logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
  await using manager = new PeriodicBackupManager({ uri, backupDir, incremental: true, logger });
  await manager.backupFull();
  await main.delete("id >= 50");
  await main.add([{ id: 100, text: "new", vector: [0, 0, 0, 0] }]);
  await main.update({ where: "id = 7", values: { text: "seven" } });
  await manager.backupDelta();
  await db.dropTable("other");
  await manager.backupDelta();
  db.close();
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
