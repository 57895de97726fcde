import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { onTestFinished } from "vitest";

export type JournalMode = "wal" | "delete";

/** Two tables of as many rows each. */
export function makeDatabase(path: string, { mode = "wal" as JournalMode, rows = 100 } = {}): void {
  const database = new DatabaseSync(path);
  database.exec(`PRAGMA journal_mode = ${mode}; PRAGMA user_version = -7; PRAGMA application_id = 99;
    CREATE TABLE ids (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    CREATE TABLE "twins ""x""" (id INTEGER REFERENCES ids (id), payload BLOB);
    CREATE INDEX by_name ON ids (name)`);
  addRows(database, 0, rows);
  database.close();
}

export function addRows(database: DatabaseSync, from: number, count: number): void {
  const ids = `WITH RECURSIVE ids (id) AS (SELECT ${from} WHERE ${count} > 0 UNION ALL SELECT id + 1 FROM ids WHERE id < ${from + count - 1})`;
  database.exec(`BEGIN;
    INSERT INTO ids ${ids} SELECT id, hex(randomblob(16)) FROM ids;
    INSERT INTO "twins ""x""" ${ids} SELECT id, randomblob(400) FROM ids;
    COMMIT`);
}

/** What a query says, by a connection that leaves nothing behind. */
export function query(path: string, sql: string, ...values: SQLInputValue[]): Record<string, unknown>[] {
  const database = new DatabaseSync(path);
  try {
    return database
      .prepare(sql)
      .all(...values)
      .map((row) => ({ ...row }));
  } finally {
    database.close();
  }
}

/** How many rows the two tables have. */
export function counts(path: string): number[] {
  return ["ids", `"twins ""x"""`].map((table) =>
    Number(query(path, `SELECT count(*) AS n FROM ${table}`)[0]?.["n"]),
  );
}

/** A file and what lies beside it: names, times and bytes. */
export function traceOf(path: string): unknown[] {
  return readdirSync(dirname(path))
    .sort()
    .map((name) => {
      const file = `${dirname(path)}/${name}`;
      const { ino, mtimeNs, size } = statSync(file, { bigint: true });
      const isShared = name.endsWith("-shm"); // readers note there what they read
      return [name, ino, ...(isShared ? [] : [mtimeNs, size, digestOf(file)])];
    });
}

export function digestOf(path: string): string {
  return existsSync(path) && statSync(path).isFile()
    ? createHash("sha256").update(readFileSync(path)).digest("hex")
    : "";
}

export interface Writer {
  readonly child: ChildProcess;
  /** How many transactions it has done, when it is stopped. */
  stop(): Promise<number>;
}

/**
 * A process that writes to both tables in one transaction after the other, without a pause; each is read back by its
 * own connection. Answers when the first is done.
 */
export async function startWriter(path: string, { reopens = false } = {}): Promise<Writer> {
  const program = `
    import { DatabaseSync } from "node:sqlite";
    let database = new DatabaseSync(${JSON.stringify(path)}, { timeout: 60000 });
    let id = 1e9, done = 0;
    process.on("message", () => { process.send(done, () => process.exit(0)); });
    const turn = () => {
      database.exec("BEGIN IMMEDIATE");
      database.prepare("INSERT INTO ids VALUES (?, hex(randomblob(16)))").run(++id);
      database.prepare('INSERT INTO "twins ""x""" VALUES (?, randomblob(400))').run(id);
      database.prepare("UPDATE ids SET name = hex(randomblob(16)) WHERE id = abs(random()) % 100").run();
      database.exec("COMMIT");
      if (${reopens}) { database.close(); database = new DatabaseSync(${JSON.stringify(path)}, { timeout: 60000 }); }
      if (++done === 1) process.send("started");
      setImmediate(turn);
    };
    turn();`;
  const child = spawn(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", "--input-type=module", "-e", program],
    {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    },
  );
  onTestFinished(() => void child.kill("SIGKILL"));
  await once(child, "message");
  return {
    child,
    async stop() {
      const said = once(child, "message");
      child.send("stop");
      const [done] = await said;
      await once(child, "exit");
      return Number(done);
    },
  };
}

/** Runs a program that opens a database as `database`, and dies by a signal. */
export async function dieInside(path: string, work: string): Promise<void> {
  const program = `
    import { DatabaseSync } from "node:sqlite";
    const database = new DatabaseSync(${JSON.stringify(path)});
    ${work}
    process.kill(process.pid, "SIGKILL");`;
  const child = spawn(process.execPath, [
    "--disable-warning=ExperimentalWarning",
    "--input-type=module",
    "-e",
    program,
  ]);
  await once(child, "exit");
}
