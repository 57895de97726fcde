import { writeFileSync } from "node:fs";
import { join } from "node:path";

interface Configuration {
  /** What `backup_manager` says besides `storage`, a key a line. */
  readonly defaults?: string | readonly string[];
  /** Default: a local directory `vault` beside the file. */
  readonly storage?: string;
  /** `one: { sources: … }` each. */
  readonly policies: string | readonly string[];
}

/** Writes `backup.yaml` into a directory. Answers with its path. */
export function writePolicies(
  directory: string,
  { defaults = [], storage = "type: local, path: vault", policies }: Configuration,
): string {
  const file = join(directory, "backup.yaml");
  const lines = (text: string | readonly string[]) => [text].flat().map((line) => `  ${line}\n`);
  const manager = [`storage: { ${storage} }`, ...[defaults].flat()];
  writeFileSync(file, `backup_manager:\n${lines(manager).join("")}policies:\n${lines(policies).join("")}`);
  return file;
}
