import { setTimeout as sleep } from "node:timers/promises";
import { type Connection, connect } from "@lancedb/lancedb";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ConflictError } from "../../src/errors.ts";
import { BackupManager } from "../../src/guard/backup-manager.ts";
import { rows } from "./fixture.ts";
import { leftovers, observe, versionsOnDisk } from "./observe.ts";
import { silent } from "./silent.ts";
import { hasStrace, runTraced } from "./trace.ts";
import { assertWhole, type Place, STRATEGIES, Workshop } from "./workshop.ts";

const workshop = new Workshop();
beforeAll(() => workshop.prepare());
afterAll(() => workshop[Symbol.dispose]());

const managerOf = (place: Place) =>
  new BackupManager({ uri: place.uri, backupDir: place.backupDir, logger: silent });

/** A program that knows nothing of the guard. */
async function asAnother<T>(place: Place, work: (db: Connection) => Promise<T>): Promise<T> {
  const db = await connect(place.uri);
  try {
    return await work(db);
  } finally {
    db.close();
  }
}

const idsIn = async (place: Place, table: string) =>
  asAnother(place, async (db) => {
    const found = await (await db.openTable(table)).query().select(["id"]).toArray();
    return found.map((row: { id: number }) => row.id);
  });

/** The several tables' work is killed, then somebody else commits to one of them. */
async function killedAndFollowed(strategy: (typeof STRATEGIES)[number]) {
  const ends = await workshop.ends("several tables");
  const place = workshop.place();
  await workshop.die(place, "several tables", strategy);
  const version = await asAnother(
    place,
    async (db) => (await (await db.openTable("a")).add(rows(700, 1))).version,
  );
  return { ends, place, version };
}

describe.for(STRATEGIES)("somebody commits between a kill and the recovery, %s", (strategy) => {
  test("it is reported, and stands in the way of its own tables alone", async () => {
    const { place, version } = await killedAndFollowed(strategy);
    const before = await observe(place.uri);
    const { entries } = await managerOf(place).recover();
    expect(entries).toMatchObject([{ action: "conflict", conflicts: [{ table: "a", versions: [version] }] }]);
    expect(await observe(place.uri)).toEqual(before);

    const manager = managerOf(place);
    for (const table of ["a", "b"]) {
      const write = manager.withBackup(strategy, async (db) => {
        await (await db.openTable(table)).add(rows(800, 1));
      });
      await expect(write).rejects.toThrow(ConflictError);
      await expect(write).rejects.toMatchObject({ conflicts: [{ table: "a", versions: [version] }] });
    }
    await manager.withBackup(
      strategy,
      async (db) => void (await (await db.openTable("c")).add(rows(800, 1))),
    );
    expect(await idsIn(place, "c")).toContain(800);
    expect(await observe(place.uri)).toEqual({ ...before, c: expect.anything() });
  });

  test("overwrite goes back; what it passed over is named, and reached by its number", async () => {
    const { ends, place, version } = await killedAndFollowed(strategy);
    const { entries } = await managerOf(place).recover({ onConflict: "overwrite" });
    expect(entries[0]?.action).toBe("rolled-back");
    expect(entries[0]?.tables.find((table) => table.table === "a")?.passedOver).toEqual([version]);
    expect(await observe(place.uri)).toEqual(ends.before);
    await asAnother(place, async (db) => {
      const table = await db.openTable("a");
      await table.checkout(version);
      expect(await table.countRows("id = 700")).toBe(1);
    });
    await assertWhole(place, ends, "before");
  });

  test("keep leaves the tables, keeps the backup, and frees the way", async () => {
    const { place } = await killedAndFollowed(strategy);
    const before = await observe(place.uri);
    const manager = managerOf(place);
    const { entries } = await manager.recover({ onConflict: "keep" });
    expect(entries).toMatchObject([{ action: "kept" }]);
    expect(await observe(place.uri)).toEqual(before);
    const [backup] = await manager.listBackups();
    expect(backup).toMatchObject({ state: "kept", tables: ["a", "b"] });
    await manager.withBackup(
      strategy,
      async (db) => void (await (await db.openTable("a")).add(rows(800, 1))),
    );
    expect(await idsIn(place, "a")).toContain(800);
    await manager.cleanupBackup(backup!.id);
    expect(leftovers(place.uri, place.backupDir)).toEqual([]);
  });

  test("a commit to a table that the dead process had not touched is nobody's conflict", async () => {
    const place = workshop.place();
    await workshop.die(place, "several tables", strategy);
    await asAnother(place, async (db) => void (await (await db.openTable("c")).add(rows(700, 1))));
    expect((await managerOf(place).recover()).entries).toMatchObject([{ action: "rolled-back" }]);
    expect(await idsIn(place, "c")).toContain(700);
  });

  test("a table that the dead process had created and another wrote to stays, with its rows", async () => {
    const place = workshop.place();
    await workshop.die(place, "create", strategy);
    const version = await asAnother(
      place,
      async (db) => (await (await db.openTable("new")).add(rows(700, 1))).version,
    );
    const { entries } = await managerOf(place).recover();
    expect(entries).toMatchObject([
      { action: "conflict", conflicts: [{ table: "new", versions: [version] }] },
    ]);
    expect(await idsIn(place, "new")).toContain(700);
  });
});

