import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Entry } from "../../../src/engine/source-contract.ts";
import {
  CorruptError,
  IoError,
  LockedError,
  UnsupportedError,
  ValidationError,
} from "../../../src/errors.ts";
import { type SqliteOptions, SqliteSource } from "../../../src/sources/sqlite/sqlite-source.ts";
import { newDirectory } from "../../support/database.ts";
import { otherFileSystem } from "../../support/other-file-system.ts";
import {
  addRows,
  counts,
  dieInside,
  type JournalMode,
  makeDatabase,
  query,
  startWriter,
  traceOf,
} from "./sqlite-fixture.ts";

const BOTH = ["wal", "delete"] as const satisfies readonly JournalMode[];

/** Backs up once, as a repository does; answers with the copy and what was said of it. */
async function captureTo(path: string, to: string, options: SqliteOptions = {}, request = {}) {
  await using capture = await SqliteSource.open(path, options).capture({ lockTimeoutMs: 10_000, ...request });
  const entries: Entry[] = [];
  for await (const entry of capture.entries()) entries.push(entry);
  const [entry] = entries;
  if (!entry || entries.length > 1) throw new Error("It has one entry.");
  rmSync(to, { force: true });
  for await (const piece of entry.open()) writeFileSync(to, piece, { flag: "a" });
  return { entry, ...(await capture.finish()), warnings: capture.warnings ?? [], holdings: capture.holdings };
}

function scratchLeft(): string[] {
  return readdirSync(tmpdir()).filter((name) => name.startsWith("lancedb-backup-open-"));
}

