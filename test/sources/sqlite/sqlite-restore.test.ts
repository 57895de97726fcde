import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";
import { CorruptError, LockedError, ValidationError } from "../../../src/errors.ts";
import { restoreDatabaseFile, tryDatabase } from "../../../src/sources/sqlite/restore-sqlite.ts";
import { newDirectory } from "../../support/database.ts";
import {
  addRows,
  counts,
  dieInside,
  digestOf,
  type JournalMode,
  makeDatabase,
  query,
  startWriter,
} from "./sqlite-fixture.ts";

const WORKER_MODULE = join(import.meta.dirname, "../../../src/sources/sqlite/replace-database.ts");
const PRELOAD = join(import.meta.dirname, "die-at-call.mjs");

/** A database of 300 rows, as it lies in a backup. */
async function newBackup(mode: JournalMode = "wal") {
  const path = join(await newDirectory(), "backup.db");
  makeDatabase(path, { mode, rows: 300 });
  const bytes = readFileSync(path);
  const content = {
    size: bytes.length,
    sha256: createHash("sha256").update(bytes).digest("hex"),
    mode: 0o640,
    name: "sqlite:/app.db",
    read: async function* () {
      yield bytes;
    },
  };
  return { path, bytes, content };
}

/** A database that a dead process left with commits in its log, or half of a transaction in its journal. */
async function makeLeft(path: string, mode: JournalMode): Promise<void> {
  makeDatabase(path, { mode, rows: 2000 });
  await dieInside(
    path,
    `database.exec("PRAGMA cache_size = 2; PRAGMA wal_autocheckpoint = 0; INSERT INTO ids VALUES (5000, 'committed')");
     database.exec("BEGIN; UPDATE ids SET name = 'half' || id");`,
  );
}

test("into a new place: the same bytes, the permissions of then, and no journal of another life", async () => {
  const { content, path } = await newBackup();
  const directory = await newDirectory();
  const target = join(directory, "new", "app.db");
  const facts = await restoreDatabaseFile({ content, target, mode: "new" });
  expect(facts.tables).toEqual([
    { name: "ids", rows: 300 },
    { name: 'twins "x"', rows: 300 },
  ]);
  expect(digestOf(target)).toBe(digestOf(path));
  expect(statSync(target).mode & 0o777).toBe(0o640);
  expect(readdirSync(join(directory, "new"))).toEqual(["app.db"]);

  const orphaned = join(directory, "orphaned.db");
  await makeLeft(orphaned, "wal");
  copyFileSync(`${orphaned}-wal`, join(directory, "other.db-wal"));
  writeFileSync(join(directory, "other.db-journal"), "stale");
  await restoreDatabaseFile({ content, target: join(directory, "other.db"), mode: "new" });
  expect(readdirSync(directory).filter((name) => name.startsWith("other.db"))).toEqual(["other.db"]);
  expect(counts(join(directory, "other.db"))).toEqual([300, 300]);
});

