import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { PeriodicBackupManager, type PeriodicBackupOptions } from "lancedb-backup";
import { cloneDatabase } from "../data/clone.ts";
import { cache } from "../data/paths.ts";
import { quiet } from "../harness/quiet.ts";

let count = 0;

/** A clone of a database, and managers for it; gone when disposed of. */
export class PeriodicPlace implements Disposable {
  readonly root = join(cache, "work", `periodic-${process.pid}-${++count}`);
  readonly uri = join(this.root, "db");
  readonly backupDir = join(this.root, "backups");

  constructor(database: string) {
    rmSync(this.root, { recursive: true, force: true });
    cloneDatabase(database, this.uri);
  }

  manager(options: PeriodicBackupOptions = {}): PeriodicBackupManager {
    const all = {
      uri: this.uri,
      backupDir: this.backupDir,
      fileFormat: "arrow",
      logger: quiet,
      ...options,
    } as const;
    mkdirSync(all.backupDir ?? this.backupDir, { recursive: true }); // one that was taken away passes for a disk that is away
    return new PeriodicBackupManager(all);
  }

  /** A path below the place, where nothing is. */
  clear(name: string): string {
    const path = join(this.root, name);
    rmSync(path, { recursive: true, force: true });
    return path;
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