describe.each(BOTH)("with the journal mode %s", (mode) => {
  test("a copy beside a busy writer is sound and of one moment; the writer loses nothing", async () => {
    const directory = await newDirectory();
    const path = join(directory, "app.db");
    makeDatabase(path, { mode, rows: 20_000 });
    const writer = await startWriter(path);
    const copies = ["one", "two"].map((name) => join(directory, name));
    for (const copy of copies) await captureTo(path, copy);
    const done = await writer.stop();
    let before = 20_000;
    for (const copy of copies) {
      expect(query(copy, "PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
      const [ids = 0, twins] = counts(copy);
      expect(twins).toBe(ids);
      expect(ids).toBeGreaterThanOrEqual(before);
      before = ids;
    }
    expect(counts(path)).toEqual([20_000 + done, 20_000 + done]);
    expect(done).toBeGreaterThan(0);
  });

  test("nothing is changed or left beside a database that nobody has open, nor in the temporary directory", async () => {
    const directory = await newDirectory();
    const path = join(directory, "app.db");
    makeDatabase(path, { mode });
    const [before, scratch] = [traceOf(path), scratchLeft()];
    const copy = join(await newDirectory(), "copy");
    const { about, holdings } = await captureTo(path, copy);
    expect(traceOf(path)).toEqual(before);
    expect(scratchLeft().filter((name) => !scratch.includes(name))).toEqual([]);
    expect(counts(copy)).toEqual([100, 100]);
    expect(query(copy, "PRAGMA user_version")).toEqual([{ user_version: -7 }]);
    expect(query(copy, "PRAGMA journal_mode")).toEqual([{ journal_mode: mode }]);
    expect(about).toMatchObject({
      userVersion: -7,
      applicationId: 99,
      journalMode: mode === "wal" ? "wal" : "rollback",
    });
    expect(holdings?.rows).toEqual(
      new Map([
        ["ids", 100],
        ['twins "x"', 100],
      ]),
    );
  });

  test("nor beside one that is in use; and equal content is equal bytes, however it is read", async () => {
    const directory = await newDirectory();
    const path = join(directory, "app.db");
    makeDatabase(path, { mode });
    const elsewhere = await newDirectory();
    const copies = ["idle", "used", "again"].map((name) => join(elsewhere, name));
    await captureTo(path, copies[0] ?? "");
    const database = new DatabaseSync(path);
    database.prepare("SELECT count(*) FROM ids").get();
    const before = traceOf(path);
    await captureTo(path, copies[1] ?? "");
    expect(traceOf(path)).toEqual(before);
    database.close();
    await captureTo(path, copies[2] ?? "");
    const digests = copies.map((copy) =>
      (traceOf(copy) as unknown[][]).find(([name]) => copy.endsWith(String(name)))?.at(-1),
    );
    expect(new Set(digests).size).toBe(1);
  });

  test("what a dead process left half-done is not in the copy, and stays for its application", async () => {
    const directory = await newDirectory();
    const path = join(directory, "app.db");
    makeDatabase(path, { mode, rows: 2000 });
    await dieInside(
      path,
      `database.exec("PRAGMA cache_size = 2; PRAGMA wal_autocheckpoint = 0; INSERT INTO ids VALUES (5000, 'committed')");
       database.exec("BEGIN; UPDATE ids SET name = 'half' || id; DELETE FROM \\"twins \\"\\"x\\"\\"\\"");`,
    );
    const before = traceOf(path);
    expect(before.length).toBeGreaterThan(1);
    const copy = join(await newDirectory(), "copy");
    await captureTo(path, copy);
    expect(traceOf(path)).toEqual(before);
    expect(counts(copy)).toEqual([2001, 2000]);
    expect(query(copy, "SELECT count(*) AS n FROM ids WHERE name LIKE 'half%'")).toEqual([{ n: 0 }]);
  });

  test("compact leaves free pages out", async () => {
    const directory = await newDirectory();
    const path = join(directory, "app.db");
    makeDatabase(path, { mode, rows: 5000 });
    const database = new DatabaseSync(path);
    database.exec('DELETE FROM "twins ""x""" WHERE id > 100');
    database.close();
    const copy = join(await newDirectory(), "copy");
    const { about } = await captureTo(path, copy, { compact: true });
    expect(statSync(copy).size).toBeLessThan(statSync(path).size / 2);
    expect(about).toMatchObject({ compact: true });
    expect(counts(copy)).toEqual([5000, 101]);
    expect(query(copy, "PRAGMA journal_mode")).toEqual([{ journal_mode: mode }]);
  });

  test("a transaction that does not end is an error in time where it keeps readers out, and none else", async () => {
    const path = join(await newDirectory(), "app.db");
    makeDatabase(path, { mode });
    const database = new DatabaseSync(path);
    database.exec("BEGIN EXCLUSIVE; INSERT INTO ids VALUES (900, 'open')");
    const copy = join(await newDirectory(), "copy");
    const capturing = captureTo(path, copy, {}, { lockTimeoutMs: 0 });
    if (mode === "wal") await capturing;
    else await expect(capturing).rejects.toThrow(LockedError);
    database.close();
    if (mode === "wal") expect(counts(copy)).toEqual([100, 100]);
  });
});

test("a write-ahead log whose shared memory is gone is read with its commits", async () => {
  const directory = await newDirectory();
  const path = join(directory, "app.db");
  makeDatabase(path);
  await dieInside(
    path,
    `database.exec("PRAGMA wal_autocheckpoint = 0; INSERT INTO ids VALUES (5000, 'committed')");`,
  );
  rmSync(`${path}-shm`);
  const before = traceOf(path);
  const copy = join(await newDirectory(), "copy");
  await captureTo(path, copy);
  expect(traceOf(path)).toEqual(before);
  expect(counts(copy)).toEqual([101, 100]);
});

test("a database that another process opens and closes for each write comes out whole", async () => {
  const path = join(await newDirectory(), "app.db");
  makeDatabase(path, { rows: 20_000 });
  const writer = await startWriter(path, { reopens: true });
  const source = SqliteSource.open(path);
  const copy = join(await newDirectory(), "copy");
  for (let attempt = 1; ; attempt++) {
    try {
      // SQLite is fair to nobody: beside such a writer it may take long to have a turn.
      await using capture = await source.capture({ lockTimeoutMs: 120_000 });
      for await (const entry of capture.entries())
        for await (const piece of entry.open()) writeFileSync(copy, piece, { flag: "a" });
      break;
    } catch (error) {
      expect(error).toMatchObject({ code: "NOT_FOUND" }); // and all is captured anew
      if (attempt === 5) throw error;
    }
  }
  await writer.stop();
  const [ids, twins] = counts(copy);
  expect(twins).toBe(ids);
  expect(query(copy, "PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
});

test.skipIf(process.getuid?.() !== 0)(
  "another user who may only read gets what is committed, in use or not",
  async () => {
    const directory = await newDirectory();
    const path = join(directory, "app.db");
    makeDatabase(path);
    chmodSync(directory, 0o755);
    const source = join(import.meta.dirname, "../../../src/sources/sqlite/sqlite-source.ts");
    const program = `
    const { SqliteSource } = await import(${JSON.stringify(source)});
    await using capture = await SqliteSource.open(${JSON.stringify(path)}).capture({});
    for await (const entry of capture.entries()) console.log(capture.holdings.rows.get("ids"));`;
    const asNobody = () => {
      const { uid, gid } = { uid: 65_534, gid: 65_534 };
      const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
        ...{ uid, gid, encoding: "utf8", cwd: "/" },
      });
      return stderr || stdout;
    };
    expect(asNobody()).toBe("100\n");
    const database = new DatabaseSync(path);
    database.exec("PRAGMA wal_autocheckpoint = 0; INSERT INTO ids VALUES (5000, 'in the log')");
    expect(asNobody()).toBe("101\n");
    database.close();
    await dieInside(
      path,
      `database.exec("PRAGMA wal_autocheckpoint = 0; INSERT INTO ids VALUES (5001, 'committed')");`,
    );
    expect(asNobody()).toBe("102\n");
  },
);

describe("files that are no database, or none that is whole", () => {
  const refused = async (path: string) => captureTo(path, join(await newDirectory(), "copy"));

  test("are refused by what they are", async () => {
    const directory = await newDirectory();
    const place = (name: string) => join(directory, name);
    writeFileSync(place("text"), "no database at all, but a text of more than a hundred letters ".repeat(9));
    writeFileSync(place("short"), "SQLite format 3\0");
    mkdirSync(place("directory"));
    await expect(refused(place("text"))).rejects.toThrow(ValidationError);
    await expect(refused(place("text"))).rejects.toThrow(/encrypted/);
    await expect(refused(place("short"))).rejects.toThrow(ValidationError);
    await expect(refused(place("directory"))).rejects.toThrow(ValidationError);
    await expect(refused(place("nothing"))).rejects.toThrow(/no SQLite database at/);
    writeFileSync(place("empty"), "");
    await expect(refused(place("empty"))).rejects.toMatchObject({
      message: expect.stringContaining("has no table"),
      hints: [{ options: { allowEmpty: true } }],
    });
    await captureTo(place("empty"), place("copy"), {}, { allowEmpty: true });
  });

  test("damage is an error that names the file", async () => {
    const directory = await newDirectory();
    const path = join(directory, "app.db");
    makeDatabase(path, { mode: "delete", rows: 3000 });
    copyFileSync(path, `${path}.cut`);
    truncateSync(`${path}.cut`, 200_000);
    await expect(refused(`${path}.cut`)).rejects.toThrow(CorruptError);
    const bytes = Buffer.alloc(4096, 0x5a);
    const damaged = `${path}.rot`;
    copyFileSync(path, damaged);
    const { openSync, writeSync, closeSync } = await import("node:fs");
    const file = openSync(damaged, "r+");
    writeSync(file, bytes, 0, bytes.length, 40 * 4096);
    closeSync(file);
    await expect(refused(damaged)).rejects.toThrow(CorruptError);
    await expect(refused(damaged)).rejects.toThrow(damaged);
  });

  test("a row that refers to nothing is told, and no reason not to back up", async () => {
    const path = join(await newDirectory(), "app.db");
    makeDatabase(path);
    const database = new DatabaseSync(path, { enableForeignKeyConstraints: false });
    database.exec('INSERT INTO "twins ""x""" VALUES (7777, NULL), (7778, NULL)');
    database.close();
    const { about, warnings } = await captureTo(path, `${path}.copy`);
    expect(about).toMatchObject({ violations: [{ table: 'twins "x"', parent: "ids", rows: 2 }] });
    expect(warnings).toMatchObject([{ message: expect.stringContaining("foreign keys") }]);
  });

  test("an index by a function of the application is told, and the rest is checked", async () => {
    const path = join(await newDirectory(), "app.db");
    makeDatabase(path);
    const database = new DatabaseSync(path);
    database.function("application", { deterministic: true }, (value) => value);
    database.exec(
      "CREATE TABLE other (v); INSERT INTO other VALUES (1); CREATE INDEX by_v ON other (application(v))",
    );
    database.close();
    const { about, holdings } = await captureTo(path, `${path}.copy`);
    expect(about).toMatchObject({ unchecked: [expect.stringContaining("other: ")] });
    expect(holdings?.rows.get("other")).toBe(1);
  });
});

test("virtual tables are tables, also of a module that is not here", async () => {
  const path = join(await newDirectory(), "app.db");
  const database = new DatabaseSync(path);
  database.exec("CREATE VIRTUAL TABLE notes USING fts5 (text); INSERT INTO notes VALUES ('one'), ('two')");
  database.close();
  const { holdings } = await captureTo(path, `${path}.copy`);
  expect(holdings?.rows).toEqual(new Map([["notes", 2]]));
  expect(query(`${path}.copy`, "SELECT count(*) AS n FROM notes WHERE notes MATCH 'two'")).toEqual([
    { n: 1 },
  ]);
  const bytes = readFileSync(path).toString("latin1").replace("USING fts5", "USING vec0");
  writeFileSync(path, bytes, "latin1");
  const other = await captureTo(path, `${path}.copy`);
  expect(other.holdings?.leftOut).toEqual(["notes"]);
  expect(readFileSync(`${path}.copy`).toString("latin1")).toContain("USING vec0");
});

test("a name is a name: no option, no address, no pattern", async () => {
  const directory = await newDirectory();
  for (const name of ["a b?mode=memory&x=%2e.db", "file:x?immutable=1", "100% #1.db", "-wal"]) {
    const path = join(directory, name);
    makeDatabase(path);
    const before = readdirSync(directory).sort();
    const copy = join(await newDirectory(), "copy");
    await captureTo(path, copy);
    expect(readdirSync(directory).sort()).toEqual(before);
    expect(counts(copy)).toEqual([100, 100]);
  }
});

test("a symbolic link is the database that it leads to, with its journal", async () => {
  const directory = await newDirectory();
  const path = join(directory, "app.db");
  makeDatabase(path);
  symlinkSync(path, join(directory, "link.db"));
  const open = new DatabaseSync(path);
  open.exec("PRAGMA wal_autocheckpoint = 0");
  addRows(open, 100, 5);
  const copy = join(await newDirectory(), "copy");
  await captureTo(join(directory, "link.db"), copy);
  open.close();
  expect(counts(copy)).toEqual([105, 105]);
  expect(SqliteSource.open(join(directory, "link.db")).id).toBe(SqliteSource.open(path).id);
});

test("a table that is excluded is an error: a database is whole", async () => {
  const path = join(await newDirectory(), "app.db");
  makeDatabase(path);
  await expect(captureTo(path, `${path}.copy`, {}, { exclude: ["id*"] })).rejects.toThrow(UnsupportedError);
  await captureTo(path, `${path}.copy`, {}, { exclude: ["other"] });
});

test("an abort and a time limit end it at once, and leave nothing", async () => {
  const path = join(await newDirectory(), "app.db");
  makeDatabase(path, { mode: "delete", rows: 20_000 });
  const before = scratchLeft();
  const reason = new Error("enough");
  const controller = new AbortController();
  const capturing = captureTo(path, `${path}.copy`, {}, { signal: controller.signal });
  controller.abort(reason);
  await expect(capturing).rejects.toBe(reason);
  await expect(captureTo(path, `${path}.copy`, { timeoutMs: 1 }, { lockTimeoutMs: 0 })).rejects.toThrow(
    IoError,
  );
  expect(scratchLeft().filter((name) => !before.includes(name))).toEqual([]);
});

test("nothing of SQLite's being experimental comes to a user's screen", async () => {
  const path = join(await newDirectory(), "app.db");
  makeDatabase(path);
  const source = join(import.meta.dirname, "../../../src/sources/sqlite/sqlite-source.ts");
  const program = `
    const { SqliteSource } = await import(${JSON.stringify(source)});
    await using capture = await SqliteSource.open(${JSON.stringify(path)}).capture({});
    for await (const entry of capture.entries()) console.log(entry.path);`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
    encoding: "utf8",
  });
  expect([stdout, stderr]).toEqual(["database.sqlite\n", ""]);
});