describe.skipIf(!hasStrace)("killed inside a write, then a commit of the same kind by another", () => {
  const kill = async (where: RegExp): Promise<{ place: Place; head: number }> => {
    for (;;) {
      const place = workshop.place();
      const argv = workshop.argv(place, { task: "work", scenario: "insert", strategy: "lance-version" });
      const { steps, signal } = await runTraced(argv, {
        root: place.root,
        killAfter: (steps) => where.test(steps.at(-1)?.text ?? ""),
      });
      expect(signal).toBe("SIGKILL");
      // Where two threads were stopped as one, the second's continuation can let it run on before the kill.
      if (where.test(steps.at(-1)?.text ?? ""))
        return { place, head: versionsOnDisk(place.uri).get("a.lance") ?? 0 };
    }
  };
  const INTENT = /^fdatasync\(.*\/log>/;
  const COMMIT = /^linkat\(.*a\.lance\/_versions/;

  test("before its own commit: the other's row stays", async () => {
    const { place, head } = await kill(INTENT);
    await sleep(1200);
    const { version } = await asAnother(place, async (db) => (await db.openTable("a")).add(rows(700, 1)));
    expect(version).toBe(head + 1);
    expect((await managerOf(place).recover()).entries).toMatchObject([{ action: "rolled-back" }]);
    expect(await idsIn(place, "a")).toContain(700);
  });

  test("after its own commit: a later one is told apart by its time, and is a conflict", async () => {
    const { place, head } = await kill(COMMIT);
    await sleep(1200);
    await asAnother(place, async (db) => void (await (await db.openTable("a")).add(rows(700, 1))));
    const { entries } = await managerOf(place).recover();
    expect(entries).toMatchObject([
      { action: "conflict", conflicts: [{ table: "a", versions: [head + 1] }] },
    ]);
  });

  test("after its own commit, at once: the other's is named, and its own too where time cannot tell them apart", async () => {
    const { place, head } = await kill(COMMIT);
    await asAnother(place, async (db) => void (await (await db.openTable("a")).add(rows(700, 1))));
    const { entries } = await managerOf(place).recover();
    expect(entries).toMatchObject([{ action: "conflict", conflicts: [{ table: "a" }] }]);
    const named = entries[0]?.conflicts?.[0]?.versions ?? [];
    expect([[head, head + 1], [head + 1]]).toContainEqual(named);
    expect(await idsIn(place, "a")).toContain(700);
  });
});
