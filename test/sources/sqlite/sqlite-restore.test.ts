import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  chmodSync,
  copyFileSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";
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

const REPLACE_MODULE = join(import.meta.dirname, "../../../src/sources/sqlite/replace-database.ts");

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

  test("a death at any moment leaves the old one with all it had, or the new one", async () => {
    const { path: backup } = await newBackup();
    const directory = await newDirectory();
    const outcomes: number[] = [];
    for (let round = 0; round < (process.env["NIGHTLY"] === "1" ? 200 : 8); round++) {
      const target = join(directory, `${round}.db`);
      await makeLeft(target, mode);
      copyFileSync(backup, join(directory, "next"));
      const input = JSON.stringify({ from: join(directory, "next"), target, timeoutMs: 1000 });
      const program = `const { replaceDatabase } = await import(${JSON.stringify(REPLACE_MODULE)});
        process.stdout.write("ready"); await replaceDatabase(${input}); process.stdout.write("done");`;
      const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
        stdio: ["ignore", "pipe", "ignore"],
      });
      await once(child.stdout, "data");
      await sleep(round * 1.5 * Math.random());
      child.kill("SIGKILL");
      await once(child, "exit");
      expect(query(target, "PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
      expect(query(target, "SELECT count(*) AS n FROM ids WHERE name LIKE 'half%'")).toEqual([{ n: 0 }]);
      const [ids = 0, twins] = counts(target);
      expect(twins).toBe(ids === 300 ? 300 : 2000);
      outcomes.push(ids);
    }
    expect(outcomes.filter((ids) => ids !== 300 && ids !== 2001)).toEqual([]);
  });

  test("a process that opens it at that very moment finds the one or the other", async () => {
    const { content } = await newBackup();
    const target = join(await newDirectory(), "app.db");
    makeDatabase(target, { mode, rows: 2000 });
    const opener = startOpener(target);
    for (let done = 0; done < 2; ) {
      try {
        await restoreDatabaseFile({ content, target, mode: "in-place" });
        done++;
      } catch (error) {
        expect(error).toBeInstanceOf(LockedError);
      }
    }
    opener.child.kill("SIGKILL");
    expect([...(await opener.seen())].sort()).toEqual(expect.arrayContaining(["300"]));
    expect([...(await opener.seen())].every((line) => ["2000", "300", ""].includes(line))).toBe(true);
    expect(query(target, "PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
    expect(counts(target)).toEqual([300, 300]);
  });
});

/** A process that opens a database, reads, writes what it read, and closes it, again and again; and says how many rows it saw. */
function startOpener(path: string) {
  const program = `
    import { DatabaseSync } from "node:sqlite";
    for (;;) {
      const database = new DatabaseSync(${JSON.stringify(path)}, { timeout: 60000 });
      database.exec("BEGIN IMMEDIATE");
      const { n } = database.prepare("SELECT count(*) AS n FROM ids").get();
      database.exec("UPDATE ids SET name = name WHERE id < 10; COMMIT");
      database.close();
      process.stdout.write(n + "\\n");
      await new Promise((resolve) => setTimeout(resolve, 30));
    }`;
  const child = spawn(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", "--input-type=module", "-e", program],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  onTestFinished(() => void child.kill("SIGKILL"));
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  const closed = once(child, "close");
  return { child, seen: () => closed.then(() => new Set(output.split("\n"))) };
}

test.each(["wal", "delete"] as const)(
  "pages of another size are replaced, and a backup with the journal mode %s has it again",
  async (mode) => {
    const { content } = await newBackup(mode);
    const target = join(await newDirectory(), "app.db");
    query(target, "PRAGMA page_size = 1024");
    const other = new DatabaseSync(target);
    other.exec(
      "PRAGMA page_size = 1024; CREATE TABLE other (x); INSERT INTO other VALUES (zeroblob(3000000))",
    );
    other.close();
    expect(query(target, "PRAGMA page_size")).toEqual([{ page_size: 1024 }]);
    await restoreDatabaseFile({ content, target, mode: "in-place" });
    expect(counts(target)).toEqual([300, 300]);
    expect(query(target, "PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
    expect(query(target, "PRAGMA journal_mode")).toEqual([{ journal_mode: mode }]);
    expect(query(target, "PRAGMA user_version")).toEqual([{ user_version: -7 }]);
    expect(statSync(target).size).toBeLessThan(1_000_000);
  },
);

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
    /not a file/,
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
