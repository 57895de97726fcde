import { LockedError } from "../errors.ts";
import { listUnfinished } from "../lance/database.ts";
import type { LockSet } from "../lance/lock/lock-set.ts";
import { lockedTables, WHOLE_DATABASE } from "../lance/lock/locked-tables.ts";
import { listStubs } from "../lance/stubs.ts";
import type { Adoption } from "./journal/entry-record.ts";
import { listEntries } from "./journal/journal.ts";
import type { JournalEntry } from "./journal/journal-entry.ts";

// Single-writer work: every commit since the capture is its own, whoever made it. That is true only where no other
// guarded operation is under way, which would have its own commits.

/** A guarded operation that is about to become a single writer. */
export interface SingleWriter {
  readonly database: string;
  readonly locks: LockSet;
  /** The operation's own. */
  readonly entry: JournalEntry;
  /** The tables in question; undefined: all, and those that are not there yet. */
  readonly tables: readonly string[] | undefined;
  /** Takes a table's lock, and settles what a dead operation left on it. */
  readonly lock: (table: string, whileWaiting: () => Promise<void>) => Promise<void>;
}

/**
 * Has the tables to itself when it returns, whole and with nothing under way; the whole database where none are named.
 * From then on other guarded operations wait.
 *
 * @throws LockedError at once where another guarded operation is under way on them, or this one is called from inside
 * of one.
 */
export async function takeAlone(writer: SingleWriter): Promise<Adoption> {
  const { database, locks, tables } = writer;
  const assertAlone = () => assertNobodyAtWork(writer);
  if (locks.isInside) {
    throw new LockedError(
      'adopt: "all" is not for work inside of another guarded operation: whose the commits are could not be told. Use the connection that it handed over.',
    );
  }
  await assertAlone();
  if (tables) return { tables, existing: [] }; // known when their locks are taken
  await writer.lock(WHOLE_DATABASE, assertAlone);
  await assertAlone(); // one that was armed before it could see that the database is taken
  for (const name of lockedTables(database).sort()) {
    if (name !== WHOLE_DATABASE) await writer.lock(name, assertAlone);
  }
  const unfinished = (await listUnfinished(database)).map(({ directory }) => directory);
  return { tables: null, existing: [...new Set([...unfinished, ...(await listStubs(database))])] };
}

/** Every operation that has written, or is about to, has armed its entry. */
async function assertNobodyAtWork({ database, entry, tables }: SingleWriter): Promise<void> {
  for (const other of listEntries(database)) {
    if (other.id === entry.id || other.state !== "armed" || (await other.liveness()) === "dead") continue;
    const claims = other.tableIds();
    const isInTheWay =
      tables === undefined || claims.some((id) => id === WHOLE_DATABASE || tables.includes(id));
    if (!isInTheWay || other.state !== "armed") continue;
    const names = claims.filter((id) => id !== WHOLE_DATABASE);
    throw new LockedError(
      `The guarded operation ${other.id} is under way${names.length > 0 ? ` (tables ${names.join(", ")})` : ""}, and adopt: "all" needs ${tables ? "its tables" : "the database"} to itself: whose the commits are could not be told. Wait for it to end; where its process is on a host that is gone, call recover({ force: true }).`,
    );
  }
}
