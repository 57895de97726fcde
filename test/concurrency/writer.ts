// One of the many writers: adds, deletes, optimizes and fails at random, guarded or plain, until its time is
// up, and logs what it was told. Every line of the log is on the disk before the writer goes on.
//
//   node writer.ts '{"name":"w1","seed":1,"kind":"guarded","uri":…,"backupDir":…,"log":…,"until":…}'
import { fsyncSync, openSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type Connection, connect } from "@lancedb/lancedb";
import { BackupError, ConflictError } from "../../src/errors.ts";
import { BackupManager } from "../../src/guard/backup-manager.ts";
import { BackupStrategy } from "../../src/guard/backup-strategy.ts";
import { silent } from "../crash/silent.ts";
import { Random } from "./random.ts";

export interface WriterTask {
  readonly name: string;
  readonly seed: number;
  readonly kind: "guarded" | "plain";
  readonly uri: string;
  readonly backupDir: string;
  readonly log: string;
  /** Milliseconds since 1970. */
  readonly until: number;
  /**
   * Writes by upserts alone, which are another kind of commit than adds and deletes. Where a process is
   * killed inside an add and somebody adds within moments, that add is taken for the dead one's: the one
   * case in which it cannot be told whose a commit is (`ownVersions`).
   */
  readonly upsert: boolean;
}

/** Rows by table. */
export type Rows = Readonly<Record<string, readonly string[]>>;

/**
 * `try` comes before the work, one of the others after it. `done`: it succeeded. `undone`: the caller was
 * told that it was rolled back. `unclear`: it was told that others stand in the way, or LanceDB's own error.
 */
export interface LogLine {
  readonly work: number;
  readonly state: "try" | "done" | "undone" | "unclear";
  readonly added?: Rows;
  readonly deleted?: Rows;
  readonly error?: string;
}

export const TABLES = ["t0", "t1", "t2"] as const;

const onPurpose = new Error("failed on purpose");

/** Run as a program only; the tests import the types. */
if (process.argv[1] === import.meta.filename) await main(JSON.parse(process.argv[2] ?? "{}") as WriterTask);

async function main(task: WriterTask): Promise<void> {
  const random = new Random(task.seed);
  const file = openSync(task.log, "a");
  const log = (line: LogLine) => {
    writeSync(file, `${JSON.stringify(line)}\n`);
    fsyncSync(file);
  };
  const manager = new BackupManager({
    uri: task.uri,
    backupDir: task.backupDir,
    logger: silent,
    lockTimeoutMs: 20_000,
  });
  const connection = await connect(task.uri);
  const mine = new Map<string, Set<string>>(TABLES.map((table) => [table, new Set()]));
  let made = 0;

  for (let work = 0; Date.now() < task.until; work++) {
    // Plain writers leave the guarded ones room to roll back without a conflict, now and then.
    if (task.kind === "plain") await sleep(random.below(300));
    const tables = random.chance(0.3) ? [random.pick(TABLES), random.pick(TABLES)] : [random.pick(TABLES)];
    const added: Record<string, string[]> = {};
    const deleted: Record<string, string[]> = {};
    for (const table of new Set(tables)) {
      const own = [...(mine.get(table) ?? [])];
      if (own.length > 0 && random.chance(0.3)) deleted[table] = [random.pick(own)];
      if (!deleted[table] || random.chance(0.5)) {
        added[table] = Array.from({ length: 1 + random.below(3) }, () => `${task.name}-${made++}`);
      }
    }
    const optimize = random.chance(0.1);
    const fails = task.kind === "guarded" && random.chance(0.35);
    const change = (db: Connection, upsert = false) => apply(db, { added, deleted, optimize, upsert });
    log({ work, state: "try", added, deleted });
    try {
      if (task.kind === "plain") await change(connection, task.upsert);
      else {
        await manager.withBackup(random.pick(Object.values(BackupStrategy)), async (db) => {
          await change(db);
          if (fails) throw onPurpose;
        });
      }
      log({ work, state: "done" });
      for (const [table, rows] of Object.entries(added)) for (const row of rows) mine.get(table)?.add(row);
      for (const [table, rows] of Object.entries(deleted))
        for (const row of rows) mine.get(table)?.delete(row);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      // A guarded caller who gets any error but these was rolled back. A plain one knows nothing for sure.
      const unclear =
        task.kind === "plain" ||
        (error instanceof BackupError && ["CONFLICT", "RESTORE"].includes(error.code));
      log({
        work,
        state: unclear ? "unclear" : "undone",
        error: error === onPurpose ? "on purpose" : message,
      });
      for (const [table, rows] of Object.entries(unclear ? deleted : {})) {
        for (const row of rows) mine.get(table)?.delete(row);
      }
      // A dead process's work, and somebody's commit after it: what is there stays, so that others can go on.
      if (error instanceof ConflictError)
        await manager.recover({ onConflict: "keep" }).catch(() => undefined);
    }
  }
}

async function apply(
  db: Connection,
  change: { added: Rows; deleted: Rows; optimize: boolean; upsert: boolean },
): Promise<void> {
  for (const table of TABLES) {
    const added = change.added[table];
    const deleted = change.deleted[table];
    if (!added && !deleted) continue;
    const handle = await db.openTable(table);
    const rows = added?.map((id) => ({ id })) ?? [];
    const gone = deleted ? `id IN (${deleted.map((id) => `'${id}'`).join(", ")})` : undefined;
    if (change.upsert) {
      const merge = handle.mergeInsert("id").whenMatchedUpdateAll().whenNotMatchedInsertAll();
      const whole = gone ? merge.whenNotMatchedBySourceDelete({ where: gone }) : merge;
      // The row that all tables have had from the start: without it there may be nothing to merge.
      await whole.execute([...rows, { id: "first" }]);
    } else {
      if (added) await handle.add(rows);
      if (gone) await handle.delete(gone);
    }
    if (change.optimize) await handle.optimize({ cleanupOlderThan: new Date(Date.now() - 2000) });
    handle.close();
  }
}
