import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  BackupManager,
  type BackupManagerOptions,
  BackupStrategy,
  ValidationError,
} from "../../src/index.ts";
import {
  type LogLine,
  newDatabase,
  newDirectory,
  recordingLogger,
  type TestDatabase,
} from "../support/database.ts";

// A copy of a whole database has the original's journal, and the journal names the original's backups. Whatever
// is done through the copy, they stay.

const { DirectoryCopy, LanceVersion } = BackupStrategy;

async function original(): Promise<TestDatabase> {
  const place = await newDatabase();
  await place.db.createTable("t", [{ id: 1 }]);
  return place;
}

const copy = (from: string, to: string) => cpSync(from, to, { recursive: true, verbatimSymlinks: true });

function managerOf(options: BackupManagerOptions): { manager: BackupManager; logged: LogLine[] } {
  const { logger, logged } = recordingLogger();
  const manager = new BackupManager({ logger, lockTimeoutMs: 2000, ...options });
  onTestFinished(() => manager[Symbol.asyncDispose]());
  return { manager, logged };
}

async function idsIn(uri: string): Promise<number[]> {
  const db = await connect(uri);
  const rows = (await (await db.openTable("t")).query().toArray()) as { id: number }[];
  db.close();
  return rows.map(({ id }) => id).sort();
}

/** Another process adds a row in guarded work, and is killed in it. */
function dieInside(uri: string, backupDir: string): void {
  const program = `
    const { BackupManager } = await import(${JSON.stringify(join(import.meta.dirname, "../../dist/index.js"))});
    const manager = new BackupManager(${JSON.stringify({ uri, backupDir })});
    await manager.withBackup("directory-copy", async (db) => {
      await (await db.openTable("t")).add([{ id: 2 }]);
      process.kill(process.pid, "SIGKILL");
      await new Promise(() => undefined);
    });`;
  const env = { ...process.env, LANCEDB_LOG: "off" };
  expect(spawnSync(process.execPath, ["--input-type=module", "-e", program], { env }).signal).toBe("SIGKILL");
}

