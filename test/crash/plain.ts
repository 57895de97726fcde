import { type SpawnOptions, spawn } from "node:child_process";

export interface PlainRun {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program and takes what it prints. */
export async function runPlain(argv: readonly string[], options: SpawnOptions = {}): Promise<PlainRun> {
  const [command, ...args] = argv;
  const child = spawn(command ?? "", args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
  let [stdout, stderr] = ["", ""];
  child.stdout?.on("data", (data: Buffer) => {
    stdout += data;
  });
  child.stderr?.on("data", (data: Buffer) => {
    stderr += data;
  });
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (...end) => resolve(end));
  });
  return { code, signal, stdout, stderr };
}
