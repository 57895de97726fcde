// node main.mjs <directory> [die|recover|reflink]
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { BackupManager } from "lancedb-backup";
import { idsIn, roundTrip } from "./round-trip.mjs";

const [, , root = "", what] = process.argv;
const manager = new BackupManager({ uri: join(root, "db"), backupDir: join(root, "backups") });
if (what === "die") {
  await manager.withBackup("directory-copy", async (db) => {
    await (await db.openTable("words")).delete("id > 0");
    process.kill(process.pid, "SIGKILL");
    await new Promise(() => undefined);
  });
} else if (what === "recover") {
  const { entries } = await manager.recover();
  const ids = await idsIn(join(root, "db"));
  const actions = entries.map(({ action }) => action);
  console.log(JSON.stringify({ actions, ids, backups: readdirSync(join(root, "backups")) }));
} else if (what === "reflink") {
  const linking = new BackupManager({
    uri: join(root, "db"),
    backupDir: join(root, "backups"),
    link: "reflink",
  });
  const backup = linking.createBackup("directory-copy");
  console.log(
    await backup.then(
      () => "made",
      (error) => error.code,
    ),
  );
} else console.log(JSON.stringify(await roundTrip(root)));
