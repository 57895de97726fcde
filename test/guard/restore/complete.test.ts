import { rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { settingsOf } from "../../../src/guard/manager-options.ts";
import { armRestore, planRestore } from "../../../src/guard/restore/arm-restore.ts";
import { findBackup } from "../../../src/guard/restore/find-backup.ts";
import { carryOut } from "../../../src/guard/rollback/roll-back-tables.ts";
import { BackupStrategy, ConflictError, LockedError } from "../../../src/index.ts";
import { LockSet } from "../../../src/lance/lock/lock-set.ts";
import { lancedb, leftovers, newDatabase, type TestDatabase } from "../../support/database.ts";

// A restore of three tables, one of which was not there, is cut off when it has reached the first; then other
// things happen before anybody completes it. (test/crash kills real processes, at every step.)

const rows = (...ids: number[]) => ids.map((id) => ({ id }));
const ids = async ({ db }: TestDatabase, table: string) =>
  (await (await db.openTable(table)).query().toArray())
    .map((row: { id: number }) => row.id)
    .sort((a, b) => a - b);

/** `reached`: the tables that were back when it was cut off. */
async function cutOff(
  strategy: BackupStrategy,
  options: {
    onConflict?: "fail" | "overwrite";
    reached?: readonly string[];
    withAbsent?: boolean;
    dead?: boolean;
  } = {},
) {
  const { onConflict = "overwrite", reached = ["a"], withAbsent = true } = options;
  const place = await newDatabase();
  for (const table of ["a", "b"]) await (await place.db.createTable(table, rows(1))).add(rows(2));
  const tables = withAbsent ? ["a", "b", "new"] : ["a", "b"];
  const backup = await place.manager.createBackup(strategy, { tables });
  if (onConflict === "fail") {
    for (const table of ["a", "b"]) rmSync(join(place.uri, `${table}.lance`), { recursive: true });
  } else {
    for (const table of ["a", "b"]) await (await place.db.openTable(table)).delete("true");
    await place.db.createTable("new", rows(9));
  }
  const { uri, backupDir, logger } = place;
  const settings = settingsOf({ uri, backupDir, logger });
  const database = settings.database;
  const found = findBackup(settings, backup);
  const plan = await planRestore(lancedb, database, backup, found.record, onConflict);
  const locks = new LockSet({ database, timeoutMs: 0 });
  const entry = await armRestore(
    database,
    locks.owner,
    { id: backup, record: found.record },
    plan,
    onConflict,
  );
  const part = {
    ...plan,
    puts: plan.puts.filter(({ target }) => reached.includes(target.table)),
    drops: plan.drops.filter(({ table }) => reached.includes(table)),
    tags: [],
  };
  await carryOut(part, { lancedb, database, asideName: backup, by: entry.id, onConflict, logger });
  if (options.dead ?? true) entry.abandon(); // nobody owns it: its process is dead
  const add = async (table: string, ...more: number[]) =>
    (await (await place.db.openTable(table)).add(rows(...more))).version;
  return { place, backup, add };
}

describe.each(Object.values(BackupStrategy))("%s: a restore that was cut off", (strategy) => {
  test("recover() completes it and says so; the backup stays", async () => {
    const { place, backup } = await cutOff(strategy);
    expect(await place.manager.listBackups()).toMatchObject([{ id: backup, state: "ready" }]);
    const { entries } = await place.manager.recover();
    expect(entries.filter(({ action }) => action !== "held")).toMatchObject([
      { action: "restored", backup, conflicts: [] },
    ]);
    expect(await place.db.tableNames()).toEqual(["a", "b"]);
    for (const table of ["a", "b"]) expect(await ids(place, table)).toEqual([1, 2]);
    await place.manager.cleanupBackup(backup);
    expect(leftovers(place)).toEqual([]);
  });

  test("so does the next guarded operation on one of its tables, before it begins", async () => {
    const { place } = await cutOff(strategy);
    const old = place.newManager();
    await old.withBackup(strategy, async (db) => void (await (await db.openTable("b")).add(rows(3))));
    expect(await ids(place, "a")).toEqual([1, 2]);
    expect(await ids(place, "b")).toEqual([1, 2, 3]);
    expect(
      place.logged.some(({ level, message }) => level === "warn" && /finished a restore/.test(message)),
    ).toBe(true);
  });

  test("commits of others since stay where the table was back; elsewhere they are passed over and named", async () => {
    const { place, add } = await cutOff(strategy);
    await add("a", 70);
    const version = await add("b", 71);
    const { entries } = await place.manager.recover();
    const restored = entries.find(({ action }) => action === "restored");
    expect(restored?.tables.find(({ table }) => table === "b")?.passedOver).toContain(version);
    expect(restored?.tables.map(({ table }) => table)).not.toContain("a");
    expect(await ids(place, "a")).toEqual([1, 2, 70]);
    expect(await ids(place, "b")).toEqual([1, 2]);
    const b = await place.db.openTable("b");
    await b.checkout(version);
    expect(await b.countRows("id = 71")).toBe(1);
    expect(
      place.logged.some(({ level, meta }) => level === "warn" && JSON.stringify(meta).includes(`${version}`)),
    ).toBe(true);
  });

  test("a table that others made under a name that had to go, and had gone: it is theirs", async () => {
    for (const gone of [true, false]) {
      const { place } = await cutOff(strategy, { reached: gone ? ["a", "new"] : ["a"] });
      if (!gone) await place.db.dropTable("new");
      await place.db.createTable("new", rows(70));
      await place.manager.recover();
      expect(await ids(place, "new")).toEqual([70]);
      expect(await ids(place, "b")).toEqual([1, 2]);
    }
  });

  test("one that was not to hide anything: a conflict, until the user decides", async () => {
    for (const decision of ["keep", "overwrite"] as const) {
      const { place, backup } = await cutOff(strategy, { onConflict: "fail" });
      await place.db.createTable("b", rows(70));
      const { entries } = await place.manager.recover();
      expect(entries.find(({ action }) => action === "conflict")).toMatchObject({
        backup,
        conflicts: [{ table: "b", versions: [1] }],
        error: {
          message: expect.stringContaining("others have committed since (table b, version 1)"),
          backup,
          hints: [
            { call: "recover", options: { onConflict: "overwrite" } },
            { call: "recover", options: { onConflict: "keep" } },
          ],
        },
      });
      // To restore again, in whichever way, is no way out of it: that names what is.
      await expect(place.manager.restoreBackup(backup)).rejects.toMatchObject({
        code: "CONFLICT",
        hints: [{ call: "recover" }, { call: "recover" }],
      });
      expect(await ids(place, "b")).toEqual([70]);
      const write = place
        .newManager()
        .withBackup(strategy, async (db) => (await db.openTable("a")).add(rows(3)));
      await expect(write).rejects.toThrow(ConflictError);
      await expect(place.manager.cleanupBackup(backup)).rejects.toThrow(LockedError);

      const action = decision === "keep" ? "kept" : "restored";
      const decided = await place.manager.recover({ onConflict: decision });
      expect(decided.entries).toContainEqual(expect.objectContaining({ action, backup }));
      expect(await ids(place, "a")).toEqual([1, 2]);
      expect(await ids(place, "b")).toEqual(decision === "keep" ? [70] : [1, 2]);
      await place.manager.withBackup(strategy, async (db) => (await db.openTable("a")).add(rows(3)));
      await place.manager.cleanupBackup(backup);
    }
  });

  test("a table that had been reached and set back again, as after an error, goes back like the others", async () => {
    for (const further of [false, true]) {
      const { place, add } = await cutOff(strategy);
      const a = await place.db.openTable("a");
      await a.checkout(3); // what it held when the restore was armed
      await a.restore();
      expect(await ids(place, "a")).toEqual([]);
      if (further) await add("a", 70);
      await place.manager.recover();
      for (const table of ["a", "b"]) expect(await ids(place, table)).toEqual([1, 2]);
    }
  });

  test("its backup cannot be cleaned up meanwhile", async () => {
    const { place, backup } = await cutOff(strategy);
    await expect(place.manager.cleanupBackup(backup)).rejects.toThrow(
      /its restore was cut off; recover\(\) finishes it/,
    );
    expect(await place.manager.listBackups()).toMatchObject([{ id: backup }]);
    await place.manager.recover();
    await place.manager.cleanupBackup(backup);
    expect(await ids(place, "b")).toEqual([1, 2]);
  });

  test("while it is under way nobody completes it, and its backup stays", async () => {
    const { place, backup } = await cutOff(strategy, { dead: false });
    expect((await place.manager.recover()).entries.map(({ action }) => action)).toEqual(["held", "active"]);
    expect(await ids(place, "b")).toEqual([]);
    await expect(place.manager.cleanupBackup(backup)).rejects.toThrow(/its restore is under way/);
    expect(await place.manager.listBackups()).toMatchObject([{ id: backup, state: "ready" }]);
  });

  test("its backup was removed by hand, and the table needs it: reported, and given up when asked to", async () => {
    const { place, backup } = await cutOff(strategy, { onConflict: "fail" });
    const [info] = await place.manager.listBackups();
    rmSync(info?.path ?? "", { recursive: true });
    const { entries } = await place.manager.recover();
    expect(entries.find(({ action }) => action === "damaged")?.error?.message).toContain(backup);
    expect(await place.db.tableNames()).toEqual(["a"]);
    const decided = await place.manager.recover({ onConflict: "keep" });
    expect(decided.entries).toContainEqual(expect.objectContaining({ action: "kept", backup }));
    await place.manager.withBackup(strategy, async (db) => (await db.openTable("a")).add(rows(3)));
  });

  test("another restore comes after it, and is not undone by it", async () => {
    const { place } = await cutOff(strategy, { withAbsent: false });
    const later = await place.newManager().createBackup(strategy, { tables: ["b"] });
    // Taking that backup completed the restore.
    expect(await ids(place, "b")).toEqual([1, 2]);
    await place.manager.restoreBackup(later);
    expect((await place.manager.recover()).entries.map(({ action }) => action)).toEqual(["held", "held"]);
  });

  test("restoring it again completes it first", async () => {
    const { place, backup, add } = await cutOff(strategy);
    await add("b", 70);
    await place.newManager().restoreBackup(backup);
    for (const table of ["a", "b"]) expect(await ids(place, table)).toEqual([1, 2]);
    await place.manager.cleanupBackup(backup);
    expect(leftovers(place)).toEqual([]);
  });
});

describe.each(Object.values(BackupStrategy))("%s: a restore that fails", (strategy) => {
  test("at its second table, where the first can be set back: nothing was changed, and nothing stays armed", async () => {
    const place = await newDatabase({ link: "copy" });
    for (const table of ["a", "b"]) await place.db.createTable(table, rows(1));
    const backup = await place.manager.createBackup(strategy);
    const [info] = await place.manager.listBackups();
    for (const table of ["a", "b"]) await (await place.db.openTable(table)).add(rows(2));
    const inBackup = strategy === "lance-version" ? join(info?.path ?? "", "pins") : (info?.path ?? "");
    for (const at of [place.uri, inBackup]) rmSync(join(at, "b.lance", "data"), { recursive: true });
    const error = await place.manager.restoreBackup(backup).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "RESTORE", message: expect.stringContaining("Nothing was changed") });
    expect(await ids(place, "a")).toEqual([1, 2]);
    await place.manager.withBackup(strategy, async (db) => (await db.openTable("a")).add(rows(3)));
    await place.manager.cleanupBackup(backup);
    expect(leftovers(place)).toEqual([]);
  });

  test("where it cannot be set back: it stays armed, and says so", async () => {
    const place = await newDatabase({ link: "copy" });
    for (const table of ["a", "b"]) await place.db.createTable(table, rows(1));
    const backup = await place.manager.createBackup(strategy);
    const [info] = await place.manager.listBackups();
    await place.db.dropTable("a");
    await place.db.dropTable("b");
    const inBackup = strategy === "lance-version" ? join(info?.path ?? "", "pins") : (info?.path ?? "");
    rmSync(join(inBackup, "b.lance", "data"), { recursive: true });
    const error = await place.manager.restoreBackup(backup).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: "RESTORE",
      message: expect.stringContaining("recover() finishes it"),
    });
    expect(await ids(place, "a")).toEqual([1]);
    const { entries } = await place.manager.recover();
    expect(entries.map(({ action }) => action)).toContain("damaged");
    const decided = await place.manager.recover({ onConflict: "keep" });
    expect(decided.entries.map(({ action }) => action)).toContain("kept");
    await place.manager.cleanupBackup(backup);
    expect(leftovers(place)).toEqual([]);
  });
});
