// One writer of many: for a while it adds, deletes, optimizes and fails at random on three tables, guarded or
// plain, and logs what it was told had succeeded, each line synced before it goes on.
//
//   node writer.ts <json of WriterTask>
import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { type Connection, connect, type Table } from "@lancedb/lancedb";
import { BackupError, BackupManager, type Logger } from "../../src/index.ts";
import { randomFrom } from "./random.ts";

export interface WriterTask {
  readonly uri: string;
  readonly backupDir: string;
  readonly tables: readonly string[];
  readonly writer: number;
  readonly guarded: boolean;
  readonly seed: number;
  readonly milliseconds: number;
  readonly log: string;
}

/** `start` and `end` tell of one step; a step without an end was cut off. `rows` are ids, unique for ever. */
export interface LogEntry {
  readonly step: "added" | "deleted" | "rolled-back" | "conflict" | "failed";
  readonly table: string;
  readonly rows: readonly number[];
  readonly error?: string;
}

const task = JSON.parse(process.argv[2] ?? "{}") as WriterTask;
const random = randomFrom(task.seed);
const file = openSync(task.log, "a");
const nothing = () => undefined;
const silent: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
const manager = new BackupManager({ uri: task.uri, backupDir: task.backupDir, logger: silent });
const plain = await connect(task.uri);
const mine = new Map<string, number[]>(task.tables.map((table) => [table, []]));
/** Rows that the step under way means to delete. */
const touched: number[] = [];
let next = task.writer * 1_000_000;

function note(entry: LogEntry): void {
  writeSync(file, `${JSON.stringify(entry)}\n`);
  fsyncSync(file);
}

function newRows(): { id: number; writer: number; text: string }[] {
  return Array.from({ length: 1 + Math.floor(random() * 5) }, () => {
    const id = next++;
    return { id, writer: task.writer, text: `row ${id}` };
  });
}

function pick<T>(list: readonly T[]): T {
  return list[Math.floor(random() * list.length)] as T;
}

class OnPurpose extends Error {}

/** LanceDB's errors carry no code of use; plain writers and guarded ones conflict by Lance's own rules. */
function isLanceConflict(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "GenericFailure";
}

/** Conflicts between Lance transactions are part of the game: what failed was not acknowledged. */
async function step(db: Connection, table: string, mayFail: boolean): Promise<LogEntry> {
  const handle: Table = await db.openTable(table);
  const rows = newRows();
  const ids = rows.map((row) => row.id);
  const own = mine.get(table) ?? [];
  if (random() < 0.25 && own.length > 0) {
    const gone = own.slice(0, 3);
    touched.push(...gone);
    await handle.delete(`id IN (${gone.join(", ")})`);
    if (mayFail && random() < 0.3) throw new OnPurpose();
    return { step: "deleted", table, rows: gone };
  }
  await handle.add(rows);
  if (random() < 0.15) await handle.optimize({ cleanupOlderThan: new Date(Date.now() - 200) });
  if (mayFail && random() < 0.3) throw new OnPurpose();
  return { step: "added", table, rows: ids };
}

function settle(entry: LogEntry): void {
  const own = mine.get(entry.table) ?? [];
  if (entry.step === "added") own.push(...entry.rows);
  if (entry.step === "deleted") {
    mine.set(
      entry.table,
      own.filter((id) => !entry.rows.includes(id)),
    );
  }
  note(entry);
}

async function guardedStep(table: string): Promise<void> {
  const strategy = random() < 0.5 ? "lance-version" : "directory-copy";
  const from = next;
  touched.length = 0;
  try {
    settle(await manager.withBackup(strategy, (db) => step(db, table, true)));
  } catch (error) {
    const rows = Array.from({ length: next - from }, (_, index) => from + index);
    // After a conflict the rows stay, since they cannot be taken back without hiding others: not counted.
    const conflict = error instanceof BackupError && error.code === "CONFLICT";
    const expected = error instanceof OnPurpose || conflict || isLanceConflict(error);
    if (!expected && !(error instanceof BackupError && error.code === "LOCKED")) throw error;
    if (conflict) rows.push(...touched);
    note({ step: conflict ? "conflict" : "rolled-back", table, rows, error: String(error) });
    if (conflict) await cleanKept();
  }
}

async function cleanKept(): Promise<void> {
  for (const backup of await manager.listBackups()) {
    if (backup.state === "kept") await manager.cleanupBackup(backup.id).catch(nothing); // another may be quicker
  }
}

async function plainStep(table: string): Promise<void> {
  try {
    settle(await step(plain, table, false));
  } catch (error) {
    note({ step: "failed", table, rows: [], error: String(error) });
  }
}

const end = performance.now() + task.milliseconds;
while (performance.now() < end) {
  const table = pick(task.tables);
  await (task.guarded ? guardedStep(table) : plainStep(table));
}
closeSync(file);
