import { existsSync, readFileSync } from "node:fs";
import { withLock } from "./lock.mjs";
import { runToEnd, systemPath, toolPath } from "./process.mjs";
import { inProject, PreparationError, say } from "./project.mjs";
import { digest, hasStamp, readIfPresent, writeStamp } from "./stamp.mjs";

const stampFile = inProject("node_modules", ".lancedb-backup-install");

/** The first Node that runs TypeScript files as they are, without a flag. */
const oldestNode = [22, 18];

/** Runs `npm install` where the dependencies asked for are not the ones that were installed last. */
export async function installIfOwed() {
  if (hasStamp(stampFile, wanted())) return;
  await withLock(() => {
    if (hasStamp(stampFile, wanted())) return;
    say(existsSync(inProject("node_modules")) ? "dependencies changed: npm install" : "npm install");
    // With the machine's own Node: the one in node_modules may be replaced by this very install.
    const { status, error } = runToEnd(
      "npm",
      ["install", "--no-audit", "--no-fund", "--loglevel=error"],
      systemPath(),
    );
    if (status !== 0) {
      throw new PreparationError(
        `npm install failed (${error?.message ?? `exit code ${status}`}): its own message is above. Nothing else was run.`,
      );
    }
    checkNode();
    // npm may have completed the lock file, so this is not the digest from before.
    writeStamp(stampFile, wanted());
  });
}

/** Only what decides what npm installs: a new script in package.json owes no install. */
function wanted() {
  const manifest = JSON.parse(readFileSync(inProject("package.json"), "utf8"));
  const { dependencies, devDependencies, peerDependencies, optionalDependencies, overrides, allowScripts } =
    manifest;
  return digest({
    manifest: JSON.stringify([
      dependencies,
      devDependencies,
      peerDependencies,
      optionalDependencies,
      overrides,
      allowScripts,
    ]),
    lock: readIfPresent(inProject("package-lock.json")),
    npmrc: readIfPresent(inProject(".npmrc")),
    platform: `${process.platform}-${process.arch}`,
  });
}

/** The `node` package fetches its binary in an install script, which npm may have been told not to run. */
function checkNode() {
  const { status, stdout } = runToEnd("node", ["-p", "process.versions.node"], toolPath(), "pipe");
  const [major = 0, minor = 0] = status === 0 ? stdout.split(".").map(Number) : [];
  if (major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1])) return;
  throw new PreparationError(
    `Node ${oldestNode.join(".")} or newer is needed, found ${stdout.trim() || "none"}. ` +
      `npm normally brings one (the "node" development dependency); it may have been told to ignore install scripts. ` +
      `Allow them, or install a newer Node.`,
  );
}
