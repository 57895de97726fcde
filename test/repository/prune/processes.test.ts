import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
import { Random } from "../../concurrency/random.ts";
import { recordFigures } from "../../crash/figures.ts";
import { nightly } from "../../crash/workshop.ts";
import { newDirectory } from "../../support/database.ts";
import { namesBelow } from "../../support/pieces.ts";
import { Place } from "./place.ts";
import type { WorkerTask } from "./worker.ts";

const WORKER = join(import.meta.dirname, "worker.ts");
const SEED = 20_261_121;

const children = new Set<ChildProcess>();
afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
});

test("backups, deletions and prunes without a grace period in several processes that are killed: no snapshot lacks a blob", {
  timeout: 600_000,
}, async () => {
  const directory = join(await newDirectory(), "repository");
  const place = new Place(directory);
  const until = Date.now() + (nightly ? 120_000 : 10_000);
  const random = new Random(SEED);
  let [seed, output, kills] = [SEED, "", 0];
  const begin = () => {
    const task: WorkerTask = { directory, until, seed: seed++ };
    const child = spawn(process.execPath, [WORKER, JSON.stringify(task)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    children.add(child);
    child.stdout.on("data", (data: Buffer) => {
      output += data;
    });
    return child;
  };
  const running = Array.from({ length: 4 }, begin);
  while (Date.now() < until - 1500) {
    await sleep(400 + random.below(600));
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
  await place.assertWhole();
  const made = output.match(/^made /gm)?.length ?? 0;
  const freed = [...output.matchAll(/^freed (\d+)$/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
  const snapshots = (await place.catalog.ids()).length;
  recordFigures("Prune beside backups", [
    {
      processes: 4,
      "processes killed": kills,
      "snapshots made": made,
      "blobs freed": freed,
      "blobs lost": 0,
    },
  ]);
  expect(snapshots).toBeGreaterThan(0);
  expect(made).toBeGreaterThan(0);
  expect(freed).toBeGreaterThan(0);
  await place.prune({ graceHours: 0 });
  expect(await place.blobs()).toEqual(await place.assertWhole());
  expect(await namesBelow(place.storage, "leases/")).toEqual([]);
  expect(await namesBelow(place.storage, "marks/")).toEqual([]);
});
