import { setImmediate as tick } from "node:timers/promises";
import { expect, test } from "vitest";
import type { PeriodicBackupManager } from "../../src/periodic/periodic-manager.ts";
import type { PeriodicBackupOptions } from "../../src/periodic/periodic-options.ts";
import { FakeClock, Place, rowsOf } from "./harness.ts";

class TimedPlace extends Place {
  readonly clock = new FakeClock();

  async begin(options: PeriodicBackupOptions = {}): Promise<PeriodicBackupManager> {
    const db = await this.db();
    await db.createTable("a", rowsOf([1]), { mode: "overwrite" });
    return this.manager({ clock: this.clock, backupInterval: 60, minBackupInterval: 5, ...options });
  }

  count(): number {
    return this.files().length;
  }

  /** Lets time pass, and what it starts come to its end. */
  async pass(seconds: number, manager: PeriodicBackupManager): Promise<void> {
    this.clock.pass(seconds * 1000);
    await idle(manager);
  }
}

/** Resolves when what runs is over. */
async function idle(manager: PeriodicBackupManager): Promise<void> {
  await manager.idle();
  await tick();
}

test("the first backup is due at once, the next ones after the interval", async () => {
  await using place = new TimedPlace();
  const manager = await place.begin();
  manager.start();
  await place.pass(0, manager);
  expect(place.count()).toBe(1);
  await place.pass(59, manager);
  expect(place.count()).toBe(1);
  await place.pass(1, manager);
  expect(place.count()).toBe(2);
  await place.pass(60, manager);
  expect(place.count()).toBe(3);
  await manager.stop();
});

test("after stop nothing begins, and start begins again", async () => {
  await using place = new TimedPlace();
  const manager = await place.begin();
  manager.start();
  manager.start();
  await place.pass(0, manager);
  await manager.stop();
  expect(place.clock.waiting).toBe(0);
  manager.notifyChange();
  await place.pass(1000, manager);
  expect(place.count()).toBe(1);
  manager.start();
  await place.pass(0, manager);
  expect(place.count()).toBe(2);
  await manager.stop();
});

test("a new process counts from the newest file", async () => {
  await using place = new TimedPlace();
  const first = await place.begin();
  await first.backupNow();
  await place.pass(50, first);
  const second = place.manager({ clock: place.clock, backupInterval: 60 });
  second.start();
  await place.pass(9, second);
  expect(place.count()).toBe(1);
  await place.pass(1, second);
  expect(place.count()).toBe(2);
  await second.stop();
});

test("a change is backed up at once, or when the least interval has passed, many of them once", async () => {
  await using place = new TimedPlace();
  const manager = await place.begin();
  manager.start();
  await place.pass(0, manager);
  for (let call = 0; call < 100; call++) manager.notifyChange();
  await place.pass(4, manager);
  expect(place.count()).toBe(1);
  await place.pass(1, manager);
  expect(place.count()).toBe(2);
  await place.pass(20, manager);
  expect(place.count()).toBe(2);
  manager.notifyChange();
  await place.pass(0, manager);
  expect(place.count()).toBe(3);
  await place.pass(59, manager);
  expect(place.count()).toBe(3);
  await place.pass(1, manager);
  expect(place.count()).toBe(4);
  await manager.stop();
});

test("a change during a backup is backed up after it", async () => {
  await using place = new TimedPlace();
  const manager = await place.begin();
  manager.start();
  place.clock.pass(0);
  await tick();
  manager.notifyChange();
  await idle(manager);
  expect(place.count()).toBe(1);
  await place.pass(5, manager);
  expect(place.count()).toBe(2);
  await manager.stop();
});

test("setting the wall clock moves no backup, and files still sort in the order of writing", async () => {
  await using place = new TimedPlace();
  const manager = await place.begin();
  manager.start();
  await place.pass(0, manager);
  place.clock.wall -= 86_400_000;
  await place.pass(59, manager);
  expect(place.count()).toBe(1);
  await place.pass(1, manager);
  expect(place.count()).toBe(2);
  place.clock.wall += 10 * 86_400_000;
  await place.pass(59, manager);
  expect(place.count()).toBe(2);
  await place.pass(1, manager);
  expect(place.count()).toBe(3);
  await manager.stop();
});

