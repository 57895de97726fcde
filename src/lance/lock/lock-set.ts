import { AsyncLocalStorage } from "node:async_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { LockedError } from "../../errors.ts";
import { reasonOf } from "../../fs/io.ts";
import { advice } from "../../hint.ts";
import type { Logger } from "../../logger.ts";
import { ToldWait } from "../../util/tell-waiting.ts";
import { describeOwner, newOwner, type Owner, takeOffAll } from "./lock-owner.ts";
import { forgetUnusedLocks, WHOLE_DATABASE } from "./locked-tables.ts";
import { TableLock } from "./table-lock.ts";

const FIRST_PAUSE_MS = 2;
const LONGEST_PAUSE_MS = 50;

/** How long a guarded operation waits for its turn on a table, unless told otherwise. */
export const DEFAULT_LOCK_TIMEOUT_MS = 30_000;

const enclosing = new AsyncLocalStorage<LockSet>();

/** Who is in the way; undefined where somebody was quicker. */
interface InTheWay {
  readonly table: string;
  readonly attempt: { readonly holder: Owner; readonly known: boolean } | undefined;
}

/** The table locks of one guarded operation. */
export class LockSet {
  readonly owner: Owner = newOwner();
  readonly #database: string;
  readonly #timeoutMs: number;
  readonly #signal: AbortSignal | undefined;
  readonly #force: boolean;
  readonly #logger: Logger | undefined;
  readonly #parent = enclosing.getStore();
  #isOver = false;
  readonly #held = new Map<string, { lock: TableLock; epoch: number }>();

  constructor(options: {
    database: string;
    timeoutMs: number;
    signal?: AbortSignal | undefined;
    force?: boolean;
    logger?: Logger | undefined;
  }) {
    this.#database = options.database;
    this.#timeoutMs = options.timeoutMs;
    this.#signal = options.signal;
    this.#force = options.force ?? false;
    this.#logger = options.logger;
  }

  /** Work started by `task` knows that it runs inside of this operation, and does not wait for it. */
  run<T>(task: () => Promise<T>): Promise<T> {
    return enclosing.run(this, task);
  }

  get operation(): string {
    return this.owner.operation;
  }

  /** The operations that this one runs inside of, innermost first: they end only after it. */
  get enclosing(): LockSet[] {
    return this.#parent ? [this.#parent, ...this.#parent.enclosing] : [];
  }

  holds(table: string): boolean {
    return this.#held.has(table);
  }

  /** Whether an operation that this one was called from holds the table, or the whole database. */
  isHeldByParent(table: string): boolean {
    return this.#parents.some((set) => set.holds(table) || set.holds(WHOLE_DATABASE));
  }

  /** Whether it was called from another operation on this database that is under way. */
  get isInside(): boolean {
    return this.#parents.some((set) => !set.#isOver);
  }

  get #parents(): LockSet[] {
    return this.enclosing.filter((set) => set.#database === this.#database);
  }

