import { execFileSync, spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const project = join(import.meta.dirname, "../..");
const cache = join(project, ".cache/runtimes");

/** An application in a temporary directory, with the package as it is published and the project's own LanceDB beside it. */
export function newApplication(): string {
  const directory = mkdtempSync(join(tmpdir(), "lancedb-backup-application-"));
  const packages = join(directory, "node_modules");
  mkdirSync(join(packages, "lancedb-backup"), { recursive: true });
  for (const name of readdirSync(join(project, "node_modules"))) {
    if (!name.startsWith(".")) symlinkSync(join(project, "node_modules", name), join(packages, name));
  }
  const packed = execFileSync(
    "npm",
    ["pack", "--silent", "--ignore-scripts", "--pack-destination", directory],
    {
      cwd: project,
      encoding: "utf8",
    },
  );
  const tarball = join(directory, packed.trim());
  execFileSync("tar", ["-xzf", tarball, "-C", join(packages, "lancedb-backup"), "--strip-components=1"]);
  rmSync(tarball);
  cpSync(join(import.meta.dirname, "application"), directory, { recursive: true });
  const manifest = { private: true, type: "module", jest: { testMatch: ["**/*.jest.?js"] } };
  writeFileSync(join(directory, "package.json"), JSON.stringify(manifest));
  return directory;
}

/**
 * Where an exact version of a package lies that only these tests need; installed at the first call, in the project's
 * cache. Undefined, with the reason printed, where no registry has it.
 */
export function installed(name: string, version: string): string | undefined {
  const directory = join(cache, `${name.replace("/", "+")}@${version}`);
  const at = join(directory, "node_modules", name);
  if (existsSync(at)) return at;
  mkdirSync(cache, { recursive: true });
  const partial = mkdtempSync(join(cache, ".partial-"));
  const args = ["install", "--prefix", partial, "--no-save", "--ignore-scripts", "--no-audit", "--no-fund"];
  // An own package.json, so that npm does not look for a project above.
  const { status, stderr } = spawnSync("npm", [...args, "--loglevel=error", `${name}@${version}`], {
    cwd: partial,
    encoding: "utf8",
    timeout: 120_000,
  });
  if (status !== 0) {
    console.warn(`skipped, since ${name} ${version} cannot be installed here: ${stderr}`);
    rmSync(partial, { recursive: true, force: true });
    return undefined;
  }
  try {
    renameSync(partial, directory);
  } catch {
    rmSync(partial, { recursive: true, force: true }); // another run was quicker
  }
  return at;
}

/** Runs a program to its end; what it printed. */
export function run(
  command: string,
  args: readonly string[],
  options: { cwd: string; env?: Record<string, string> },
): { status: number | null; signal: string | null; stdout: string; stderr: string } {
  return spawnSync(command, args, {
    cwd: options.cwd,
    env: { ...process.env, LANCEDB_LOG: "off", ...options.env },
    encoding: "utf8",
    timeout: 120_000,
  });
}
