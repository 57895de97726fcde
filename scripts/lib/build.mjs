import { existsSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isAlive, withLock } from "./lock.mjs";
import { runToEnd, toolPath } from "./process.mjs";
import { inProject, PreparationError, root, say } from "./project.mjs";
import { digest, hasStamp, readIfPresent, readTree, writeStamp } from "./stamp.mjs";

const output = inProject("dist");
const stampName = ".stamp";
const temporaryPrefix = ".dist-";

/**
 * Compiles src/ into dist/ where dist/ was made from other sources. It is compiled beside dist/ and renamed into
 * place, so that dist/ holds no file of a removed source and a process that reads it meanwhile sees one build.
 */
export async function buildIfOwed() {
  if (hasStamp(join(output, stampName), sources())) return;
  await withLock(() => {
    removeLeftovers();
    const digestOfSources = sources();
    if (hasStamp(join(output, stampName), digestOfSources)) return;
    say("sources changed: build");
    compile(digestOfSources);
  });
}

function sources() {
  return digest({
    ...readTree(inProject("src")),
    "tsconfig.json": readIfPresent(inProject("tsconfig.json")),
    "tsconfig.build.json": readIfPresent(inProject("tsconfig.build.json")),
    "bundle.mjs": readIfPresent(inProject("scripts", "lib", "bundle.mjs")),
    "package.json": readIfPresent(inProject("package.json")),
    compiler: readIfPresent(inProject("node_modules", "typescript", "package.json")),
    charts: readIfPresent(inProject("node_modules", "uplot", "package.json")),
  });
}

/** @param {string} digestOfSources */
function compile(digestOfSources) {
  const fresh = inProject(`${temporaryPrefix}${process.pid}`);
  const types = inProject(`${temporaryPrefix}types-${process.pid}`);
  const old = inProject(`${temporaryPrefix}old-${process.pid}`);
  try {
    run("tsc", ["-p", "tsconfig.build.json", "--outDir", types]);
    run("node", ["scripts/lib/bundle.mjs", types, fresh]);
    writeStamp(join(fresh, stampName), digestOfSources);
    if (existsSync(output)) renameSync(output, old);
    renameSync(fresh, output);
  } finally {
    for (const directory of [fresh, types, old]) rmSync(directory, { recursive: true, force: true });
  }
}

/** @param {string} command @param {string[]} args */
function run(command, args) {
  const { status, error } = runToEnd(command, args, toolPath());
  if (status === 0) return;
  throw new PreparationError(
    `The build failed (${error?.message ?? `${command}, exit code ${status}`}). Nothing else was run.`,
  );
}

/** Of builds that were killed. */
function removeLeftovers() {
  for (const name of readdirSync(root)) {
    const owner = /^\.dist-(?:old-|types-)?(\d+)$/.exec(name)?.[1];
    if (owner !== undefined && !isAlive(Number(owner)))
      rmSync(inProject(name), { recursive: true, force: true });
  }
}
