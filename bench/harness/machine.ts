import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, release, totalmem, type } from "node:os";
import { dirname, join } from "node:path";

const ROOT = dirname(dirname(import.meta.dirname));

/** What the bench ran on. */
export interface Machine {
  readonly date: string;
  readonly os: string;
  readonly cpu: string | undefined;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly fileSystem: string;
  /** Programs and libraries with their versions. */
  readonly tools: readonly string[];
  readonly commit: string | null;
}

export function machine(): Machine {
  const library = (name: string) => {
    const manifest = JSON.parse(readFileSync(join(ROOT, "node_modules", name, "package.json"), "utf8"));
    return `${name} ${manifest.version}`;
  };
  const programs = [
    ["restic", "version"],
    ["borg", "--version"],
    ["rsync", "--version"],
    ["openssl", "version"],
  ] as const;
  return {
    date: new Date().toISOString().slice(0, 10),
    os: `${type()} ${release()}`,
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    fileSystem: said("stat", ["-f", "-c", "%T", ROOT]) ?? "unknown file system",
    tools: [
      `Node ${process.versions.node}`,
      ...["@lancedb/lancedb", "apache-arrow", "fs-extra"].map(library),
      ...programs.flatMap(([name, flag]) => said(name, [flag])?.split(/ compiled| {2}/)[0] ?? []),
    ],
    commit: said("git", ["rev-parse", "HEAD"]),
  };
}

/** The first line that a program prints; null where there is no such program. */
function said(program: string, args: readonly string[]): string | null {
  try {
    const text = execFileSync(program, args, {
      cwd: ROOT,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    return text.split("\n")[0]?.trim() ?? null;
  } catch {
    return null;
  }
}
