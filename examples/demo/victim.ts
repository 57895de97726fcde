// Writes to the table under a backup until somebody kills it.
process.env["LANCEDB_LOG"] ??= "error";
const { BackupManager } = await import("lancedb-backup");

const [uri = "", backupDir = ""] = process.argv.slice(2);
const manager = new BackupManager({ uri, backupDir });
await manager.withBackup("directory-copy", async (db) => {
  const table = await db.openTable("words");
  const [row] = await table.query().limit(1).toArray();
  await table.add([{ id: 2_000_000, word: "half", vector: Array.from(row["vector"]) }]);
  process.stdout.write("committed\n");
  await new Promise((resolve) => setTimeout(resolve, 60_000)); // the rest of a long ingest
});
