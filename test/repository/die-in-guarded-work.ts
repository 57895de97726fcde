// A program that adds a row to table `a` of the database in guarded work, and then is killed.
import { BackupManager, BackupStrategy } from "../../src/index.ts";
import { silent } from "../crash/silent.ts";

const [uri = "", backupDir = ""] = process.argv.slice(2);
const manager = new BackupManager({ uri, backupDir, logger: silent });
await manager.withBackup(BackupStrategy.DirectoryCopy, async (db) => {
  await (await db.openTable("a")).add([{ id: 1 }]);
  process.kill(process.pid, "SIGKILL");
});