describe("a copy of the database", () => {
  test("cleans up no backup of the original, says whose it is, and can be restored from it", async () => {
    const place = await original();
    const id = await place.manager.createBackup(DirectoryCopy);
    await (await place.db.openTable("t")).add([{ id: 2 }]);
    const uri = join(place.directory, "copy");
    copy(place.uri, uri);
    const { manager } = managerOf({ uri, backupDir: place.backupDir });
    const refused: unknown = await manager.cleanupBackup(id).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(ValidationError);
    for (const part of [place.uri, uri, join(place.backupDir, id), "nothing was removed"])
      expect((refused as Error).message).toContain(part);
    await manager.restoreBackup(id);
    expect([await idsIn(uri), await idsIn(place.uri)]).toEqual([[1], [1, 2]]);
    await place.manager.restoreBackup(id);
    expect(await idsIn(place.uri)).toEqual([1]);
    await place.manager.cleanupBackup(id);
    expect(existsSync(join(place.backupDir, id))).toBe(false);
    // Now nobody needs it, and the copy can forget it.
    await manager.cleanupBackup(id);
    expect(await manager.listBackups()).toEqual([]);
  });

  test("rolls back what was cut off in it, and leaves the original what it needs for the same", async () => {
    const place = await original();
    dieInside(place.uri, place.backupDir);
    const uri = join(place.directory, "copy");
    copy(place.uri, uri);
    const { manager, logged } = managerOf({ uri, backupDir: place.backupDir });
    const { entries } = await manager.recover();
    expect(entries).toMatchObject([{ action: "rolled-back" }]);
    expect(await idsIn(uri)).toEqual([1]);
    const backup = join(place.backupDir, String(entries[0]?.id));
    expect(existsSync(backup)).toBe(true);
    expect(logged).toContainEqual(
      expect.objectContaining({ level: "warn", meta: expect.objectContaining({ path: backup }) }),
    );
    expect(await idsIn(place.uri)).toEqual([1, 2]);
    // The original has lost its table since: only the backup can bring it back.
    rmSync(join(place.uri, "t.lance"), { recursive: true });
    expect((await place.manager.recover()).entries).toMatchObject([{ action: "rolled-back" }]);
    expect(await idsIn(place.uri)).toEqual([1]);
    expect(existsSync(backup)).toBe(false);
  });

  test("that keeps what was cut off in it writes nothing into the original's backup", async () => {
    const place = await original();
    dieInside(place.uri, place.backupDir);
    const uri = join(place.directory, "copy");
    copy(place.uri, uri);
    const db = await connect(uri);
    await (await db.openTable("t")).delete("id = 7");
    await (await db.openTable("t")).add([{ id: 9 }]);
    const { manager } = managerOf({ uri, backupDir: place.backupDir });
    const [entry] = (await manager.recover()).entries;
    expect(entry?.action).toBe("conflict");
    const document = join(place.backupDir, String(entry?.id), "backup.json");
    const before = readFileSync(document, "utf8");
    await manager.recover({ onConflict: "keep" });
    expect(readFileSync(document, "utf8")).toBe(before);
    await expect(manager.cleanupBackup(String(entry?.id))).rejects.toThrow(ValidationError);
    expect((await place.manager.recover()).entries).toMatchObject([{ action: "rolled-back" }]);
    expect(await idsIn(place.uri)).toEqual([1]);
  });

  test("has lance-version's backups for itself: they lie in it", async () => {
    const place = await original();
    const id = await place.manager.createBackup(LanceVersion);
    const uri = join(place.directory, "copy");
    copy(place.uri, uri);
    await managerOf({ uri, backupDir: place.backupDir }).manager.cleanupBackup(id);
    await (await place.db.openTable("t")).add([{ id: 2 }]);
    await place.manager.restoreBackup(id);
    expect(await idsIn(place.uri)).toEqual([1]);
  });

  test("that took the original's place is a copy all the same, and the original is where it was moved to", async () => {
    const place = await original();
    const id = await place.manager.createBackup(DirectoryCopy);
    const moved = join(place.directory, "moved");
    renameSync(place.uri, moved);
    copy(moved, place.uri);
    await expect(place.newManager().cleanupBackup(id)).rejects.toThrow(ValidationError);
    const { manager } = managerOf({ uri: moved, backupDir: place.backupDir });
    await manager.cleanupBackup(id);
    expect(existsSync(join(place.backupDir, id))).toBe(false);
  });

  test("that was copied with its backups has these for itself", async () => {
    const place = await original();
    const id = await place.manager.createBackup(DirectoryCopy);
    const root = join(await newDirectory(), "root");
    copy(place.directory, root);
    const { manager } = managerOf({ uri: join(root, "db"), backupDir: join(root, "backups") });
    await manager.cleanupBackup(id);
    expect(existsSync(join(root, "backups", id))).toBe(false);
    expect(existsSync(join(place.backupDir, id))).toBe(true);
    await place.manager.cleanupBackup(id);
    expect(existsSync(join(place.backupDir, id))).toBe(false);
  });

  test("of a copy shares that one's backups, and leaves them alone too", async () => {
    const place = await original();
    const id = await place.manager.createBackup(DirectoryCopy);
    const root = join(await newDirectory(), "root");
    copy(place.directory, root);
    copy(join(root, "db"), join(root, "db2"));
    const { manager } = managerOf({ uri: join(root, "db2"), backupDir: join(root, "backups") });
    await expect(manager.cleanupBackup(id)).rejects.toThrow(ValidationError);
    expect(existsSync(join(root, "backups", id))).toBe(true);
  });
});

