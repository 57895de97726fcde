import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { IoError, LockedError } from "../../errors.ts";
import { listNames } from "../../fs/directory-tree.ts";
import { errnoOf, toIoError } from "../../fs/io.ts";
import { isStray } from "../../fs/safe-names.ts";
import { advice } from "../../hint.ts";
import type { Logger } from "../../logger.ts";
import { ToldWait } from "../../util/tell-waiting.ts";
import { JOURNAL_ENTRY, PRIVATE_DIRECTORY, privateDirectory } from "../private-directory.ts";
import { describeOwner, isOwner, livenessOfOwner } from "./lock-owner.ts";
import { LockSet } from "./lock-set.ts";
import { lockedTables, WHOLE_DATABASE } from "./locked-tables.ts";
import { type Holding, TableLock } from "./table-lock.ts";

export interface FreezeOptions {
  /** Whether a table, by its id, is to stand still. */
  readonly wants: (table: string) => boolean;
  /** How long to wait for guarded operations, milliseconds. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Told for whom is waited. */
  readonly logger?: Logger | undefined;
  /** Nothing is to be written: locks and journal are watched, as where nothing can be. Default false. */
  readonly isReadOnly?: boolean | undefined;
}

/**
 * How guarded writes were kept out. `locked`: by the tables' locks. `read-only`: nothing can be written in the
 * database, so locks and journal were read before and after, and nobody had come.
 */
export type Taken = "locked" | "read-only";

/** Errors by which a database says that we cannot write to it. */
const READ_ONLY = new Set(["EROFS", "EACCES", "EPERM"]);

const FIRST_PAUSE_MS = 2;
const LOOK_MS = 50;

/**
 * Runs `task` while no guarded operation is under way on any of the tables, so that what it sees of several tables
 * fits together. Plain writers are not held up. Where the database cannot be written to, locks and journal are
 * watched instead, and the task runs again where somebody came meanwhile.
 *
 * @param undo is given what the task made where it has to be run again.
 * @throws LockedError after the time limit; or at once where a dead process left guarded work on one of the tables.
 */
export async function whileFrozen<T>(
  database: string,
  options: FreezeOptions,
  task: () => Promise<T>,
  undo: (result: T) => Promise<void>,
): Promise<{ readonly result: T; readonly taken: Taken }> {
  const { timeoutMs, signal, logger, isReadOnly = false } = options;
  const wants = (name: string) => name === WHOLE_DATABASE || options.wants(name);
  const deadline = performance.now() + timeoutMs;
  const told = new ToldWait(logger);
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LOOK_MS)) {
    signal?.throwIfAborted();
    const locks = new LockSet({ database, timeoutMs, signal });
    let busy: LockedError | undefined;
    try {
      const known = lockedTables(database).filter(wants);
      const taken = !isReadOnly && canWrite(database) ? await tryAll(locks, known) : "read-only";
      if (taken === "read-only") {
        locks.releaseAll();
        return { result: await whileWatched(database, { ...options, wants }, task, undo), taken };
      }
      busy = taken === "taken" ? await liveWork(database, wants, timeoutMs) : taken;
      if (!busy) {
        const result = await task();
        const isNew = lockedTables(database).some((table) => wants(table) && !known.includes(table));
        if (!isNew) return { result, taken: "locked" };
        await undo(result); // a table has met its first guarded operation meanwhile
        pause = FIRST_PAUSE_MS;
        continue;
      }
    } finally {
      locks.releaseAll();
    }
    // Nothing is held in a pause: guarded work that holds what we wait for may itself wait for what we would hold.
    told.turn(() => busy?.message ?? database);
    if (performance.now() >= deadline) throw busy;
    await sleep(pause * (0.5 + Math.random()));
  }
}

/**
 * The error for guarded work under way on tables whose locks are held here: on one that had no lock when we looked.
 *
 * @throws LockedError where a dead process left guarded work on one of the tables.
 */
async function liveWork(
  database: string,
  wants: (table: string) => boolean,
  timeoutMs: number,
): Promise<LockedError | undefined> {
  for (const { entry, table } of armedEntries(database, wants)) {
    const holding = await holderOfEntry(database, entry);
    if (holding?.life === "alive") {
      const who = describeOwner(holding.owner);
      return new LockedError(
        `Table ${table} is in use by a guarded operation of ${who}; waited ${timeoutMs} ms for it.`,
      );
    }
    if (isArmed(database, entry)) throw leftBehind(database, entry, table);
  }
  return undefined;
}

function canWrite(database: string): boolean {
  const own = join(database, PRIVATE_DIRECTORY);
  try {
    accessSync(existsSync(own) ? own : database, constants.W_OK);
    return true;
  } catch (error) {
    return !READ_ONLY.has(errnoOf(error) ?? "");
  }
}

