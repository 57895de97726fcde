// Runs test/versions against other versions of LanceDB, each in a project of its own under .cache/versions, which has
// this package as it is published and that version beside it.
//
//   npm run test:versions                       all versions that the package says it goes with
//   npm run test:versions -- 0.19.1 two-copies  these
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A step of the API, or of what is on the disk, lies between each two; docs/lance-facts.md says which. */
const OLDER = ["0.19.1", "0.21.3", "0.22.3", "0.24.1", "0.27.2", "0.30.0", "0.33.0"];
/** An application with an old LanceDB, and the newest beside the package. */
const TWO_COPIES = "two-copies";

const ROOT = join(import.meta.dirname, "..");
const SUITE = join(ROOT, "test/versions");
const CACHE = join(ROOT, ".cache/versions");

interface PackageFile {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

const ours = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as PackageFile;
const NEWEST = ours.devDependencies["@lancedb/lancedb"] ?? "";

main();

function main(): void {
  const wanted = process.argv.slice(2);
  const known = [...OLDER, NEWEST, TWO_COPIES];
  const unknown = wanted.find((version) => !known.includes(version));
  if (unknown !== undefined) fail(`${unknown} is none of ${known.join(", ")}.`);
  mkdirSync(CACHE, { recursive: true });
  const tarball = pack();
  const files = makePeriodicFiles();
  let [passed, failed] = [0, 0];
  try {
    for (const version of wanted.length > 0 ? wanted : known) {
      const started = performance.now();
      const project = version === TWO_COPIES ? twoCopies(tarball) : projectWith(version, tarball);
      const result = runSuite(project, version === TWO_COPIES, files);
      passed += result.passed;
      failed += result.failed;
      const seconds = Math.round((performance.now() - started) / 1000);
      say(
        `LanceDB ${version}: ${result.passed} passed, ${result.failed} failed, ${result.skipped} left out; ${seconds} s`,
      );
    }
  } finally {
    rmSync(files, { recursive: true, force: true });
  }
  warnOfNewer();
  say(`${passed} passed, ${failed} failed`);
  if (failed > 0) process.exitCode = 1;
}

/** The package as it would be published. */
function pack(): string {
  run("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", CACHE], ROOT);
  return join(CACHE, `lancedb-backup-${ours.version}.tgz`);
}

/** A project with a version of LanceDB, which stays, and this package, which is laid into it afresh. */
function projectWith(version: string, tarball: string): string {
  const project = join(CACHE, version);
  const others = Object.entries(ours.dependencies).map(([name, range]) => `${name}@${range}`);
  const arrow = `apache-arrow@${ours.devDependencies["apache-arrow"]}`;
  const wanted = [`@lancedb/lancedb@${version}`, arrow, ...others];
  const stamp = join(project, "installed");
  if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== wanted.join("\n")) {
    rmSync(project, { recursive: true, force: true });
    mkdirSync(project, { recursive: true });
    writeFileSync(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }));
    run(
      "npm",
      ["install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error", ...wanted],
      project,
    );
    writeFileSync(stamp, wanted.join("\n"));
  }
  lay(project, tarball);
  return project;
}

/** As npm lays it out: one apache-arrow for both, and the package's LanceDB below the package. */
function twoCopies(tarball: string): string {
  const application = projectWith(OLDER[0] ?? "", tarball);
  const project = join(CACHE, TWO_COPIES);
  const modules = join(project, "node_modules");
  rmSync(project, { recursive: true, force: true });
  mkdirSync(modules, { recursive: true });
  writeFileSync(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }));
  borrow(join(application, "node_modules"), modules, ["lancedb-backup"]);
  lay(project, tarball);
  borrow(join(ROOT, "node_modules"), join(modules, "lancedb-backup/node_modules"), ["apache-arrow"]);
  return project;
}

/** Links all modules but LanceDB, which is copied: what it needs it then finds from its new place. */
function borrow(from: string, to: string, except: readonly string[]): void {
  const lancedb = "@lancedb/lancedb";
  mkdirSync(join(to, "@lancedb"), { recursive: true });
  cpSync(join(from, lancedb), join(to, lancedb), { recursive: true });
  const names = readdirSync(from).flatMap((name) => {
    return name === "@lancedb" ? readdirSync(join(from, name)).map((inner) => join(name, inner)) : name;
  });
  for (const name of names) {
    if (name !== lancedb && !except.includes(name)) symlinkSync(join(from, name), join(to, name));
  }
}

