import { execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { cache } from "../data/paths.ts";
import { noteCommand } from "./commands.ts";

const call = promisify(execFile);

/** A program's own password prompt, cache and questions are kept out of the measurement. */
const environment = () => ({
  ...process.env,
  RESTIC_PASSWORD: "bench",
  RESTIC_CACHE_DIR: join(cache, "restic-cache"),
  BORG_BASE_DIR: join(cache, "borg-cache"),
  BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: "yes",
  BORG_RELOCATED_REPO_ACCESS_IS_OK: "yes",
});

/** The most memory that a program's process held, in MB (millions of bytes); only Linux tells. */
export async function peakMemory(program: string, args: readonly string[]): Promise<number> {
  noteCommand(program, args);
  const child = spawn(program, args, { env: environment(), stdio: ["ignore", "ignore", "inherit"] });
  let highest = 0;
  const timer = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
      highest = Math.max(highest, Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0));
    } catch {
      return; // it has just ended
    }
  }, 5);
  try {
    const [code] = await once(child, "exit");
    if (code !== 0) throw new Error(`${program} ended with ${code}`);
  } finally {
    clearInterval(timer);
  }
  return (highest * 1024) / 1e6;
}

const found = new Map<string, boolean>();

/** Runs a program to its end; what it says is shown where it fails. */
export async function run(program: string, args: readonly string[], cwd?: string): Promise<void> {
  noteCommand(program, args, cwd);
  await call(program, args, { env: environment(), cwd, maxBuffer: 1 << 26 });
}

/** Runs a program to its end. @returns the milliseconds that processors worked for it */
export async function processorTime(program: string, args: readonly string[]): Promise<number> {
  noteCommand(program, args);
  const timed = ["-c", '"$@" >/dev/null; status=$?; times; exit $status', "bash", program, ...args];
  const { stdout } = await call("bash", timed, { env: environment(), maxBuffer: 1 << 26 });
  const ofChildren = stdout.trim().split("\n").at(-1) ?? ""; // "0m2.351s 0m0.905s": user and system
  const parts = [...ofChildren.matchAll(/(\d+)m([\d.]+)s/g)];
  return parts.reduce(
    (sum, [, minutes, seconds]) => sum + 60_000 * Number(minutes) + 1000 * Number(seconds),
    0,
  );
}

/** The programs that people would use instead, those that are installed here (Debian: restic, borgbackup, rsync). */
export function installed(program: string): boolean {
  const known = found.get(program);
  if (known !== undefined) return known;
  const there = spawnSync(program, ["--version"]).error === undefined;
  if (!there) console.log(`${program} is not installed: it is left out`);
  found.set(program, there);
  return there;
}
