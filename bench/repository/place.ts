import { cpSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Repository } from "lancedb-backup";
import { cloneDatabase } from "../data/clone.ts";
import { cache } from "../data/paths.ts";
import { quiet } from "../harness/quiet.ts";

let count = 0;

/** A clone of a database with room beside it for repositories and restored copies; gone when disposed of. */
export class RepositoryPlace implements Disposable {
  readonly root = join(cache, "work", `repository-${process.pid}-${++count}`);
  readonly uri = join(this.root, "db");

  /** @param how `copy`: files of its own, whose times of change no other contender's links touch. */
  constructor(database: string, how: "clone" | "copy" = "clone") {
    rmSync(this.root, { recursive: true, force: true });
    mkdirSync(this.root, { recursive: true });
    if (how === "clone") cloneDatabase(database, this.uri);
    else cpSync(database, this.uri, { recursive: true });
  }

  path(name: string): string {
    return join(this.root, name);
  }

  /** How many files the database has. */
  files(): number {
    return readdirSync(this.uri, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
      .length;
  }

  /** A path below the place, where nothing is. */
  clear(name: string): string {
    const path = this.path(name);
    rmSync(path, { recursive: true, force: true });
    return path;
  }

  newRepository(name: string): Promise<Repository> {
    return Repository.init(this.clear(name), { logger: quiet });
  }

  openRepository(name: string): Promise<Repository> {
    return Repository.open(this.path(name), { logger: quiet });
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
