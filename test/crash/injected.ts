import { join } from "node:path";
import type { Injection } from "./inject.ts";
import { type PlainRun, runPlain } from "./plain.ts";

export interface InjectedRun extends PlainRun {
  /** Calls that were counted, where the program came to its end. */
  readonly calls: number | undefined;
  /** What the injection hit, as `rename <path>`. */
  readonly hit: string | undefined;
}

/** Runs a program whose own file calls are counted, and one of them fails or is its last. */
export async function runInjected(argv: readonly string[], injection: Injection): Promise<InjectedRun> {
  const [node, ...rest] = argv;
  const run = await runPlain([node ?? "", "--import", join(import.meta.dirname, "inject.ts"), ...rest], {
    env: { ...process.env, INJECT: JSON.stringify(injection) },
  });
  const calls = /^calls: (\d+)$/m.exec(run.stderr)?.[1];
  const hit = /^injected at \d+: (.*)$/m.exec(run.stderr)?.[1];
  return { calls: calls === undefined ? undefined : Number(calls), hit, ...run };
}
