import type { SnapshotDetails } from "../sources/lancedb/snapshot-view.ts";

/** Ready to be pasted into a shell. */
export function commandLine(...words: readonly string[]): string {
  return ["lancedb-backup", ...words].map(quote).join(" ");
}

/** A word of a shell command. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Command lines of ours that help with one database. */
export class Remedies {
  readonly database: string;
  readonly repository: string | undefined;
  /** The newest snapshot of this very database. */
  readonly newest: SnapshotDetails | undefined;

  constructor(database: string, repository?: string, newest?: SnapshotDetails) {
    this.database = database;
    this.repository = repository;
    this.newest = newest;
  }

  recover(...options: readonly string[]): string {
    return commandLine("recover", this.database, ...options);
  }

  backup(): string {
    return commandLine("backup", this.database, ...this.#repo());
  }

  scrub(): string {
    return commandLine("scrub", this.database, "--heal", ...this.#repo());
  }

  /** @param tables all, where none is named. */
  restore(snapshot: string, ...tables: readonly string[]): string {
    const chosen = tables.flatMap((id) => ["--table", id]);
    return commandLine("restore", snapshot, this.database, "--in-place", ...chosen, ...this.#repo());
  }

  undo(what: "restore" | "clean", id: string): string {
    return commandLine("undo", what, this.database, id);
  }

  /** Whether the newest snapshot has a table, and in this version, where one is named. */
  has(table: string, version?: number): boolean {
    const found = this.newest?.tables.find(({ id }) => id === table);
    return version === undefined
      ? found !== undefined
      : (found?.versions.some((each) => each.version === version) ?? false);
  }

  #repo(): string[] {
    return this.repository === undefined ? [] : ["--repo", this.repository];
  }
}
