// Takes leases of random kinds again and again, and looks whether anybody is inside who must not be. Prints one
// line a turn; `overlap` is the one that must not come.
//
//   node holder.ts '{"directory":…,"inside":…,"stop":…,"seed":1}'
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { LocalStorage } from "../../../src/storage/local-storage.ts";
import { Random } from "../../concurrency/random.ts";
import { isAlive, isStopped, type TurnsTask } from "../../concurrency/turns.ts";
import { silent } from "../../crash/silent.ts";
import { acquireLease } from "./leases.ts";

export interface HolderTask extends TurnsTask {
  readonly directory: string;
  /** A directory in which whoever holds a lease leaves a file named by its process and kind. */
  readonly inside: string;
}

const task = JSON.parse(process.argv[2] ?? "{}") as HolderTask;
const random = new Random(task.seed);
const storage = new LocalStorage(task.directory);

while (!isStopped(task)) {
  const kind = random.chance(0.3) ? "exclusive" : "shared";
  await using lease = await acquireLease(storage, kind, { logger: silent, timeoutMs: 120_000 });
  const mine = `${process.pid}-${kind}`;
  writeFileSync(join(task.inside, mine), "");
  const others = () =>
    readdirSync(task.inside)
      .filter((name) => name !== mine && isAlive(name.split("-")[0]))
      .filter((name) => kind === "exclusive" || name.endsWith("exclusive"));
  const overlaps = others();
  if (random.chance(0.7)) await sleep(random.below(20));
  overlaps.push(...others());
  await lease.assertHeld();
  rmSync(join(task.inside, mine));
  process.stdout.write(
    overlaps.length > 0 ? `overlap of ${kind} with ${overlaps.join(", ")}\n` : `turn ${kind}\n`,
  );
}
