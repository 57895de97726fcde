import { writeSync } from "node:fs";
import { BackupManager } from "lancedb-backup";

// Another program at work on a database: `hold` keeps the table words locked until its input ends, `die` is killed
// in the midst of guarded work.
const [what, uri = "", backupDir = ""] = process.argv.slice(2);
const manager = new BackupManager({ uri, backupDir });
await manager.withBackup("lance-version", async (db) => {
  const table = await db.openTable("words");
  await table.delete("id < 10");
  if (what === "die") process.kill(process.pid, "SIGKILL");
  writeSync(1, "held\n");
  await new Promise((resolve) => process.stdin.once("end", resolve).resume());
});