/** `read-only` where some lock cannot be taken, since nothing can be written there; the error where one is in use. */
async function tryAll(
  locks: LockSet,
  tables: readonly string[],
): Promise<"taken" | "read-only" | LockedError> {
  try {
    return (await locks.tryAll(tables)) ?? "taken";
  } catch (error) {
    if (error instanceof IoError && READ_ONLY.has(error.errno ?? "")) return "read-only";
    throw error;
  }
}

/** The task sees what fits together where no lock was taken between a look before it and one after it. */
async function whileWatched<T>(
  database: string,
  { wants, timeoutMs, signal, logger }: FreezeOptions,
  task: () => Promise<T>,
  undo: (result: T) => Promise<void>,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  const told = new ToldWait(logger);
  for (;;) {
    signal?.throwIfAborted();
    const before = await lookAround(database, wants);
    if (!before.busy) {
      const result = await task();
      const after = await lookAround(database, wants);
      if (!after.busy && after.locks === before.locks) return result;
      await undo(result);
    }
    told.turn(
      () => stillBusy(database, before.busy, Math.round(timeoutMs - (deadline - performance.now()))).message,
    );
    if (performance.now() >= deadline) throw stillBusy(database, before.busy, timeoutMs);
    await sleep(LOOK_MS);
  }
}

interface Busy {
  readonly table: string;
  readonly holding: Holding;
}

/** @throws LockedError where a dead process left guarded work on one of the tables. */
async function lookAround(
  database: string,
  wants: (table: string) => boolean,
): Promise<{ readonly locks: string; readonly busy: Busy | undefined }> {
  const locks: string[] = [];
  let busy: Busy | undefined;
  for (const table of lockedTables(database).filter(wants)) {
    const { epoch, holder } = await TableLock.toLookAt(database, table).look();
    locks.push(`${table} ${epoch}`);
    if (holder && holder.life !== "dead") busy ??= { table, holding: holder };
  }
  for (const { entry, table } of armedEntries(database, wants)) {
    const holding = await holderOfEntry(database, entry);
    if (!isArmed(database, entry)) continue; // it has ended meanwhile, and its owner went with it
    if (!holding || holding.life === "dead") throw leftBehind(database, entry, table);
    busy ??= { table, holding };
  }
  return { locks: locks.sort().join("\n"), busy };
}

async function holderOfEntry(database: string, entry: string): Promise<Holding | undefined> {
  const file = join(privateDirectory(database, "journal"), entry, "owner.json");
  let owner: unknown;
  try {
    owner = (JSON.parse(readFileSync(file, "utf8")) as { owner?: unknown } | null)?.owner;
  } catch (error) {
    if (errnoOf(error) === "EACCES") throw toIoError(error, "read", file);
    return undefined; // given up, or damaged: recovery says which
  }
  return isOwner(owner) ? { owner, life: await livenessOfOwner(owner, `entry ${entry}`, file) } : undefined;
}

function stillBusy(database: string, busy: Busy | undefined, timeoutMs: number): LockedError {
  const where = "The database cannot be written to from here, so guarded writes are waited for, not kept out";
  if (!busy) {
    return new LockedError(
      `${where}, and for ${timeoutMs} ms there was one in each look: try again, or give more time (lockTimeoutMs).`,
    );
  }
  const { table, holding } = busy;
  const who = describeOwner(holding.owner);
  return new LockedError(
    holding.life === "alive"
      ? `${where}. Table ${table} is in use by a guarded operation of ${who}; waited ${timeoutMs} ms for it.`
      : advice`${where}. Table ${table} is held by ${who}. It cannot be known from here whether it is alive. If it is not: ${{ call: "recover", database, options: { force: true } }}, where the database can be written to.`,
  );
}

/** Whoever held a table of an armed journal entry has ended, since we hold it now: the table may be half-written. */
export function assertNothingLeft(database: string, wants: (table: string) => boolean): void {
  for (const { entry, table } of armedEntries(database, wants)) {
    if (isArmed(database, entry)) throw leftBehind(database, entry, table);
  }
}

/** Listed, since one that may not be looked into is not one that is not armed. */
function isArmed(database: string, entry: string): boolean {
  return listNames(join(privateDirectory(database, "journal"), entry)).includes("armed.json");
}

/** Entries of guarded work that is not ended, each with one of its tables. */
function armedEntries(
  database: string,
  wants: (table: string) => boolean,
): { readonly entry: string; readonly table: string }[] {
  const journal = privateDirectory(database, "journal");
  return listNames(journal).flatMap((entry) => {
    if (!JOURNAL_ENTRY.test(entry) || !isArmed(database, entry)) return [];
    const claims = listNames(join(journal, entry, "tables")).filter((name) => !isStray(name));
    const table = claims.includes(WHOLE_DATABASE) ? WHOLE_DATABASE : claims.find(wants);
    return table === undefined ? [] : { entry, table };
  });
}

function leftBehind(database: string, entry: string, table: string): LockedError {
  return new LockedError(
    advice`${table === WHOLE_DATABASE ? "The database" : `Table ${table}`} was left by guarded work that did not end (${entry} in the journal of ${database}). First roll it back: ${{ call: "recover", database }}.`,
  );
}
