import { AsyncLocalStorage } from "node:async_hooks";
import { join } from "node:path";
import { CorruptError, ValidationError } from "../errors.ts";
import type { Capture } from "../lance/capture.ts";
import { rootDirectory } from "../lance/database.ts";
import { healDamagedHead } from "../lance/heal-head.ts";
import { listManifests } from "../lance/image.ts";
import { locateTable } from "../lance/locate.ts";
import { inspectTable } from "../lance/put-back/state.ts";
import type { Logger } from "../logger.ts";
import type { CapturedTable, EntryRecord, JournalEntry } from "./journal/entry.ts";
import { reserveEntry } from "./journal/journal.ts";
import type { Intent, Outcome } from "./journal/log.ts";
import type { LockSet } from "./lock/lock-set.ts";
import { recoverTable } from "./recovery.ts";
import type { Strategy, StrategyContext } from "./strategies/strategy.ts";

export interface OperationSettings {
  readonly context: StrategyContext;
  readonly strategy: Strategy;
  readonly kind: "guarded" | "explicit";
  readonly locks: LockSet;
  readonly logger: Logger;
  readonly signal?: AbortSignal | undefined;
  readonly durable?: boolean | undefined;
}

/** What runs a write: announces it, lets it happen, and reports what it made. */
export interface Write<R> {
  readonly table: string;
  /** Made when the table is captured, just before the write. */
  readonly intent: () => Promise<Intent> | Intent;
  readonly run: () => Promise<R>;
  readonly outcome: (result: R) => Promise<Outcome> | Outcome;
  /** A failed write has committed nothing. Otherwise what it may have committed is found on the disk. */
  readonly failsWhole?: boolean | undefined;
}

/**
 * A backup in the making, and the guarded work that it stands for: tables are locked, captured and armed in
 * the journal before the first write to each of them goes to LanceDB.
 */
export class Operation {
  readonly entry: JournalEntry;
  readonly #settings: OperationSettings;
  readonly #uuid: string;
  readonly #backupPath: string;
  readonly #createdAt = new Date().toISOString();
  readonly #captured = new Map<string, CapturedTable>();
  readonly #inFlight = new Set<Promise<unknown>>();
  /** Set for what runs inside of a call that was let through. */
  readonly #inside = new AsyncLocalStorage<true>();
  #queue: Promise<unknown> = Promise.resolve();
  #closed: unknown;

  private constructor(settings: OperationSettings, reserved: Awaited<ReturnType<typeof reserveEntry>>) {
    this.#settings = settings;
    this.entry = reserved.entry;
    this.#uuid = reserved.uuid;
    this.#backupPath = reserved.backupPath;
  }

  static async begin(settings: OperationSettings): Promise<Operation> {
    const { context, strategy, locks } = settings;
    const claim = {
      path: (id: string) => strategy.pathOf(context, id) ?? "",
      take: (path: string, uuid: string) => strategy.claim(path, uuid),
    };
    const outside = strategy.pathOf(context, "x") !== undefined;
    return new Operation(
      settings,
      await reserveEntry(context.database, locks.owner, outside ? claim : undefined),
    );
  }

  get database(): string {
    return this.#settings.context.database;
  }

  get signal(): AbortSignal | undefined {
    return this.#settings.signal;
  }

  get logger(): Logger {
    return this.#settings.logger;
  }