describe("the same database", () => {
  test("renamed, it has its backups still", async () => {
    const place = await original();
    const id = await place.manager.createBackup(DirectoryCopy);
    const uri = join(place.directory, "renamed");
    renameSync(place.uri, uri);
    const { manager } = managerOf({ uri, backupDir: place.backupDir });
    await manager.restoreBackup(id);
    await manager.cleanupBackup(id);
    expect(existsSync(join(place.backupDir, id))).toBe(false);
  });

  test("moved together with its backups, too", async () => {
    const place = await original();
    const id = await place.manager.createBackup(DirectoryCopy);
    const root = join(await newDirectory(), "root");
    renameSync(place.directory, root);
    const { manager } = managerOf({ uri: join(root, "db"), backupDir: join(root, "backups") });
    await manager.restoreBackup(id);
    await manager.cleanupBackup(id);
    expect(existsSync(join(root, "backups", id))).toBe(false);
  });

  test("put back with its backups from somewhere else, too, and what was cut off is swept whole", async () => {
    const place = await original();
    const id = await place.manager.createBackup(DirectoryCopy);
    dieInside(place.uri, place.backupDir);
    const elsewhere = join(await newDirectory(), "elsewhere");
    copy(place.directory, elsewhere);
    for (const path of [place.uri, place.backupDir]) rmSync(path, { recursive: true });
    copy(elsewhere, place.directory);
    const { manager, logged } = managerOf({ uri: place.uri, backupDir: place.backupDir });
    const { entries } = await manager.recover();
    const dead = entries.find(({ action }) => action === "rolled-back");
    expect(existsSync(join(place.backupDir, String(dead?.id)))).toBe(false);
    expect(logged.filter(({ message }) => message.includes("left where it is"))).toEqual([]);
    await manager.cleanupBackup(id);
    expect(existsSync(join(place.backupDir, id))).toBe(false);
  });

  test("moved to another file system without its backups it cannot be told from a copy: by hand, then", async () => {
    const place = await original();
    const id = await place.manager.createBackup(DirectoryCopy);
    const uri = join(place.directory, "moved");
    copy(place.uri, uri);
    rmSync(place.uri, { recursive: true });
    const { manager } = managerOf({ uri, backupDir: place.backupDir });
    await manager.restoreBackup(id);
    await expect(manager.cleanupBackup(id)).rejects.toThrow(/by hand/);
    rmSync(join(place.backupDir, id), { recursive: true });
    await manager.cleanupBackup(id);
    expect(await manager.listBackups()).toEqual([]);
  });

  test("lost, and made anew at its place, it cleans up what is left; from another place it does not", async () => {
    const place = await original();
    const id = await place.manager.createBackup(DirectoryCopy);
    rmSync(place.uri, { recursive: true });
    const other = managerOf({ uri: join(place.directory, "other"), backupDir: place.backupDir }).manager;
    await other.restoreBackup(id);
    await expect(other.cleanupBackup(id)).rejects.toThrow(/by hand/);
    await place.manager.restoreBackup(id);
    await place.manager.cleanupBackup(id);
    expect(existsSync(join(place.backupDir, id))).toBe(false);
  });
});

describe("one database by two paths", () => {
  test.for(["by the link first", "by the link later"])(
    "%s: what is lost comes back, and is cleaned up",
    async (order) => {
      const place = await original();
      const link = join(place.directory, "link");
      symlinkSync(place.uri, link);
      const parent = join(place.directory, "parent");
      symlinkSync(place.directory, parent);
      for (const other of [link, join(parent, "db")]) {
        const [before, after] = order === "by the link first" ? [other, place.uri] : [place.uri, other];
        const { backupDir } = place;
        const id = await managerOf({ uri: before, backupDir }).manager.createBackup(DirectoryCopy);
        rmSync(place.uri, { recursive: true });
        if (after === link) mkdirSync(place.uri); // by a link that leads nowhere nothing can be made
        const { manager } = managerOf({ uri: after, backupDir });
        expect((await manager.listBackups()).map((backup) => backup.id)).toEqual([id]);
        await manager.restoreBackup(id);
        expect(await idsIn(place.uri)).toEqual([1]);
        await manager.cleanupBackup(id);
        expect(existsSync(join(backupDir, id))).toBe(false);
      }
    },
  );
});