  /**
   * Waits for the table. Answers `true` where it was taken from a dead process, whose journal entry must
   * be rolled back first.
   *
   * @throws LockedError after the time limit, or at once where the holder is an operation that this call
   * runs inside of, or one of this process that itself waits for this one. @throws the signal's reason.
   * @param whileWaiting called at each turn of the wait; what it throws ends it.
   */
  async acquire(table: string, whileWaiting?: () => Promise<void>): Promise<boolean> {
    if (this.#held.has(table)) return false;
    if (this.isHeldByParent(table)) throw heldAround(table);
    try {
      return await this.#wait(table, whileWaiting);
    } finally {
      waits.delete(this);
    }
  }

  /**
   * Takes all of these tables at once, or none, and waits for nobody. Answers with the error where one is in use.
   *
   * @throws LockedError where the holder is an operation that this call runs inside of.
   */
  async tryAll(tables: Iterable<string>): Promise<LockedError | undefined> {
    takeOffAll();
    const wanted = [...new Set(tables)].sort().filter((table) => !this.#held.has(table));
    const taken: string[] = [];
    const refusal = ({ table, attempt }: InTheWay) => {
      if (attempt) this.#refuseOwn(table, attempt.holder.operation);
      return this.#lockedError(table, attempt);
    };
    try {
      for (const table of wanted) {
        if (this.isHeldByParent(table)) throw heldAround(table);
        const attempt = await this.#look(table);
        if (attempt) return refusal({ table, attempt });
      }
      for (const table of wanted) {
        const outcome = await this.#attempt(table, new TableLock(this.#database, table));
        if (typeof outcome !== "boolean") return refusal(outcome);
        taken.push(table);
      }
      taken.length = 0;
      return undefined;
    } finally {
      for (const table of taken) this.release(table);
    }
  }

  /** Who is in the way. Takes nothing, so that it is in nobody's way itself. */
  async #look(table: string): Promise<InTheWay["attempt"]> {
    const { holder } = await TableLock.toLookAt(this.#database, table).look();
    if (!holder || holder.life === "dead" || (holder.life === "unknown" && this.#force)) return undefined;
    return { holder: holder.owner, known: holder.life === "alive" };
  }

  /** Whether it was taken from a dead process; or who is in the way. */
  async #attempt(table: string, lock: TableLock): Promise<boolean | InTheWay> {
    const attempt = await lock.attempt(this.owner, this.#force);
    if (!attempt?.taken) return { table, attempt };
    const around = await this.#around(table, () => lock.release(attempt.epoch, this.owner));
    if (around) return { table: WHOLE_DATABASE, attempt: around };
    this.#held.set(table, { lock, epoch: attempt.epoch });
    holders.set(this.operation, this);
    if (lock.isNew) await forgetUnusedLocks(this.#database);
    return attempt.fromDead;
  }

  async #wait(table: string, whileWaiting: () => Promise<void> = async () => undefined): Promise<boolean> {
    takeOffAll();
    const lock = new TableLock(this.#database, table);
    const deadline = performance.now() + this.#timeoutMs;
    const told = new ToldWait(this.#logger);
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
      this.#signal?.throwIfAborted();
      const outcome = await this.#attempt(table, lock);
      if (typeof outcome === "boolean") return outcome;
      if (outcome.attempt) this.#refuseDeadlock(outcome.table, outcome.attempt.holder.operation);
      if (performance.now() >= deadline) throw this.#lockedError(outcome.table, outcome.attempt);
      told.turn(() => inTheWay(outcome));
      await whileWaiting();
      await this.#pause(pause);
    }
  }

  /**
   * Whether a table that was taken, or any of all, is held no more: its lock was taken by force, or is away with its
   * directory.
   */
  hasLost(table?: string): boolean {
    const held = table === undefined ? [...this.#held.values()] : [this.#held.get(table)];
    return held.some((one) => one && !one.lock.isHeld(one.epoch));
  }

  /** Who holds the whole database, of which a table was just taken; that is given back then. */
  async #around(table: string, giveBack: () => void): Promise<InTheWay["attempt"]> {
    if (table === WHOLE_DATABASE || this.#held.has(WHOLE_DATABASE)) return undefined;
    try {
      const around = await this.#look(WHOLE_DATABASE);
      if (around) giveBack();
      return around;
    } catch (error) {
      giveBack();
      throw error;
    }
  }

  /** Takes several tables in one order, so that two operations cannot wait for each other. */
  async acquireAll(tables: Iterable<string>): Promise<string[]> {
    const fromDead: string[] = [];
    for (const table of [...new Set(tables)].sort()) if (await this.acquire(table)) fromDead.push(table);
    return fromDead;
  }

  release(table: string): void {
    const held = this.#held.get(table);
    if (!held) return;
    this.#held.delete(table);
    if (this.#held.size === 0) holders.delete(this.operation);
    const error = held.lock.release(held.epoch, this.owner);
    if (error) {
      this.#logger?.warn(
        "a lock could not be released; it is tried again, and others find the table held until then",
        {
          table,
          error: reasonOf(error),
        },
      );
    }
  }

  releaseAll(): void {
    this.#isOver = true;
    for (const table of [...this.#held.keys()]) this.release(table);
  }

  /** The same directory by another path, which the name of the database does not tell. */
  #refuseOwn(table: string, holder: string): void {
    if (this.enclosing.some(({ operation }) => operation === holder)) throw heldAround(table);
  }

  #refuseDeadlock(table: string, holder: string): void {
    this.#refuseOwn(table, holder);
    waits.set(this, { table, holder });
    if (!isDeadlock(this)) return;
    throw new LockedError(
      `Table ${table} is held by a guarded operation of this process that itself waits for a table that is held here: neither could continue. Name the tables of both in their option "tables", so that both lock them in the same order, and do not run one guarded operation inside another.`,
    );
  }

  async #pause(ms: number): Promise<void> {
    try {
      await sleep(ms * (0.5 + Math.random()), undefined, this.#signal ? { signal: this.#signal } : {});
    } catch (error) {
      this.#signal?.throwIfAborted();
      throw error;
    }
  }

  #lockedError(table: string, attempt: InTheWay["attempt"]): LockedError {
    if (!attempt) {
      return new LockedError(
        `Table ${table} could not be locked within ${this.#timeoutMs} ms: others were quicker each time.`,
      );
    }
    const { known } = attempt;
    const who = describeOwner(attempt.holder);
    const what = table === WHOLE_DATABASE ? `The whole database at ${this.#database}` : `Table ${table}`;
    return new LockedError(
      known
        ? `${what} is in use by a guarded operation of ${who}; waited ${this.#timeoutMs} ms for it.`
        : advice`${what} is held by ${who}. It cannot be known from here whether it is alive. If it is not: ${{ call: "recover", database: this.#database, options: { force: true } }}.`,
    );
  }
}

function inTheWay({ table, attempt }: InTheWay): string {
  const what = table === WHOLE_DATABASE ? "the whole database" : `table ${table}`;
  return attempt ? `${what}, held by ${describeOwner(attempt.holder)}` : `${what}, which others take`;
}

function heldAround(table: string): LockedError {
  return new LockedError(
    `Table ${table} is held by the guarded operation that this call runs inside of. Use the connection that it handed over.`,
  );
}

interface Wait {
  readonly table: string;
  /** The operation that has it. */
  readonly holder: string;
}

/**
 * Guarded operations of this process that wait for each other's tables would wait until their time is up, and
 * each would hold what the other needs. Here it can be told at once. Of other processes nothing is known but
 * who holds a table, so there the time limit stands. By the operations' ids, as the locks on the disk name them.
 */
const holders = new Map<string, LockSet>();
const waits = new Map<LockSet, Wait>();

/** Whether what a waiter waits for can only come when the waiter itself, or what it runs inside of, has ended. */
function isDeadlock(waiter: LockSet): boolean {
  const own = new Set(lineOf(waiter).map(({ operation }) => operation));
  const seen = new Set<string>();
  const leadsBack = (wait: Wait | undefined): boolean => {
    if (!wait || !holders.get(wait.holder)?.holds(wait.table)) return false; // free by now, or another process's
    if (own.has(wait.holder)) return true;
    if (seen.has(wait.holder)) return false;
    seen.add(wait.holder);
    return [...waits].some(
      ([other, next]) => lineOf(other).some(({ operation }) => operation === wait.holder) && leadsBack(next),
    );
  };
  return leadsBack(waits.get(waiter));
}

function lineOf(holder: LockSet): LockSet[] {
  return [holder, ...holder.enclosing];
}
