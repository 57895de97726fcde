import { DatabaseSync } from "node:sqlite";
import { inspectDatabase } from "./inspect-database.ts";
import { type Held, type HoldInput, LiveDatabase } from "./live-database.ts";
import { replaceDatabase } from "./replace-database.ts";
import { type Failure, fromSqlite, toFailure } from "./sqlite-failure.ts";

// The program of the process in which databases are opened (sqlite-process.ts).

let held: LiveDatabase | undefined;

/** What can be asked of it, one after the other. */
const TASKS = {
  /** Holds a live database as it is now. */
  async hold(input: HoldInput): Promise<Held> {
    held = await LiveDatabase.hold(input);
    return { isWal: held.isWal };
  },
  /** Writes it into a new file. */
  async copy({ to }: { readonly to: string }): Promise<void> {
    if (!held) throw new TypeError("No database is held.");
    await held.copy(to);
  },
  inspect: inspectDatabase,
  /** Writes a database into a new file without its free pages. */
  compact({ from, to, isWal, name }: CompactInput): void {
    try {
      const database = new DatabaseSync(from, { readOnly: true });
      database.prepare("VACUUM INTO ?").run(to);
      database.close();
      if (!isWal) return;
      const compacted = new DatabaseSync(to);
      compacted.exec("PRAGMA journal_mode = WAL");
      compacted.close();
    } catch (error) {
      throw fromSqlite(error, "compact the copy of", name);
    }
  },
  replace: replaceDatabase,
};

interface CompactInput {
  /** A database that nobody has open. */
  readonly from: string;
  readonly to: string;
  /** Whether it is to have a write-ahead log. */
  readonly isWal: boolean;
  /** What it is called in messages. */
  readonly name: string;
}

export type SqliteTasks = typeof TASKS;

export type Reply =
  | { readonly ok: true; readonly result: unknown }
  | { readonly ok: false; readonly failure: Failure };

process.on("message", ({ task, input }: { readonly task: keyof SqliteTasks; readonly input: unknown }) => {
  const run = TASKS[task] as (input: unknown) => unknown;
  Promise.resolve()
    .then(() => run(input))
    .then(
      (result): Reply => ({ ok: true, result }),
      (error: unknown): Reply => ({ ok: false, failure: toFailure(error) }),
    )
    .then((reply) => process.send?.(reply));
});

// Whoever asked is gone.
process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));
