import { execFile, spawnSync } from "node:child_process";
import { promisify } from "node:util";

const call = promisify(execFile);

/** A program's own password prompt, cache and questions are kept out of the measurement. */
const ENVIRONMENT = {
  ...process.env,
  RESTIC_PASSWORD: "bench",
  BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: "yes",
  BORG_RELOCATED_REPO_ACCESS_IS_OK: "yes",
};

/** Runs a program to its end; what it says is shown where it fails. */
export async function run(program: string, args: readonly string[], cwd?: string): Promise<void> {
  await call(program, args, { env: ENVIRONMENT, cwd, maxBuffer: 1 << 26 });
}

/** The programs that people would use instead, those that are installed here (Debian: restic, borgbackup, rsync). */
export function installed(program: string): boolean {
  const there = spawnSync(program, ["--version"]).error === undefined;
  if (!there) console.log(`${program} is not installed: it is left out`);
  return there;
}
