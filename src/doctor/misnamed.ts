import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { isDataset } from "../lance/table-directory.ts";
import type { Finding } from "./finding.ts";
import { commandLine } from "./remedies.ts";

/** Where what was named as a database is a table's directory or a repository: nothing else can be said of it then. */
export function diagnoseMisnamed(directory: string): Finding | undefined {
  const base = { check: "database", about: directory, level: "problem" } as const;
  if (basename(directory).endsWith(".lance") || isDataset(directory)) {
    const database = dirname(directory);
    const details = `It is the directory of a table, not a database; the database is ${database}.`;
    return { ...base, details, advice: commandLine("doctor", database) };
  }
  if (existsSync(join(directory, "repository.json"))) {
    const details = "It is a repository, not a database.";
    return { ...base, details, advice: commandLine("doctor", "--repo", directory) };
  }
  return undefined;
}
