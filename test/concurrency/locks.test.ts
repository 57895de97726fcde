import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "@lancedb/lancedb";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { LockedError } from "../../src/errors.ts";
import { BackupManager } from "../../src/guard/backup-manager.ts";
import { LockSet } from "../../src/lance/lock/lock-set.ts";
import { recordFigures } from "../crash/figures.ts";
import { rows } from "../crash/fixture.ts";
import { observe } from "../crash/observe.ts";
import { silent } from "../crash/silent.ts";
import { assertWhole, type Place, Workshop } from "../crash/workshop.ts";
import type { LockerTask } from "./locker.ts";
import { countLines, runUnderKills } from "./under-kills.ts";

const LOCKER = join(import.meta.dirname, "locker.ts");
const HOLDER = join(import.meta.dirname, "holder.ts");

const workshop = new Workshop();
const children: ChildProcess[] = [];
beforeAll(() => workshop.prepare());
afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
  workshop[Symbol.dispose]();
});

function start(program: string, task: unknown): ChildProcess {
  const child = spawn(process.execPath, [program, JSON.stringify(task)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  children.push(child);
  return child;
}

const WAYS: [test: string, table: string, task: Partial<LockerTask>, turns: number][] = [
  ["processes that are killed while they hold a lock never let two in", "Lock of one table", {}, 100],
  [
    "nor do those that take the lock's directory away meanwhile",
    "Lock of one table, taken away now and then",
    { forgets: true },
    100,
  ],
  [
    "nor do those that come to a table that nobody has locked before",
    "Locks of tables that are new",
    { newTableEveryMs: 10 },
    1000,
  ],
];
test.for(WAYS)("%s", async ([, table, way, turns]) => {
  const database = join(workshop.root, `locks-${table}`);
  const inside = join(workshop.root, `inside-${table}`);
  mkdirSync(database);
  mkdirSync(inside);
  const turnsIn = (output: string) => countLines(output, /^turn$/);
  const { output, kills } = await runUnderKills({
    program: LOCKER,
    processes: 6,
    task: { database, inside, ...way },
    directory: inside,
    pauseMs: [50, 150],
    isEnough: (output) => turnsIn(output) > turns,
  });
  const overlaps = output.match(/^overlap.*$/gm) ?? [];
  recordFigures(table, [
    { processes: 6, turns: turnsIn(output), "holders killed": kills, overlaps: overlaps.length },
  ]);
  expect(overlaps).toEqual([]);
});

const managerOf = (place: Place, lockTimeoutMs = 400) =>
  new BackupManager({ uri: place.uri, backupDir: place.backupDir, logger: silent, lockTimeoutMs });

const addTo = (place: Place, table: string, manager = managerOf(place)) =>
  manager.withBackup(
    "lance-version",
    async (db) => void (await (await db.openTable(table)).add(rows(700, 1))),
  );

async function hold(place: Place, table: string): Promise<ChildProcess> {
  const child = start(HOLDER, { ...place, table });
  await once(child.stdout!, "data");
  return child;
}

describe("a table that another process holds", () => {
  test("is waited for; others go on; and it is had when the holder has left", async () => {
    const place = workshop.place();
    const holder = await hold(place, "a");
    await addTo(place, "b");
    const refused = addTo(place, "a");
    await expect(refused).rejects.toThrow(LockedError);
    await expect(refused).rejects.toThrow(
      new RegExp(`Table a is in use.*process ${holder.pid} on .*since 20`),
    );
    const waiting = addTo(place, "a", managerOf(place, 20_000));
    holder.stdin?.write("end\n");
    await waiting;
    expect((await observe(place.uri))["a"]?.rows.filter((row) => /"id":[67]00/.test(row))).toHaveLength(2);
  });

  test("stays held while the holder is stopped, also for recover()", async () => {
    const place = workshop.place();
    const holder = await hold(place, "a");
    holder.kill("SIGSTOP");
    await sleep(1500);
    await expect(addTo(place, "a")).rejects.toThrow(LockedError);
    expect((await managerOf(place).recover({ force: true })).entries).toMatchObject([{ action: "active" }]);
    await expect(addTo(place, "a")).rejects.toThrow(LockedError);
    holder.kill("SIGCONT");
    holder.stdin?.write("end\n");
    await once(holder, "exit");
    await addTo(place, "a");
    expect((await observe(place.uri))["a"]?.rows.filter((row) => /"id":[67]00/.test(row))).toHaveLength(2);
  });

  test("is had at once when the holder is killed, and its work is rolled back first", async () => {
    const place = workshop.place();
    const ends = await workshop.ends("insert");
    const manager = managerOf(place, 10_000);
    await manager.recover();
    const holder = await hold(place, "a");
    // Named, so that the table is opened when its lock is had: a handle from before stops at the restore.
    const waiting = manager.withBackup(
      "lance-version",
      async (db) => void (await (await db.openTable("a")).add(rows(700, 1))),
      { tables: ["a"] },
    );
    await sleep(200);
    holder.kill("SIGKILL");
    await waiting;
    const now = (await observe(place.uri))["a"]?.rows ?? [];
    expect(now.filter((row) => /"id":600/.test(row))).toEqual([]);
    expect(now).toHaveLength((ends.before["a"]?.rows.length ?? 0) + 1);
  });

  test("several that wait for tables of one dead operation: one rolls it back, all have their turn", async () => {
    const ends = await workshop.ends("several tables");
    for (let round = 0; round < 5; round++) {
      const place = workshop.place();
      await workshop.die(place, "several tables", "lance-version");
      const waiting = ["b", "a"].map((table) =>
        managerOf(place, 10_000).withBackup(
          "lance-version",
          async (db) => void (await (await db.openTable(table)).add(rows(700, 1))),
          { tables: [table] },
        ),
      );
      await Promise.all(waiting);
      const now = await observe(place.uri);
      for (const table of ["a", "b"]) {
        expect(now[table]?.rows.filter((row) => !/"id":700/.test(row))).toEqual(ends.before[table]?.rows);
      }
    }
  });

  test("with a lock of a number that no lock has: told, and no wait without end", async () => {
    const place = workshop.place();
    const locks = join(place.uri, ".lancedb-backup/locks/a");
    mkdirSync(locks, { recursive: true });
    writeFileSync(join(locks, "999999999999999.json"), "");
    const error = await addTo(place, "a").catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "CORRUPT", path: join(locks, "999999999999999.json") });
    await addTo(place, "b");
  });

  test("an abort ends the wait with its reason, and leaves nothing", async () => {
    const place = workshop.place();
    const holder = await hold(place, "a");
    const controller = new AbortController();
    const waiting = managerOf(place, 60_000).withBackup(
      "directory-copy",
      async (db) => void (await (await db.openTable("a")).add(rows(700, 1))),
      { signal: controller.signal },
    );
    setTimeout(() => controller.abort("enough"), 200);
    await expect(waiting).rejects.toBe("enough");
    holder.stdin?.write("end\n");
    await once(holder, "exit");
  });
});

