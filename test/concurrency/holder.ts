// Holds a table in guarded work until it is told to end: by a line on its stdin, or by a signal.
//
//   node holder.ts '{"uri":…,"backupDir":…,"table":"a"}'
import { once } from "node:events";
import { BackupManager } from "../../src/guard/backup-manager.ts";
import { rows } from "../crash/fixture.ts";
import { silent } from "../crash/silent.ts";

export interface HolderTask {
  readonly uri: string;
  readonly backupDir: string;
  readonly table: string;
}

const task = JSON.parse(process.argv[2] ?? "{}") as HolderTask;
const manager = new BackupManager({ uri: task.uri, backupDir: task.backupDir, logger: silent });
await manager.withBackup("lance-version", async (db) => {
  await (await db.openTable(task.table)).add(rows(600, 1));
  process.stdout.write("held\n");
  await once(process.stdin, "data");
});
process.stdout.write("left\n");
process.exit(0);
