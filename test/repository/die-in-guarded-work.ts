// A program that adds a row to table `a` of the database in guarded work, and then is killed.
import { BackupManager } from "../../src/guard/backup-manager.ts";
import { BackupStrategy } from "../../src/guard/backup-strategy.ts";
import { silent } from "../crash/silent.ts";

const [uri = "", backupDir = ""] = process.argv.slice(2);
const manager = new BackupManager({ uri, backupDir, logger: silent });
await manager.withBackup(BackupStrategy.DirectoryCopy, async (db) => {
  await (await db.openTable("a")).add([{ id: 1 }]);
  process.kill(process.pid, "SIGKILL");
});
