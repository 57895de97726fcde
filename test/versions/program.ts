// Does guarded work, says so, and waits to be killed.
//
//   node program.ts <database> <backup directory> <strategy> <name of the work>
import { BackupManager, type BackupStrategy } from "lancedb-backup";
import { WORKS } from "./work.ts";

const [uri, backupDir, strategy, name] = process.argv.slice(2);
const manager = new BackupManager({ uri, backupDir });
await manager.withBackup(strategy as BackupStrategy, async (db) => {
  await WORKS.find((work) => work.name === name)?.run(db);
  process.stdout.write("ready\n");
  await new Promise((resolve) => setTimeout(resolve, 60_000));
});