function lay(project: string, tarball: string): void {
  const place = join(project, "node_modules/lancedb-backup");
  rmSync(place, { recursive: true, force: true });
  mkdirSync(place, { recursive: true });
  run("tar", ["-xzf", tarball, "-C", place, "--strip-components=1"], project);
  rmSync(join(project, "suite"), { recursive: true, force: true });
  cpSync(SUITE, join(project, "suite"), { recursive: true });
}

function runSuite(
  project: string,
  isTwoCopies: boolean,
  periodicFiles: string,
): { passed: number; failed: number; skipped: number } {
  const suites = readdirSync(SUITE).filter((name) => {
    return name.endsWith(".versions.ts") && name.startsWith(TWO_COPIES) === isTwoCopies;
  });
  const [full = ""] = readdirSync(periodicFiles).filter((name) => name.startsWith("lancedb_backup"));
  const tested = spawnSync(
    process.execPath,
    ["--test", "--test-concurrency=1", "--test-reporter=tap", ...suites.map((name) => join("suite", name))],
    {
      cwd: project,
      encoding: "utf8",
      maxBuffer: 1 << 28,
      // LanceDB itself warns of each table that it makes.
      env: {
        ...process.env,
        RUST_LOG: "error",
        PERIODIC_FILES: periodicFiles,
        PERIODIC_FULL: join(periodicFiles, full),
      },
    },
  );
  const types = isTwoCopies ? undefined : checkTypes(project);
  const count = (what: string) => Number(new RegExp(`^# ${what} (\\d+)$`, "m").exec(tested.stdout)?.[1] ?? 0);
  const result = { passed: count("pass"), failed: count("fail"), skipped: count("skipped") };
  if (types !== undefined) result[types === "" ? "passed" : "failed"]++;
  if (tested.status === 0 && result.failed === 0 && result.passed > 0) return result;
  process.stderr.write(tested.stdout + tested.stderr + (types ?? ""));
  return { ...result, failed: Math.max(result.failed, 1) };
}

/** What the compiler has to say of the package's types beside that version's; empty where nothing. */
function checkTypes(project: string): string {
  const typeRoots = [join(ROOT, "node_modules/@types")];
  const compilerOptions = {
    strict: true,
    noEmit: true,
    module: "nodenext",
    target: "es2023",
    types: ["node"],
    typeRoots,
  };
  const config = join(project, "tsconfig.json");
  writeFileSync(config, JSON.stringify({ compilerOptions, files: ["suite/types.ts"] }));
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  const { stdout, stderr, status } = spawnSync(process.execPath, [tsc, "-p", config], { encoding: "utf8" });
  return status === 0 ? "" : `${stdout}${stderr}`;
}

/** A full and two deltas, by the LanceDB that the project itself has. */
function makePeriodicFiles(): string {
  const directory = mkdtempSync(join(tmpdir(), "lancedb-backup-files-"));
  run(process.execPath, [join(ROOT, "scripts/lib/periodic-files.ts"), directory], ROOT);
  return directory;
}

/** The package promises nothing for a LanceDB that nobody has tried it with. Offline nothing is said. */
function warnOfNewer(): void {
  const asked = spawnSync("npm", ["view", "@lancedb/lancedb", "dist-tags.latest"], {
    encoding: "utf8",
    timeout: 30_000,
  });
  const latest = asked.status === 0 ? asked.stdout.trim() : "";
  if (latest !== "" && latest !== NEWEST) {
    say(`warning: the registry has LanceDB ${latest}, and the newest that was tried is ${NEWEST}.`);
  }
}

function run(command: string, args: readonly string[], cwd: string): void {
  const { status, error } = spawnSync(command, args, { cwd, stdio: ["ignore", process.stderr, "inherit"] });
  if (error || status !== 0) fail(`${command} ${args.join(" ")} failed${error ? `: ${error.message}` : ""}.`);
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function fail(text: string): never {
  process.stderr.write(`${text}\n`);
  process.exit(1);
}
