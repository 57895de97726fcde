// Writes backups one after the other and tells what went wrong: node backups-in-a-row.ts <database> <backup directory> <how many>
import { PeriodicBackupManager } from "../../src/periodic/periodic-manager.ts";

const [uri = "", backupDir = "", count = ""] = process.argv.slice(2);
const told: string[] = [];
const tell = (message: string, meta?: object) => told.push(`${message} ${JSON.stringify(meta)}`);
const logger = { debug: () => undefined, info: () => undefined, warn: tell, error: tell };
const manager = new PeriodicBackupManager({
  uri,
  backupDir,
  logger,
  incremental: true,
  maxDeltasBeforeFull: 4,
});
for (let round = 0; round < Number(count); round++) await manager.backupNow().catch(() => undefined); // it is told of
console.log(JSON.stringify(told));