  get record(): EntryRecord {
    return {
      id: this.entry.id,
      uuid: this.#uuid,
      kind: this.#settings.kind,
      strategy: this.#settings.strategy.name,
      database: this.database,
      backupPath: this.#backupPath,
      createdAt: this.#createdAt,
      tables: [...this.#captured.values()],
    };
  }

  get armed(): boolean {
    return this.#captured.size > 0;
  }

  /** Captures several tables at the start, locked in one order, and arms the entry once. */
  async captureAll(tables: readonly string[], which: "all" | "present"): Promise<void> {
    await this.#inTurn(async () => {
      for (const table of [...new Set(tables)].sort()) await this.#captureOne(table);
      for (const [id, table] of this.#captured) {
        if (which === "present" && table.state === "absent") this.#captured.delete(id);
      }
      if (this.armed) await this.#arm();
    });
  }

  /** Locks, captures and arms a table unless that was done. When it returns, the way back is on the disk. */
  async capture(table: string): Promise<void> {
    this.assertOpen();
    if (this.#captured.has(table)) return;
    await this.#inTurn(async () => {
      if (this.#captured.has(table)) return;
      const { locks } = this.#settings;
      const held = locks.holds(table);
      try {
        await this.#captureOne(table);
        await this.#arm();
      } catch (error) {
        // Work that goes on after this error must not write to the table past the journal.
        this.#captured.delete(table);
        if (!held) locks.release(table);
        throw error;
      }
    });
  }

  captured(table: string): CapturedTable | undefined {
    return this.#captured.get(table);
  }

  /** Runs one write of the guarded work. @throws ValidationError once the work has ended. */
  write<R>(write: Write<R>): Promise<R> {
    return this.call(() => this.#write(write));
  }

  /**
   * Runs a call that was made in the work, and all that it leads to: the end of the work waits for it, whether
   * or not the caller did. @throws ValidationError once the work has ended.
   */
  async call<R>(task: () => Promise<R>): Promise<R> {
    this.assertOpen();
    const promise = this.#inside.run(true, async () => task());
    const settled = promise.then(
      () => undefined,
      () => undefined,
    );
    this.#inFlight.add(settled);
    settled.then(() => this.#inFlight.delete(settled));
    return promise;
  }

  /** No further call is let through; answers when those under way have settled. */
  async close(reason: unknown): Promise<void> {
    this.#closed ??= reason;
    while (this.#inFlight.size > 0) await Promise.all(this.#inFlight);
  }

  assertOpen(): void {
    this.signal?.throwIfAborted();
    if (this.#closed !== undefined && !this.#inside.getStore()) throw this.#closed;
  }

  static ended(): ValidationError {
    return new ValidationError(
      "The guarded work has ended; its connection writes no more. Use one of your own.",
    );
  }

  async #write<R>(write: Write<R>): Promise<R> {
    this.assertOpen();
    await this.capture(write.table);
    const intent = await write.intent();
    this.assertOpen();
    const report = this.entry.log.announce(intent);
    let result: R;
    try {
      result = await write.run();
    } catch (error) {
      if (write.failsWhole ?? true) report({ versions: [], failed: true });
      throw error;
    }
    report(await write.outcome(result));
    return result;
  }

  /** The newest version of a captured table on the disk. */
  async headOf(table: string): Promise<number> {
    const directory = await this.directoryOf(table);
    return directory ? ((await listManifests(join(this.database, directory)))[0]?.version ?? 0) : 0;
  }

  /** A newest manifest that is damaged is found when the table is opened, and moved aside. */
  async healIfDamaged(table: string): Promise<void> {
    const directory = await this.directoryOf(table);
    if (!directory || this.#closed !== undefined) return;
    const dataset = join(this.database, directory);
    if ((await inspectTable(dataset)).damaged.length === 0) return;
    await this.#inTurn(async () => {
      await this.#settings.locks.acquire(table);
      await this.#heal(table, dataset);
    });
  }

  /** Whether a damaged newest manifest was found, and moved aside. */
  async #heal(table: string, dataset: string): Promise<boolean> {
    const healed = await healDamagedHead(this.database, dataset);
    if (healed) this.logger.warn("a damaged newest manifest was moved aside", { table, ...healed });
    return healed !== undefined;
  }

  async directoryOf(table: string): Promise<string | undefined> {
    return rootDirectory(table) ?? (await locateTable(this.database, table));
  }

  async #captureOne(table: string): Promise<void> {
    const { locks, logger, context, strategy, signal } = this.#settings;
    const started = performance.now();
    signal?.throwIfAborted();
    if (!locks.isHeldByParent(table) || this.#settings.kind === "guarded") await locks.acquire(table);
    const settings = { database: this.database, locks, logger, onConflict: "fail", force: false } as const;
    await recoverTable(table, settings, this.entry.id);
    const directory = await locateTable(this.database, table);
    let capture: Capture | undefined;
    if (directory) {
      const dataset = join(this.database, directory);
      const target = join(strategy.tablesDirectory(this.entry, this.#backupPath), directory);
      const request = { context, dataset, target, signal, durable: this.#settings.durable };
      try {
        capture = await strategy.capture(request);
      } catch (error) {
        if (!(error instanceof CorruptError) || !(await this.#heal(table, dataset))) throw error;
        capture = await strategy.capture(request);
      }
    }
    signal?.throwIfAborted();
    if (directory && capture) {
      this.#captured.set(table, { id: table, state: "present", directory, ...capture });
      if (capture.leftOut.length > 0) {
        logger.warn("not everything of the table was backed up", { table, leftOut: capture.leftOut });
      }
    } else {
      this.#captured.set(table, { id: table, state: "absent" });
    }
    logger.debug("table captured", {
      backup: this.entry.id,
      table,
      strategy: strategy.name,
      version: capture?.version,
      files: capture?.files,
      ms: Math.round(performance.now() - started),
    });
  }

  async #arm(): Promise<void> {
    if (this.#settings.kind === "explicit") return;
    this.entry.log.create();
    await this.entry.write("armed", this.record);
  }

  #inTurn<R>(task: () => Promise<R>): Promise<R> {
    const turn = this.#queue.then(task, task);
    this.#queue = turn.catch(() => undefined);
    return turn;
  }
}
