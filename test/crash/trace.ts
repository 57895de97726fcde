import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";

/**
 * Runs a program under strace and stops it at every system call that changes a file, whichever of its
 * threads made it, Node's or LanceDB's. strace counts its own `when` for each thread apart, so that a call
 * of a second thread would hide behind the first one's; here each call stops the whole process, and we count.
 */

const CHANGING = [
  ...["write", "pwrite64", "writev", "pwritev", "copy_file_range", "ftruncate", "fallocate"],
  ...["rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat"],
  ...["mkdir", "mkdirat", "rmdir", "fsync", "fdatasync"],
];

/** Calls on these are no change of a file: wake-ups between threads, and what the program prints. */
const NO_FILE = /<(anon_inode|pipe|socket|UNIX|TCP|\/dev\/|\/proc\/)/;

export const hasStrace = process.env["NO_STRACE"] !== "1" && spawnSync("strace", ["-V"]).status === 0;

export interface Step {
  /** The thread's id. */
  readonly thread: string;
  readonly call: string;
  /** As strace writes it. */
  readonly text: string;
}

export interface TracedRun {
  /** Every call that changed a file, in order, up to the kill. */
  readonly steps: readonly Step[];
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** An error was injected by strace. */
  readonly injected: Step | undefined;
}

export interface TraceOptions {
  /** Only changes below this directory count. */
  readonly root: string;
  /** Kill with SIGKILL after this many changes, or when this holds of them. Undefined: never. */
  readonly killAfter?: number | ((steps: readonly Step[]) => boolean) | undefined;
  /** strace's own words, in place of the kill: `renameat:error=EIO:when=2`. */
  readonly inject?: string | undefined;
  /** False: only the first thread is traced. */
  readonly threads?: boolean | undefined;
  readonly env?: NodeJS.ProcessEnv | undefined;
}

export async function runTraced(argv: readonly string[], options: TraceOptions): Promise<TracedRun> {
  const { root, killAfter, inject, threads = true } = options;
  const set = killAfter === undefined ? CHANGING : [...CHANGING, "openat", "creat"];
  const args = [
    ...(threads ? ["-f", "--seccomp-bpf"] : []),
    ...["-qq", "-y", "-s", "64", "-e", "signal=none", "-e", `trace=${set.join(",")}`],
    ...(killAfter === undefined ? [] : ["-e", `inject=${set.join(",")}:signal=SIGSTOP`]),
    ...(inject === undefined ? [] : ["-e", `inject=${inject}`]),
  ];
  // The program's own stderr goes through stdout's sibling, so that strace's lines stay apart.
  const child = spawn("strace", [...args, "sh", "-c", 'exec "$@" 2>&3', "sh", ...argv], {
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe", "pipe"],
  });
  const output = { stdout: "", stderr: "" };
  child.stdout?.on("data", (data: Buffer) => (output.stdout += data));
  child.stdio[3]?.on("data", (data: Buffer) => (output.stderr += data));

  const steps: Step[] = [];
  const open = new Map<string, string>();
  let injected: Step | undefined;
  let main: number | undefined;
  const lines = createInterface({ input: child.stderr as NodeJS.ReadableStream });
  lines.on("line", (line) => {
    const match = /^(?:\[pid +(\d+)\] |(\d+) +)?(.*)$/.exec(line);
    const thread = match?.[1] ?? match?.[2] ?? String(child.pid);
    let text = match?.[3] ?? "";
    main ??= tracee(child.pid);
    if (text.endsWith("<unfinished ...>")) {
      open.set(thread, text.slice(0, -"<unfinished ...>".length));
      return;
    }
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(text);
    if (resumed) text = (open.get(thread) ?? "") + resumed[1];
    const call = /^(\w+)\(/.exec(text)?.[1];
    if (call) {
      const step = { thread, call, text };
      if (text.endsWith("(INJECTED)")) injected ??= step;
      if (text.includes(root) && changesFile(call, text)) steps.push(step);
    }
    if (killAfter === undefined || main === undefined) return;
    const enough = typeof killAfter === "number" ? steps.length >= killAfter : killAfter(steps);
    if (enough && steps.length > 0) kill(main, "SIGKILL");
    else kill(main, "SIGCONT");
  });
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve([code, signal]));
  });
  return { steps, code, signal, ...output, injected };
}

function changesFile(call: string, text: string): boolean {
  if (/= -1 E|= \?/.test(text)) return false;
  if (call === "openat" || call === "creat") return /O_CREAT/.test(text) && !NO_FILE.test(text);
  return !NO_FILE.test(text);
}

/** The program that strace started: its only child, found once. */
function tracee(strace: number | undefined): number | undefined {
  const path = `/proc/${strace}/task/${strace}/children`;
  if (!existsSync(path)) return undefined;
  const found = spawnSync("cat", [path]).stdout.toString().trim().split(" ")[0];
  return found ? Number(found) : undefined;
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
