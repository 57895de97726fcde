import { AsyncLocalStorage } from "node:async_hooks";
import { join } from "node:path";
import { CorruptError, ValidationError } from "../errors.ts";
import { stampOf } from "../fs/stamp.ts";
import { type Capture, isDataset } from "../lance/capture.ts";
import { isInNamespace, NAMESPACE_TABLE, rootDirectory } from "../lance/database.ts";
import { healDamagedHead } from "../lance/heal-head.ts";
import { listManifests } from "../lance/image.ts";
import { listedDirectory, locateTable } from "../lance/locate.ts";
import type { LockSet } from "../lance/lock/lock-set.ts";
import { listNamespaces, type NamespaceEntry } from "../lance/namespaces.ts";
import { inspectTable } from "../lance/put-back/state.ts";
import { digestOfVersion } from "../lance/version-identity.ts";
import type { Logger } from "../logger.ts";
import type { CapturedNamespace, CapturedTable, EntryRecord, JournalEntry } from "./journal/entry.ts";
import { reserveEntry } from "./journal/journal.ts";
import type { Intent, Outcome } from "./journal/log.ts";
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
  /** Where it is no write to the table that captures something else. */
  readonly capture?: (() => Promise<void>) | undefined;
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
  readonly #home: string | undefined;
  readonly #createdAt = new Date().toISOString();
  readonly #captured = new Map<string, CapturedTable>();
  readonly #namespaces = new Map<string, CapturedNamespace>();
  readonly #inFlight = new Set<Promise<unknown>>();
  /** Set for what runs inside of a call that was let through, and for what that has started and not waited for. */
  readonly #inside = new AsyncLocalStorage<{ settled: boolean }>();
  #queue: Promise<unknown> = Promise.resolve();
  #closed: unknown;

  private constructor(settings: OperationSettings, reserved: Awaited<ReturnType<typeof reserveEntry>>) {
    this.#settings = settings;
    this.entry = reserved.entry;
    this.#uuid = reserved.uuid;
    this.#backupPath = reserved.backupPath;
    this.#home = stampOf(this.entry.directory);
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
      home: this.#home,
      createdAt: this.#createdAt,
      tables: [...this.#captured.values()],
      namespaces: [...this.#namespaces.values()],
    };
  }

  get armed(): boolean {
    return this.#captured.size > 0 || this.#namespaces.size > 0;
  }

  /**
   * Captures several tables at the start, locked in one order, and arms the entry once. With tables of namespaces a
   * backup has `__manifest`, without which LanceDB finds none of them.
   */
  async captureAll(tables: readonly string[], which: "all" | "present"): Promise<void> {
    const ids = new Set(tables);
    const isExplicit = this.#settings.kind === "explicit";
    if (isExplicit && tables.some(isInNamespace)) ids.add(NAMESPACE_TABLE);
    await this.#inTurn(async () => {
      for (const table of [...ids].sort()) {
        if (table === NAMESPACE_TABLE) await this.#lock(table);
        else await this.#captureOne(table);
      }
      // Last: nothing of guarded work is under way on the tables that it names.
      if (ids.has(NAMESPACE_TABLE)) await this.#captureOne(NAMESPACE_TABLE);
      for (const [id, table] of this.#captured) {
        const isWanted = which === "all" && tables.includes(id);
        if (!isWanted && table.state === "absent") this.#captured.delete(id);
      }
      this.#sortCaptured();
      if (this.armed) await this.#arm();
    });
  }

  #sortCaptured(): void {
    const tables = [...this.#captured].sort(([a], [b]) => (a < b ? -1 : 1));
    this.#captured.clear();
    for (const [id, table] of tables) this.#captured.set(id, table);
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

  /**
   * Runs a call that makes or drops a namespace: one entry of `__manifest`, which is everybody's and is not locked.
   * Guarded operations on the same namespace wait for each other.
   */
  writeNamespace<R>(path: readonly string[], run: () => Promise<R>): Promise<R> {
    const id = path.join("$");
    // No table has an id that ends so.
    const claim = `${id.replace(/[/\\\0%]/g, encodeURIComponent)}$`;
    return this.write({
      table: claim,
      capture: () => this.#captureNamespace(id, claim),
      intent: () => ({ step: "namespace", table: claim, namespace: id }),
      run,
      outcome: () => ({ versions: [] }),
    });
  }

  async #captureNamespace(id: string, claim: string): Promise<void> {
    this.assertOpen();
    if (this.#namespaces.get(id)?.claim !== undefined) return;
    await this.#inTurn(async () => {
      const before = this.#namespaces.get(id);
      if (before?.claim !== undefined) return;
      const held = this.#settings.locks.holds(claim);
      try {
        await this.#lock(claim);
        const entries = await listNamespaces(this.database);
        const entry = entries.find((one) => one.object_id === id && one.location === null) ?? null;
        this.#namespaces.set(id, { id, entry, claim });
        await this.#arm();
      } catch (error) {
        if (before) this.#namespaces.set(id, before);
        else this.#namespaces.delete(id);
        if (!held) this.#settings.locks.release(claim);
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
    const call = { settled: false };
    const promise = this.#inside.run(call, async () => task());
    const settle = () => {
      call.settled = true;
    };
    const settled = promise.then(settle, settle);
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
    const call = this.#inside.getStore();
    if (this.#closed !== undefined && (!call || call.settled)) throw this.#closed;
  }

  static ended(): ValidationError {
    return new ValidationError(
      "The guarded work has ended; its connection writes no more. Use one of your own.",
    );
  }

  async #write<R>(write: Write<R>): Promise<R> {
    this.assertOpen();
    await (write.capture?.() ?? this.capture(write.table));
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
    report(await this.#identified(intent.table, await write.outcome(result)));
    return result;
  }

  /** Own versions are known by their manifests, not by number: others may drop the table and make it anew. */
  async #identified(table: string, outcome: Outcome): Promise<Outcome> {
    if (outcome.versions.length === 0) return outcome;
    const directory = outcome.directory ?? (await this.directoryOf(table));
    const dataset = directory && join(this.database, directory);
    if (!dataset) return outcome;
    return { ...outcome, digests: outcome.versions.map((version) => digestOfVersion(dataset, version)) };
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
    return rootDirectory(table) ?? (await listedDirectory(this.database, table));
  }

  async #captureOne(table: string): Promise<void> {
    const { logger, context, strategy, signal } = this.#settings;
    const started = performance.now();
    signal?.throwIfAborted();
    await this.#lock(table);
    const directory = await this.#locate(table);
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
      const entry = await this.#captureEntries(table, directory);
      this.#captured.set(table, { id: table, state: "present", directory, ...capture, entry });
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

  /** Locks a table or namespace, and settles what a dead operation left on it. */
  async #lock(name: string): Promise<void> {
    const { locks, logger, kind } = this.#settings;
    if (!locks.isHeldByParent(name) || kind === "guarded") await locks.acquire(name);
    const settings = { database: this.database, locks, logger, onConflict: "fail", force: false } as const;
    await recoverTable(name, settings, this.entry.id);
  }

  /** A table in a namespace is what LanceDB lists. A backup takes what it does not list too. */
  async #locate(table: string): Promise<string | undefined> {
    const { database } = this;
    if (isInNamespace(table)) {
      const listed = await listedDirectory(database, table);
      if (listed !== undefined && isDataset(join(database, listed))) return listed;
      if (this.#settings.kind === "guarded") return undefined;
    }
    return locateTable(database, table);
  }

  /** Keeps what `__manifest` says of a table, and of the namespaces that it lies in; of all, for `__manifest` itself. */
  async #captureEntries(table: string, directory: string): Promise<NamespaceEntry | undefined> {
    const isList = table === NAMESPACE_TABLE;
    if (!isList && !isInNamespace(table)) return undefined;
    const entries = await listNamespaces(this.database);
    for (const entry of entries) {
      const { object_id: id, location } = entry;
      if (location !== null || !(isList || table.startsWith(`${id}$`))) continue;
      if (!this.#namespaces.has(id)) this.#namespaces.set(id, { id, entry });
    }
    return entries.findLast(({ object_id: id, location }) => id === table && location === directory);
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