/** Changes who holds a table, in its lock and in its journal entry, as another machine would see it. */
function editOwners(place: Place, edit: (owner: Record<string, unknown>) => void): void {
  const own = join(place.uri, ".lancedb-backup");
  const files = readdirSync(own, { recursive: true })
    .map(String)
    .filter((path) => /locks\/.*\.json$|owner\.json$/.test(path))
    .map((path) => join(own, path));
  for (const path of files) {
    const content = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
    edit((content["owner"] ?? content) as Record<string, unknown>);
    writeFileSync(path, JSON.stringify(content));
  }
}

describe("the owner of a dead process's work", () => {
  async function deadPlace(): Promise<Place> {
    const place = workshop.place();
    await workshop.die(place, "several tables", "directory-copy");
    return place;
  }

  test("with a process id that lives again is dead by its start time", async () => {
    const place = await deadPlace();
    editOwners(place, (owner) => {
      owner["pid"] = process.pid;
    });
    await assertWhole(place, await workshop.ends("several tables"), "before");
  });

  test("from before the last start of the machine is dead, whoever has its process id", async () => {
    const place = await deadPlace();
    editOwners(place, (owner) => {
      owner["bootId"] = "another";
      owner["pid"] = 1;
    });
    await assertWhole(place, await workshop.ends("several tables"), "before");
  });

  const unknown: [string, Record<string, string>][] = [
    ["on another host", { host: "elsewhere" }],
    ["in another container", { pidNamespace: "pid:[1]" }],
  ];
  test.for(unknown)(
    "%s cannot be known: LockedError says who, where and since when; force is the way",
    async ([, change]) => {
      const place = await deadPlace();
      const ends = await workshop.ends("several tables");
      let owner: Record<string, unknown> = {};
      editOwners(place, (found) => {
        Object.assign(found, change);
        owner = found;
      });
      const says = new RegExp(
        `process ${owner["pid"]} on ${owner["host"]}, since ${owner["since"]}.*force: true`,
      );
      await expect(managerOf(place).recover()).rejects.toThrow(says);
      await expect(managerOf(place).recover()).rejects.toThrow(LockedError);
      await expect(addTo(place, "a")).rejects.toThrow(says);
      await addTo(place, "c");
      expect((await managerOf(place).recover({ force: true })).entries).toMatchObject([
        { action: "rolled-back" },
      ]);
      expect({ ...(await observe(place.uri)), c: ends.before["c"] }).toEqual(ends.before);
      await addTo(place, "a");
    },
  );

  test("that died with a lock and no entry frees the table by force too", async () => {
    const place = workshop.place();
    await new LockSet({ database: place.uri, timeoutMs: 0 }).acquire("a");
    editOwners(place, (owner) => {
      owner["host"] = "elsewhere";
    });
    await expect(addTo(place, "a")).rejects.toThrow(/force: true/);
    await managerOf(place).recover({ force: true });
    await addTo(place, "a");
  });
});

test("two operations that meet each other's tables: one gives up and goes back, the other gets its turn then", async () => {
  const place = workshop.place();
  const before = await observe(place.uri);
  const bothIn = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
  const cross = async (first: string, second: string, own: 0 | 1) =>
    managerOf(place, 5000).withBackup("directory-copy", async (db) => {
      await (await db.openTable(first)).add(rows(700 + own, 1));
      bothIn[own].resolve();
      await bothIn[1 - own]?.promise;
      await (await db.openTable(second)).add(rows(700 + own, 1));
    });
  const ends = await Promise.allSettled([cross("a", "b", 0), cross("b", "a", 1)]);
  expect(ends.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  const failed = ends.find((end) => end.status === "rejected");
  expect(failed?.reason).toBeInstanceOf(LockedError);
  expect(await observe(place.uri)).not.toEqual(before);
  for (const table of ["a", "b"]) {
    const added = (await (await connect(place.uri)).openTable(table)).countRows("id >= 700 AND id < 702");
    expect(await added, table).toBe(1);
  }
  await addTo(place, "a");
  await addTo(place, "b");
});
