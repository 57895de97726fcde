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
    "package.json": readIfPresent(inProject("package.json")),
    compiler: readIfPresent(inProject("node_modules", "typescript", "package.json")),
  });
}

/** @param {string} digestOfSources */
function compile(digestOfSources) {
  // Beside dist/, so that the relative paths in source maps are right in either place.
  const fresh = inProject(`${temporaryPrefix}${process.pid}`);
  const old = inProject(`${temporaryPrefix}old-${process.pid}`);
  try {
    const { status, error } = runToEnd("tsc", ["-p", "tsconfig.build.json", "--outDir", fresh], toolPath());
    if (status !== 0) {
      throw new PreparationError(
        `The build failed (${error?.message ?? `tsc, exit code ${status}`}). Nothing else was run.`,
      );
    }
    writeStamp(join(fresh, stampName), digestOfSources);
    if (existsSync(output)) renameSync(output, old);
    renameSync(fresh, output);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
    rmSync(old, { recursive: true, force: true });
  }
}

/** Of builds that were killed. */
function removeLeftovers() {
  for (const name of readdirSync(root)) {
    const owner = /^\.dist-(?:old-)?(\d+)$/.exec(name)?.[1];
    if (owner !== undefined && !isAlive(Number(owner)))
      rmSync(inProject(name), { recursive: true, force: true });
  }
}
