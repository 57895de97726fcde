import { BackupManager, Repository } from "lancedb-backup";

// What the application's own user does: `work-as.ts <uid> <umask> <database> <repository> <task>`.
const [uid = "", umask = "", uri = "", repository = "", task = ""] = process.argv.slice(2);
process.umask(Number.parseInt(umask, 8));
if (Number(uid) !== process.getuid?.()) {
  process.setgid?.(Number(uid));
  process.setuid?.(Number(uid));
}

const manager = new BackupManager({ uri, backupDir: `${uri}-backups` });
const add = async () =>
  manager.withBackup("lance-version", async (db) => {
    await (await db.openTable("t")).add([{ id: 100 }]);
  });

if (task === "add") await add();
else if (task === "fail") {
  const failed = await manager
    .withBackup("directory-copy", async (db) => {
      await (await db.openTable("t")).add([{ id: 100 }]);
      throw new Error("on purpose");
    })
    .catch((error: unknown) => error);
  if (!String(failed).includes("on purpose")) throw failed;
} else if (task === "die") {
  await manager.withBackup("lance-version", async (db) => {
    await (await db.openTable("t")).add([{ id: 100 }]);
    process.kill(process.pid, "SIGKILL");
  });
} else if (task === "recover") await manager.recover();
else {
  await using vault = await Repository.open(repository);
  if (task === "backup") await vault.backup({ source: uri });
  else if (task === "restore") await vault.restore("latest", { target: `${uri}-restored` });
  else if (task === "in-place") await vault.restore("latest", { target: uri, mode: "in-place" });
  else if (task === "prune") await vault.prune({ keepLast: 1, graceHours: 0 });
  else throw new Error(`no task ${task}`);
}
