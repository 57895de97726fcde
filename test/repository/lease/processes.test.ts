import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
import { Random } from "../../concurrency/random.ts";
import { recordFigures } from "../../crash/figures.ts";
import { nightly } from "../../crash/workshop.ts";
import { newDirectory } from "../../support/database.ts";
import type { HolderTask } from "./holder.ts";

const HOLDER = join(import.meta.dirname, "holder.ts");
const SEED = 20_261_121;

const children = new Set<ChildProcess>();
afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
});

test("killed holders bar nobody and never let two in who bar each other", { timeout: 300_000 }, async () => {
  const root = await newDirectory();
  const inside = join(root, "inside");
  mkdirSync(inside);
  const until = Date.now() + (nightly ? 60_000 : 7_000);
  const random = new Random(SEED);
  let [seed, output, kills] = [SEED, "", 0];
  const begin = () => {
    const task: HolderTask = { directory: join(root, "repository"), inside, until, seed: seed++ };
    const child = spawn(process.execPath, [HOLDER, JSON.stringify(task)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    children.add(child);
    child.stdout.on("data", (data: Buffer) => {
      output += data;
    });
    return child;
  };
  const running = Array.from({ length: 5 }, begin);
  while (Date.now() < until - 1500) {
    await sleep(150 + random.below(300));
    const slot = random.below(running.length);
    const child = running[slot];
    child?.kill("SIGKILL");
    if (child && child.exitCode === null && child.signalCode === null) await once(child, "exit");
    kills++;
    running[slot] = begin();
  }
  for (const child of running) {
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    expect(child.exitCode).toBe(0);
  }
  const count = (pattern: RegExp) => output.match(pattern)?.length ?? 0;
  const shared = count(/^turn shared$/gm);
  const exclusive = count(/^turn exclusive$/gm);
  const overlaps = output.match(/^overlap.*$/gm) ?? [];
  recordFigures("Leases of a repository", [
    { processes: 5, shared, exclusive, "holders killed": kills, overlaps: overlaps.length },
  ]);
  expect(overlaps).toEqual([]);
  expect(shared).toBeGreaterThan(0);
  expect(exclusive).toBeGreaterThan(0);
});
