import { spawn } from "node:child_process";
import { join } from "node:path";
import type { Injection } from "./inject.ts";

export interface InjectedRun {
  /** Calls that were counted, where the program came to its end. */
  readonly calls: number | undefined;
  /** What the injection hit, as `rename <path>`. */
  readonly hit: string | undefined;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program whose own file calls are counted, and one of them fails or is its last. */
export async function runInjected(argv: readonly string[], injection: Injection): Promise<InjectedRun> {
  const [node, ...rest] = argv;
  const child = spawn(node ?? "", ["--import", join(import.meta.dirname, "inject.ts"), ...rest], {
    env: { ...process.env, INJECT: JSON.stringify(injection) },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (data: Buffer) => {
    stdout += data;
  });
  child.stderr.on("data", (data: Buffer) => {
    stderr += data;
  });
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (...end) => resolve(end));
  });
  const calls = /^calls: (\d+)$/m.exec(stderr)?.[1];
  const hit = /^injected at \d+: (.*)$/m.exec(stderr)?.[1];
  return { calls: calls === undefined ? undefined : Number(calls), hit, code, signal, stdout, stderr };
}