describe.each(["wal", "delete"] as const)("over a database with the journal mode %s", (mode) => {
  test("what a dead process left of it is taken away with it; its permissions stay", async () => {
    const { content } = await newBackup();
    const directory = await newDirectory();
    const target = join(directory, "app.db");
    await makeLeft(target, mode);
    chmodSync(target, 0o604);
    await restoreDatabaseFile({ content, target, mode: "in-place" });
    expect(readdirSync(directory)).toEqual(["app.db"]);
    expect(statSync(target).mode & 0o777).toBe(0o604);
    expect(counts(target)).toEqual([300, 300]);
    expect(query(target, "PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
  });

  test("while a process has it open it is refused, also one that does nothing", async () => {
    const { content } = await newBackup();
    const target = join(await newDirectory(), "app.db");
    makeDatabase(target, { mode });
    const writer = await startWriter(target);
    const restore = () => restoreDatabaseFile({ content, target, mode: "in-place" });
    await expect(restore()).rejects.toThrow(LockedError);
    await expect(restore()).rejects.toThrow(`process ${writer.child.pid}`);
    const done = await writer.stop();
    const idle = new DatabaseSync(target);
    idle.prepare("SELECT count(*) FROM ids").get();
    await expect(restore()).rejects.toThrow(`process ${process.pid}`);
    idle.close();
    expect(counts(target)).toEqual([100 + done, 100 + done]);
    await restore();
    expect(counts(target)).toEqual([300, 300]);
  });

  test("a death at any step leaves the old one with all it had, or the new one, and never a log of the other", async () => {
    const { path: backup } = await newBackup();
    const directory = await newDirectory();
    const outcomes: number[][] = [];
    for (let call = 0; ; call++) {
      const target = join(directory, `${call}.db`);
      await makeLeft(target, mode);
      copyFileSync(backup, join(directory, "next"));
      const input = JSON.stringify({ from: join(directory, "next"), target, timeoutMs: 1000 });
      const program = `const { replaceDatabase } = await import(${JSON.stringify(WORKER_MODULE)}); replaceDatabase(${input}); process.kill(process.pid, "SIGKILL")`;
      spawnSync(
        process.execPath,
        ["--disable-warning=ExperimentalWarning", "--import", PRELOAD, "--input-type=module", "-e", program],
        { env: { ...process.env, DIE_AT_CALL: String(call) } },
      );
      expect(query(target, "PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
      expect(query(target, "SELECT count(*) AS n FROM ids WHERE name LIKE 'half%'")).toEqual([{ n: 0 }]);
      outcomes.push(counts(target));
      const isDone = !existsSync(join(directory, "next"));
      if (isDone && outcomes.filter(([ids]) => ids === 300).length === 2) break;
    }
    const old = outcomes.filter(([ids]) => ids !== 300);
    expect(old).toEqual(old.map(() => [2001, 2000]));
    expect(old.length).toBeGreaterThan(4);
  });
});

test("a target that is damaged, or no database, is replaced too", async () => {
  const { content } = await newBackup();
  const directory = await newDirectory();
  const target = join(directory, "app.db");
  await makeLeft(target, "wal");
  writeFileSync(target, "no database any more ".repeat(500));
  await restoreDatabaseFile({ content, target, mode: "in-place" });
  expect(readdirSync(directory)).toEqual(["app.db"]);
  expect(counts(target)).toEqual([300, 300]);
});

test("a file that is there is not written over unless that is meant; an empty one is", async () => {
  const { content } = await newBackup();
  const directory = await newDirectory();
  const target = join(directory, "app.db");
  makeDatabase(target);
  const before = digestOf(target);
  await expect(restoreDatabaseFile({ content, target, mode: "new" })).rejects.toThrow(ValidationError);
  await expect(restoreDatabaseFile({ content, target: directory, mode: "in-place" })).rejects.toThrow(
    /no file/,
  );
  expect(digestOf(target)).toBe(before);
  writeFileSync(join(directory, "empty"), "");
  await restoreDatabaseFile({ content, target: join(directory, "empty"), mode: "new" });
  expect(counts(join(directory, "empty"))).toEqual([300, 300]);
  symlinkSync(target, join(directory, "link"));
  await restoreDatabaseFile({ content, target: join(directory, "link"), mode: "in-place" });
  expect(counts(target)).toEqual([300, 300]);
});

test("bytes that are not those that were backed up, or no sound database, change nothing", async () => {
  const { content, bytes } = await newBackup();
  const directory = await newDirectory();
  const target = join(directory, "app.db");
  makeDatabase(target);
  const before = digestOf(target);
  const changed = Buffer.from(bytes);
  changed.writeUInt32BE(0xdeadbeef, bytes.length - 500);
  const read = async function* () {
    yield changed;
  };
  const asBackedUp = { ...content, read };
  await expect(restoreDatabaseFile({ content: asBackedUp, target, mode: "in-place" })).rejects.toThrow(
    CorruptError,
  );
  changed.fill(0x5a, 4096, 8192);
  const sha256 = createHash("sha256").update(changed).digest("hex");
  const unsound = { ...content, read, sha256 };
  await expect(restoreDatabaseFile({ content: unsound, target, mode: "in-place" })).rejects.toThrow(
    CorruptError,
  );
  await expect(tryDatabase(unsound, await newDirectory())).rejects.toThrow(CorruptError);
  const controller = new AbortController();
  controller.abort(new Error("enough"));
  const aborted = restoreDatabaseFile({ content, target, mode: "in-place", signal: controller.signal });
  await expect(aborted).rejects.toThrow("enough");
  expect(digestOf(target)).toBe(before);
  expect(readdirSync(directory)).toEqual(["app.db"]);
});

test("what a dead restore left beside the target is swept by the next", async () => {
  const { content } = await newBackup();
  const directory = await newDirectory();
  const target = join(directory, "app.db");
  const module = join(import.meta.dirname, "../../../src/sources/sqlite/restore-sqlite.ts");
  const program = `const { restoreDatabaseFile } = await import(${JSON.stringify(module)});
    await restoreDatabaseFile({ mode: "new", target: ${JSON.stringify(target)}, content: { name: "x", size: 9, sha256: "", async *read() { yield Buffer.alloc(5); process.kill(process.pid, "SIGKILL"); } } });`;
  spawnSync(process.execPath, [
    "--disable-warning=ExperimentalWarning",
    "--input-type=module",
    "-e",
    program,
  ]);
  expect(readdirSync(directory)).toHaveLength(1);
  await restoreDatabaseFile({ content, target, mode: "new" });
  expect(readdirSync(directory)).toEqual(["app.db"]);
});

test("rows that are added after a restore are kept: the new file and its journals belong together", async () => {
  const { content } = await newBackup();
  const target = join(await newDirectory(), "app.db");
  makeDatabase(target);
  await restoreDatabaseFile({ content, target, mode: "in-place" });
  const database = new DatabaseSync(target);
  addRows(database, 300, 50);
  database.close();
  expect(counts(target)).toEqual([350, 350]);
});