test("names never collide while the clock stands still", async () => {
  await using place = new TimedPlace();
  const manager = await place.begin();
  const names: string[] = [];
  for (let count = 0; count < 5; count++) names.push(await manager.backupFull());
  expect(new Set(names).size).toBe(5);
  expect([...names].sort()).toEqual(names);
});

test("each failure is told of and the timer goes on; a success ends the count", async () => {
  await using place = new TimedPlace();
  const failures: [string, number][] = [];
  const manager = await place.begin({
    incremental: true,
    primaryKey: "nothing",
    onBackupFailure: (error, count) => {
      failures.push([error.name, count]);
      throw new Error("a listener's mistake harms nothing");
    },
  });
  manager.start();
  await place.pass(0, manager);
  await place.pass(60, manager);
  expect(failures).toEqual([
    ["ValidationError", 1],
    ["ValidationError", 2],
  ]);
  expect(manager.consecutiveFailures).toBe(2);
  expect(place.count()).toBe(0);
  const db = await place.db();
  const table = await db.openTable("a");
  await table.addColumns([{ name: "nothing", valueSql: "id" }]);
  await place.pass(60, manager);
  expect(manager.consecutiveFailures).toBe(0);
  expect(place.count()).toBe(1);
  await manager.stop();
});

test("backups that are asked for at the same time run one after the other", async () => {
  await using place = new TimedPlace();
  const manager = await place.begin();
  const files = await Promise.all([manager.backupNow(), manager.backupNow(), manager.backupFull()]);
  expect([...files].sort()).toEqual(files);
  expect(new Set(files).size).toBe(3);
});

test("an incremental timer writes nothing where nothing changed, and a full after so many deltas", async () => {
  await using place = new TimedPlace();
  const manager = await place.begin({ incremental: true, maxDeltasBeforeFull: 2 });
  const table = await (await place.db()).openTable("a");
  const newest = await manager.backupNow();
  manager.start();
  await place.pass(60, manager);
  expect(place.count()).toBe(1);
  expect(await manager.backupNow()).toBe(newest);
  for (const expected of [1, 2, 0, 1]) {
    await table.add(rowsOf([10]));
    await place.pass(60, manager);
    expect(manager.deltasSinceFull).toBe(expected);
  }
  expect(place.files().map((name) => name.split("_")[1])).toEqual([
    "backup",
    "delta",
    "delta",
    "backup",
    "delta",
  ]);
  await manager.stop();
});

test("an attached source of commits is followed until it is detached", async () => {
  await using place = new TimedPlace();
  const manager = await place.begin();
  const listeners = new Set<() => void>();
  const detach = manager.attach({
    onCommitted: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  });
  manager.start();
  await place.pass(0, manager);
  await place.pass(10, manager);
  for (const listener of listeners) listener();
  await place.pass(0, manager);
  expect(place.count()).toBe(2);
  detach();
  expect(listeners.size).toBe(0);
  await manager.stop();
});

test("an async onBackupFailure that rejects is logged, and ends nothing", async () => {
  await using place = new Place();
  const rejections: unknown[] = [];
  const take = (reason: unknown) => rejections.push(reason);
  process.on("unhandledRejection", take);
  try {
    const onBackupFailure = async () => {
      throw new Error("the pager is off");
    };
    const manager = place.manager({ onBackupFailure });
    await expect(manager.backupNow()).rejects.toMatchObject({ code: "VALIDATION" });
    await new Promise((resolve) => setImmediate(resolve));
    expect(rejections).toEqual([]);
    expect(place.errors.at(-1)).toMatchObject({ meta: { error: "the pager is off" } });
  } finally {
    process.off("unhandledRejection", take);
  }
});
