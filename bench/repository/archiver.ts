import { rmSync } from "node:fs";
import { join } from "node:path";
import { cache } from "../data/paths.ts";
import { installed, run } from "../harness/tools.ts";

/** What people would use in place of a repository, as a command line each; those that are installed here. */
export interface Archiver {
  readonly name: string;
  init(archive: string): Promise<void>;
  /** Drops what it remembers of archives: a copy of one is another's twin. */
  forget?(): void;
  /** The arguments of a backup, for whoever starts it in a way of its own. */
  backup(archive: string, source: string, name: string): readonly [program: string, args: readonly string[]];
  restore(archive: string, name: string, target: string): Promise<void>;
  /** Keeps the newest alone, and frees what the others had. */
  prune(archive: string): Promise<void>;
  /** Reads and checks all data. */
  check(archive: string): Promise<void>;
}

const restic: Archiver = {
  name: "restic",
  init: (archive) => run("restic", ["-r", archive, "init"]),
  backup: (archive, source, name) => ["restic", ["-r", archive, "backup", "--tag", name, source]],
  restore: (archive, name, target) =>
    run("restic", ["-r", archive, "restore", "latest", "--tag", name, "--target", target]),
  prune: (archive) =>
    run("restic", ["-r", archive, "forget", "--group-by", "", "--keep-last", "1", "--prune"]),
  check: (archive) => run("restic", ["-r", archive, "check", "--read-data"]),
};

const borg: Archiver = {
  name: "borg",
  init: (archive) => run("borg", ["init", "--encryption", "none", archive]),
  forget: () => rmSync(join(cache, "borg-cache"), { recursive: true, force: true }),
  backup: (archive, source, name) => ["borg", ["create", `${archive}::${name}`, source]],
  restore: async (archive, name, target) => {
    await run("mkdir", ["-p", target]);
    await run("borg", ["extract", `${archive}::${name}`], target);
  },
  async prune(archive) {
    await run("borg", ["prune", "--keep-last", "1", archive]);
    await run("borg", ["compact", archive]);
  },
  check: (archive) => run("borg", ["check", "--verify-data", archive]),
};

export const archivers = (): Archiver[] => [restic, borg].filter(({ name }) => installed(name));
