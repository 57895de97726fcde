import { rmSync } from "node:fs";
import { join } from "node:path";
import { BackupManager } from "lancedb-backup";
import { cloneDatabase } from "../data/clone.ts";
import { cache } from "../data/paths.ts";
import { quiet } from "./quiet.ts";

let count = 0;

/** A clone of a database and a manager for it; gone when disposed of. */
export class Workplace implements AsyncDisposable {
  readonly root: string;
  readonly uri: string;
  readonly manager: BackupManager;

  constructor(database: string) {
    this.root = join(cache, "work", `${process.pid}-${++count}`);
    this.uri = join(this.root, "db");
    rmSync(this.root, { recursive: true, force: true });
    cloneDatabase(database, this.uri);
    this.manager = this.newManager();
  }

  get backupDir(): string {
    return join(this.root, "backups");
  }

  newManager(): BackupManager {
    return new BackupManager({ uri: this.uri, backupDir: this.backupDir, logger: quiet });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.manager[Symbol.asyncDispose]();
    rmSync(this.root, { recursive: true, force: true });
  }
}
