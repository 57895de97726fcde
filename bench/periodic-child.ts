// One full, or one load, in a process of its own, for whoever looks at its memory:
//
//   node bench/periodic-child.ts full <arrow|json> <database> <directory>
//   node bench/periodic-child.ts load <arrow|json> <file> <directory>
import { mkdirSync } from "node:fs";
import { loadBackup, PeriodicBackupManager } from "lancedb-backup";
import { quiet } from "./harness/quiet.ts";

const [step, format, from = "", directory = ""] = process.argv.slice(2);
if (step === "full") {
  const fileFormat = format === "json" ? "json" : "arrow";
  mkdirSync(directory, { recursive: true });
  await new PeriodicBackupManager({
    uri: from,
    backupDir: directory,
    fileFormat,
    logger: quiet,
  }).backupFull();
} else {
  (await loadBackup(from, directory, { logger: quiet })).close();
}
