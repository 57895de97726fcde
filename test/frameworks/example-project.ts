import { execFile, execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

const ROOT = join(import.meta.dirname, "../..");
const CACHE = join(ROOT, ".cache/frameworks");

/** What npm says where there is no registry, or one that lacks what is asked for. */
const NO_REGISTRY =
  /ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|E404|ETARGET|ERR_SOCKET/;
const TIMEOUT_MS = 280_000;

interface Manifest {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

/**
 * An example's directory as a user has it: what it depends on installed by npm in the project's cache, this package as it
 * would be published. Undefined, with the reason printed, where no registry has what it needs.
 */
export async function exampleProject(name: string): Promise<string | undefined> {
  const example = join(ROOT, "examples", name);
  const wanted = readManifest(example);
  const { dependencies, peerDependencies } = readManifest(ROOT);
  const key = JSON.stringify([wanted.dependencies, dependencies, peerDependencies]);
  const digest = createHash("sha256").update(key).digest("hex").slice(0, 12);
  const project = join(CACHE, `${name}-${digest}`);
  mkdirSync(CACHE, { recursive: true });
  const packing = mkdtempSync(join(CACHE, ".packed-"));
  try {
    const tarball = pack(packing);
    if (!existsSync(project) && !(await install(project, wanted, tarball))) return undefined;
    const place = join(project, "node_modules/lancedb-backup");
    execFileSync("tar", ["-xzf", tarball, "-C", place, "--strip-components=1"]);
  } finally {
    rmSync(packing, { recursive: true, force: true });
  }
  copyFileSync(join(example, "main.mjs"), join(project, "main.mjs"));
  return project;
}

/** Each copy of LanceDB in a project, by the directory that it lies in. */
export function lancedbIn(project: string): Record<string, string> {
  const found = globSync("node_modules/**/@lancedb/lancedb/package.json", { cwd: project });
  return Object.fromEntries(
    found.map((path) => [
      path.replace(/^node_modules\/|\/?(node_modules\/)?@lancedb\/lancedb\/package\.json$/g, ""),
      readManifest(join(project, path, "..")).version,
    ]),
  );
}

async function install(project: string, { dependencies }: Manifest, tarball: string): Promise<boolean> {
  const partial = mkdtempSync(join(CACHE, ".partial-"));
  const manifest = {
    private: true,
    type: "module",
    dependencies: { ...dependencies, "lancedb-backup": tarball },
  };
  writeFileSync(join(partial, "package.json"), JSON.stringify(manifest));
  const args = [
    "install",
    "--no-audit",
    "--no-fund",
    "--no-package-lock",
    "--ignore-scripts",
    "--loglevel=error",
  ];
  try {
    await promisify(execFile)("npm", args, { cwd: partial, timeout: TIMEOUT_MS });
  } catch (error) {
    rmSync(partial, { recursive: true, force: true });
    const { stderr = "", killed = false } = error as { readonly stderr?: string; readonly killed?: boolean };
    if (!killed && !NO_REGISTRY.test(stderr)) throw error;
    console.warn(
      `skipped, since its packages cannot be installed here: ${killed ? "it takes too long" : stderr}`,
    );
    return false;
  }
  try {
    renameSync(partial, project);
  } catch {
    rmSync(partial, { recursive: true, force: true }); // another run was quicker
  }
  return true;
}

function pack(into: string): string {
  const args = ["pack", "--silent", "--ignore-scripts", "--pack-destination", into];
  return join(into, execFileSync("npm", args, { cwd: ROOT, encoding: "utf8" }).trim());
}

function readManifest(directory: string): Manifest {
  return JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as Manifest;
}
