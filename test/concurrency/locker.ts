// Takes and leaves a table's lock again and again, and looks whether anybody else is inside meanwhile.
// Prints one line a turn; `overlap` is the one that must not come.
//
//   node locker.ts '{"database":…,"inside":…,"stop":…,"seed":1,"forgets":false}'
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { LockSet } from "../../src/lance/lock/lock-set.ts";
import { forgetUnusedLocks } from "../../src/lance/lock/locked-tables.ts";
import { Random } from "./random.ts";
import { isAlive, isStopped, type TurnsTask } from "./turns.ts";

export interface LockerTask extends TurnsTask {
  readonly database: string;
  /** A directory in which whoever holds the lock leaves a file named by its process. */
  readonly inside: string;
  /** Whether it takes the lock's directory away now and then. */
  readonly forgets?: boolean;
  /** Where given, a table of another name each so many milliseconds: all come to it at once for the first time. */
  readonly newTableEveryMs?: number;
}

const task = JSON.parse(process.argv[2] ?? "{}") as LockerTask;
const random = new Random(task.seed);

while (!isStopped(task)) {
  const locks = new LockSet({ database: task.database, timeoutMs: 60_000 });
  const table = `t${task.newTableEveryMs ? Math.floor(Date.now() / task.newTableEveryMs) : ""}`;
  await locks.acquire(table);
  const mine = join(task.inside, `${table}.${process.pid}`);
  writeFileSync(mine, "");
  const others = readdirSync(task.inside)
    .filter((name) => name.startsWith(`${table}.`))
    .map((name) => Number(name.split(".")[1]))
    .filter((pid) => pid !== process.pid && isAlive(pid));
  if (random.chance(0.7)) await sleep(random.below(4));
  process.stdout.write(others.length > 0 ? `overlap with ${others.join(", ")}\n` : "turn\n");
  rmSync(mine);
  locks.releaseAll();
  if (task.forgets && random.chance(0.3)) await forgetUnusedLocks(task.database, -1);
}
