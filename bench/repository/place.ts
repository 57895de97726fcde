import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Repository } from "lancedb-backup";
import { cloneDatabase } from "../data/clone.ts";
import { cache } from "../data/paths.ts";

const quiet = { debug: noLog, info: noLog, warn: console.warn, error: console.error };

function noLog(): void {
  // a bench prints figures
}

let count = 0;

/** A clone of a database with room beside it for repositories and restored copies; gone when disposed of. */
export class RepositoryPlace implements Disposable {
  readonly root = join(cache, "work", `repository-${process.pid}-${++count}`);
  readonly uri = join(this.root, "db");

  constructor(database: string) {
    rmSync(this.root, { recursive: true, force: true });
    mkdirSync(this.root, { recursive: true });
    cloneDatabase(database, this.uri);
  }

  /** A path below the place, where nothing is. */
  clear(name: string): string {
    const path = join(this.root, name);
    rmSync(path, { recursive: true, force: true });
    return path;
  }

  newRepository(name: string): Promise<Repository> {
    return Repository.init(this.clear(name), { logger: quiet });
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
