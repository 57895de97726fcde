// Starts a manager and does nothing more: node start-and-leave.ts <database> <backup directory>
import { PeriodicBackupManager } from "../../src/periodic/periodic-manager.ts";

const [uri = "", backupDir = ""] = process.argv.slice(2);
const manager = new PeriodicBackupManager({ uri, backupDir, backupInterval: 3600 });
await manager.backupNow();
manager.start();
manager.notifyChange();
console.log("started");