test("a full temporary directory is an error that names it, and nothing is left there", async () => {
  const small = await otherFileSystem();
  if (small === undefined) return;
  const path = join(await newDirectory(), "app.db");
  makeDatabase(path);
  query(path, "INSERT INTO ids VALUES (9000, zeroblob(80000000))");
  const before = process.env["TMPDIR"];
  process.env["TMPDIR"] = small;
  try {
    const capturing = captureTo(path, `${path}.copy`);
    await expect(capturing).rejects.toMatchObject({
      code: "IO",
      errno: "ENOSPC",
      message: expect.stringContaining(small),
    });
    expect(readdirSync(small)).toEqual([]);
  } finally {
    if (before === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = before;
  }
});

test("a backup that is killed leaves no process, and the next one sweeps what it left", async () => {
  const directory = await newDirectory();
  const temporary = join(directory, "tmp");
  mkdirSync(temporary);
  const path = join(directory, "app.db");
  makeDatabase(path, { rows: 20_000 });
  const source = join(import.meta.dirname, "../../../src/sources/sqlite/sqlite-source.ts");
  const program = `
    const { SqliteSource } = await import(${JSON.stringify(source)});
    for (;;) {
      await using capture = await SqliteSource.open(${JSON.stringify(path)}).capture({});
      process.stdout.write("held");
      for await (const entry of capture.entries()) process.stdout.write("copied");
    }`;
  const env = { ...process.env, TMPDIR: temporary };
  const run = () =>
    spawn(process.execPath, ["--input-type=module", "-e", program], {
      env,
      stdio: ["ignore", "pipe", "inherit"],
    });
  for (const pause of [0, 15, 60]) {
    const child = run();
    onTestFinished(() => void child.kill("SIGKILL"));
    await once(child.stdout, "data");
    await sleep(pause);
    child.kill("SIGKILL");
    await once(child, "exit");
  }
  while (readsFrom(temporary)) await sleep(20);
  expect(readdirSync(temporary).length).toBeGreaterThan(0);
  const last = run();
  onTestFinished(() => void last.kill("SIGKILL"));
  await once(last.stdout, "data");
  expect(readdirSync(temporary).length).toBeLessThan(2);
  const database = new DatabaseSync(path);
  addRows(database, 20_000, 1);
  database.close();
  expect(counts(path)).toEqual([20_001, 20_001]);
});

/** Whether a process has this temporary directory in its environment. */
function readsFrom(temporary: string): boolean {
  return readdirSync("/proc").some((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(`TMPDIR=${temporary}`);
    } catch {
      return false; // it has ended
    }
  });
}
