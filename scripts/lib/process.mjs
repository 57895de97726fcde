import { spawn, spawnSync } from "node:child_process";
import { constants } from "node:os";
import { delimiter } from "node:path";
import { inProject, root, say } from "./project.mjs";

const tools = inProject("node_modules", ".bin");
const isWindows = process.platform === "win32";

/** The machine's own search path. npm puts our tools, and with them our Node, in front of it. */
export function systemPath() {
  return searchPath()
    .filter((directory) => directory !== tools)
    .join(delimiter);
}

/** Our tools first: `node` is then the one from node_modules. */
export function toolPath() {
  return [tools, systemPath()].join(delimiter);
}

const searchPath = () => (process.env["PATH"] ?? "").split(delimiter);

/**
 * @param {string} command
 * @param {string[]} args
 * @param {string} path
 * @param {"inherit" | "pipe"} [output]
 */
export function runToEnd(command, args, path, output = "inherit") {
  return spawnSync(command, args, {
    cwd: root,
    env: { ...process.env, PATH: path },
    encoding: "utf8",
    // What we prepare is not the command's own output: npm and tsc write to stderr.
    stdio: ["ignore", output === "inherit" ? process.stderr.fd : "pipe", "inherit"],
    shell: isWindows,
  });
}

/**
 * Runs the command in this process's place, as far as Node allows: its input and output, its signals, its exit
 * code, or its death by a signal.
 *
 * @param {string} command
 * @param {string[]} args
 */
export function runCommand(command, args) {
  const child = spawn(command, args, {
    cwd: root,
    env: { ...process.env, PATH: toolPath() },
    stdio: "inherit",
    shell: isWindows,
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => {
      // A terminal sends Ctrl-C to the whole process group: passed on as well, it would count as a second one.
      if (signal === "SIGINT" && process.stdin.isTTY) return;
      child.kill(signal);
    });
  }
  return new Promise((resolve) => {
    child.on("error", (error) => {
      say(`${command}: ${error.message}`);
      process.exitCode = 127;
      resolve();
    });
    child.on("exit", (code, signal) => {
      if (signal === null) {
        process.exitCode = code ?? 1;
      } else {
        process.exitCode = 128 + constants.signals[signal];
        for (const each of ["SIGINT", "SIGTERM", "SIGHUP"]) process.removeAllListeners(each);
        process.kill(process.pid, signal);
      }
      resolve();
    });
  });
}
