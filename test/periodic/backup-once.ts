// Writes one full and tells what came of it: node backup-once.ts <database> <backup directory> <format>

import type { FileFormat } from "../../src/periodic/file/backup-file.ts";
import { PeriodicBackupManager } from "../../src/periodic/periodic-manager.ts";

const [uri = "", backupDir = "", fileFormat = ""] = process.argv.slice(2);
const counts: number[] = [];
const manager = new PeriodicBackupManager({
  uri,
  backupDir,
  fileFormat: fileFormat as FileFormat,
  onBackupFailure: (_error, count) => counts.push(count),
});
const outcome = await manager.backupFull().then(
  () => "written",
  (error: { code: string; message: string }) => ({ code: error.code, message: error.message }),
);
console.log(JSON.stringify({ outcome, counts }));
