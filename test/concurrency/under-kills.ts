import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { nightly } from "../crash/workshop.ts";
import { Random } from "./random.ts";
import type { TurnsTask } from "./turns.ts";

const SEED = 20_261_121;
const KILLS = 10;
/** Only for a program that does nothing; a slow machine is no failure. */
const GIVE_UP_MS = 240_000;

export interface UnderKills {
  readonly program: string;
  /** How many run at once. */
  readonly processes: number;
  /** What each is given beside `TurnsTask`. */
  readonly task: object;
  /** A directory of the test's own. */
  readonly directory: string;
  /** Milliseconds between kills: at least, and at random up to so many more. */
  readonly pauseMs: readonly [number, number];
  /** Whether what was printed so far is enough to prove something; asked after some kills. */
  readonly isEnough: (output: string) => boolean;
}

export interface KilledRun {
  readonly output: string;
  readonly kills: number;
}

/**
 * Runs a program in several processes, kills one of them at random again and again and starts another in its
 * place, until they have done enough (in the nightly run: for two minutes at least); then lets them end.
 */
export async function runUnderKills(options: UnderKills): Promise<KilledRun> {
  const random = new Random(SEED);
  const until = Date.now() + (nightly ? 120_000 : 0);
  const stop = join(options.directory, "stop");
  const children = new Set<ChildProcess>();
  let [seed, output, kills] = [SEED, "", 0];
  const begin = () => {
    const task: TurnsTask = { ...options.task, seed: seed++, stop };
    const child = spawn(process.execPath, [options.program, JSON.stringify(task)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    children.add(child);
    child.stdout.on("data", (data: Buffer) => {
      output += data;
    });
    return child;
  };
  try {
    const running = Array.from({ length: options.processes }, begin);
    while (kills < KILLS || Date.now() < until || !options.isEnough(output)) {
      if (Date.now() > until + GIVE_UP_MS) throw new Error(`Not enough was done: ${output.slice(-1000)}`);
      const [least, more] = options.pauseMs;
      await sleep(least + random.below(more));
      const slot = random.below(running.length);
      const child = running[slot]!;
      child.kill("SIGKILL");
      await ended(child);
      expect(child.signalCode, "it ended by itself").toBe("SIGKILL");
      kills++;
      running[slot] = begin();
    }
    writeFileSync(stop, "");
    for (const child of running) {
      await ended(child);
      expect(child.exitCode).toBe(0);
    }
  } finally {
    for (const child of children) child.kill("SIGKILL");
  }
  return { output, kills };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

export function countLines(output: string, pattern: RegExp): number {
  return output.split("\n").filter((line) => pattern.test(line)).length;
}
