import { accessSync, constants, readdirSync, realpathSync, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { answerOf } from "./run-program.ts";

/** A program of this machine, and what it says its version is. */
export interface FoundProgram {
  readonly path: string;
  /** As it says, `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`. */
  readonly version: string;
  /** The first numbers in it: 15, 18. */
  readonly major: number;
  readonly minor: number;
}

/**
 * The programs of one name that are in these directories, and then in PATH, each once. `only` is looked in alone where
 * it is given.
 */
export async function findPrograms(
  names: readonly string[],
  where: { readonly only?: string | undefined; readonly directories?: readonly string[] },
  env: NodeJS.ProcessEnv,
): Promise<readonly FoundProgram[]> {
  const inPath = (env["PATH"] ?? "").split(delimiter).filter((directory) => directory !== "");
  const directories = where.only === undefined ? [...(where.directories ?? []), ...inPath] : [where.only];
  const paths = new Map<string, string>();
  for (const directory of directories) {
    for (const name of names) {
      const path = join(directory, name);
      const real = isProgram(path) ? realpathSync(path) : undefined;
      // Debian's wrapper chooses among versions by files of its own.
      if (real === undefined || real.endsWith("/pg_wrapper") || paths.has(real)) continue;
      paths.set(real, path);
    }
  }
  const found = await Promise.all([...paths.values()].map((path) => inspect(path, env)));
  return found.filter((program) => program !== undefined);
}

/** The directories in `parents` whose names are versions, the newest first, and `below` in them. */
export function versionDirectories(
  parents: readonly [parent: string, name: RegExp, below: string][],
): string[] {
  return parents.flatMap(([parent, name, below]) =>
    listed(parent)
      .flatMap((entry) => {
        const version = name.exec(entry)?.[1];
        return version === undefined ? [] : [{ entry, version: Number(version) }];
      })
      .sort((a, b) => b.version - a.version)
      .map(({ entry }) => join(parent, entry, below)),
  );
}

function listed(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // such machines have none
  }
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false; // not there, or not for us: others are looked at
  }
}

async function inspect(path: string, env: NodeJS.ProcessEnv): Promise<FoundProgram | undefined> {
  const { output } = await answerOf({ path, args: ["--version"], env });
  const version = output.trim();
  const [, major, minor] = /(\d+)\.?(\d+)?/.exec(version.replace(/^.*\bDistrib /, "")) ?? [];
  return major === undefined ? undefined : { path, version, major: Number(major), minor: Number(minor ?? 0) };
}
