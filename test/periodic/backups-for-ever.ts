// Writes and backs up until it is killed: node backups-for-ever.ts <database> <backup directory>
import { connect } from "@lancedb/lancedb";
import { PeriodicBackupManager } from "../../src/periodic/periodic-manager.ts";

const [uri = "", backupDir = ""] = process.argv.slice(2);
const table = await (await connect(uri)).openTable("a");
const manager = new PeriodicBackupManager({ uri, backupDir, incremental: true, maxDeltasBeforeFull: 3 });
console.log("begins");
for (let round = 0; ; round++) {
  await table.update({ where: `id % 50 = ${round % 50}`, values: { name: `r${round}` } });
  await manager.backupNow();
}
