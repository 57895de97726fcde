import { lstatSync } from "node:fs";
import { join } from "node:path";
import { CorruptError, LockedError, UnsupportedError } from "../errors.ts";
import { removeTree } from "../fs/directory-tree.ts";
import { advice } from "../hint.ts";
import type { Capture } from "../lance/capture.ts";
import {
  assertNamesAreFree,
  assertNoneIsNested,
  isInNamespace,
  listTables,
  listUnfinished,
  NAMESPACE_TABLE,
  namespacedDirectories,
  rootDirectory,
} from "../lance/database.ts";
import { healDamagedHead } from "../lance/heal-head.ts";
import { type LeftOutTable, type OnUnsupported, unsupported } from "../lance/left-out.ts";
import type { LockSet } from "../lance/lock/lock-set.ts";
import { lockedTables, WHOLE_DATABASE } from "../lance/lock/locked-tables.ts";
import { listedDirectory, listNamespaces, locateTable, type NamespaceEntry } from "../lance/namespaces.ts";
import { isOccupied, linkTarget, listStubs } from "../lance/stubs.ts";
import { isDataset } from "../lance/table-directory.ts";
import type { LanceDB } from "../lance/which-lancedb.ts";
import type { Logger } from "../logger.ts";
import type { Adoption, CapturedNamespace, CapturedTable } from "./journal/entry-record.ts";
import { listEntries } from "./journal/journal.ts";
import type { JournalEntry } from "./journal/journal-entry.ts";
import type { Strategy, StrategyContext } from "./kept-strategies.ts";

/** What an operation has locked and captured of its tables and namespaces; one call at a time. */
export class Captures {
  readonly #settings: OperationSettings;
  readonly #entry: JournalEntry;
  readonly #backupPath: string;
  readonly #tables = new Map<string, CapturedTable>();
  readonly #namespaces = new Map<string, CapturedNamespace>();
  /** Set for single-writer work, when all that it adopts is captured. */
  #adoption: Adoption | undefined;

  constructor(settings: OperationSettings, entry: JournalEntry, backupPath: string) {
    this.#settings = settings;
    this.#entry = entry;
    this.#backupPath = backupPath;
  }

  get isEmpty(): boolean {
    return this.#tables.size === 0 && this.#namespaces.size === 0;
  }

  get adoption(): Adoption | undefined {
    return this.#adoption;
  }

  get tables(): CapturedTable[] {
    return [...this.#tables.values()];
  }

  get namespaces(): CapturedNamespace[] {
    return [...this.#namespaces.values()];
  }

  table(id: string): CapturedTable | undefined {
    return this.#tables.get(id);
  }

  /** Whether the work makes or drops the namespace, and it was captured for that. */
  isClaimed(namespace: string): boolean {
    return this.#namespaces.get(namespace)?.claim !== undefined;
  }

  /**
   * Captures several tables, locked in one order. With tables of namespaces a backup has `__manifest`, without which
   * LanceDB finds none of them.
   *
   * @returns the tables that were left out, since they cannot be captured in full.
   */
  async takeAll(
    tables: readonly string[],
    which: "all" | "present",
    onUnsupported: OnUnsupported = "fail",
  ): Promise<LeftOutTable[]> {
    const leftOut: LeftOutTable[] = [];
    const ids = new Set(tables);
    const isExplicit = this.#settings.kind === "explicit";
    if (isExplicit && tables.some(isInNamespace)) ids.add(NAMESPACE_TABLE);
    for (const table of [...ids].sort()) {
      if (table === NAMESPACE_TABLE) {
        await this.#lock(table);
        continue;
      }
      try {
        await this.#take(table, onUnsupported);
      } catch (error) {
        if (onUnsupported !== "leave-out" || !(error instanceof UnsupportedError)) throw error;
        await this.#leaveOut(table);
        leftOut.push(unsupported(table, error));
      }
    }
    // Last: nothing of guarded work is under way on the tables that it names.
    if (ids.has(NAMESPACE_TABLE)) await this.#take(NAMESPACE_TABLE);
    for (const [id, table] of this.#tables) {
      const isWanted = which === "all" && tables.includes(id);
      if (!isWanted && table.state === "absent") this.#tables.delete(id);
    }
    this.#sort();
    return leftOut;
  }

  /** Captures for single-writer work: these tables, or all that there are. @throws LockedError as `takeAlone`. */
  async adopt(tables: readonly string[] | undefined): Promise<void> {
    const { context, locks } = this.#settings;
    const { database } = context;
    const adoption = await takeAlone({
      ...{ database, locks, tables, entry: this.#entry },
      lock: (name, whileWaiting) => this.#lock(name, whileWaiting),
    });
    await this.takeAll(tables ?? (await everyTable(database)), tables ? "all" : "present");
    const existing = tables ? await this.#placesOfAbsent() : adoption.existing;
    this.#adoption = { ...adoption, existing };
  }

  /** What lies where the tables would that were not there: it is nobody's of ours. */
  async #placesOfAbsent(): Promise<string[]> {
    const { database } = this.#settings.context;
    const places: string[] = [];
    for (const { id, state } of this.tables) {
      if (state !== "absent") continue;
      const root = rootDirectory(id);
      const isThere = root && lstatSync(join(database, root), { throwIfNoEntry: false }) !== undefined;
      places.push(...(root ? (isThere ? [root] : []) : await namespacedDirectories(database, id)));
    }
    return places;
  }

  /** Takes away what was placed of a table that cannot be captured: nobody may find half of it in the backup. */
  async #leaveOut(table: string): Promise<void> {
    const directory = await this.#locate(table);
    if (directory)
      await removeTree(
        join(this.#settings.strategy.tablesDirectory(this.#entry, this.#backupPath), directory),
      );
    this.#settings.locks.release(table);
  }

  /** Captures a table, and has that armed; where either fails, the table is as if it had never been named. */
  async take(table: string, arm: () => Promise<void>): Promise<void> {
    const { locks } = this.#settings;
    const held = locks.holds(table);
    try {
      await this.#take(table);
      await arm();
    } catch (error) {
      // Work that goes on after this error must not write to the table past the journal.
      this.#tables.delete(table);
      if (!held) locks.release(table);
      throw error;
    }
  }

  /** The same for a namespace that the work makes or drops; `claim` is the name of its lock. */
  async takeNamespace(id: string, claim: string, arm: () => Promise<void>): Promise<void> {
    const { locks, context } = this.#settings;
    const before = this.#namespaces.get(id);
    const held = locks.holds(claim);
    try {
      await this.#lock(claim);
      const entries = await listNamespaces(context.lancedb, context.database);
      const entry = entries.find((one) => one.object_id === id && one.location === null) ?? null;
      this.#namespaces.set(id, { id, entry, claim });
      await arm();
    } catch (error) {
      if (before) this.#namespaces.set(id, before);
      else this.#namespaces.delete(id);
      if (!held) locks.release(claim);
      throw error;
    }
  }

  /** Whether a damaged newest manifest was found, and moved aside. */
  async heal(table: string, dataset: string): Promise<boolean> {
    const { database, lancedb } = this.#settings.context;
    const healed = await healDamagedHead(lancedb, database, dataset);
    if (healed) this.#settings.logger.warn("a damaged newest manifest was moved aside", { table, ...healed });
    return healed !== undefined;
  }

  async #take(table: string, unsupportedVersions?: OnUnsupported): Promise<void> {
    const { logger, context, strategy, signal } = this.#settings;
    const started = performance.now();
    signal?.throwIfAborted();
    await this.#lock(table);
    // What was not there when all was captured has been made since.
    const isMadeSince = this.#adoption !== undefined && this.#adoption.tables === null;
    const directory = isMadeSince ? undefined : await this.#locate(table);
    let capture: Capture | undefined;
    if (directory) {
      const dataset = join(context.database, directory);
      const target = join(strategy.tablesDirectory(this.#entry, this.#backupPath), directory);
      const { durable } = this.#settings;
      const request = { context, dataset, target, signal, durable, unsupportedVersions };
      try {
        capture = await strategy.capture(request);
      } catch (error) {
        if (!(error instanceof CorruptError) || !(await this.heal(table, dataset))) throw error;
        capture = await strategy.capture(request);
      }
    }
    signal?.throwIfAborted();
    if (directory && capture) {
      const entry = await this.#captureEntries(table, directory);
      const link = linkTarget(join(context.database, directory));
      this.#tables.set(table, { id: table, state: "present", directory, ...capture, entry, link });
      if (capture.leftOut.length > 0) {
        logger.warn("not everything of the table was backed up", { table, leftOut: capture.leftOut });
      }
    } else {
      const root = rootDirectory(table);
      const isStub = (name: string) =>
        isMadeSince ? this.#adoption?.existing.includes(name) : isOccupied(join(context.database, name));
      const stub = root !== undefined && isStub(root) ? true : undefined;
      this.#tables.set(table, { id: table, state: "absent", stub });
    }
    logger.debug("table captured", {
      backup: this.#entry.id,
      table,
      strategy: strategy.name,
      version: capture?.version,
      files: capture?.files,
      ms: Math.round(performance.now() - started),
    });
  }

  /** Locks a table or namespace, and recovers what a dead operation left on it. */
  async #lock(name: string, whileWaiting?: () => Promise<void>): Promise<void> {
    const { locks, kind, recoverTable } = this.#settings;
    if (!locks.isHeldByParent(name) || kind === "guarded") await locks.acquire(name, whileWaiting);
    await recoverTable(name, this.#entry.id);
  }

  /** A table in a namespace is what LanceDB lists. A backup takes what it does not list too. */
  async #locate(table: string): Promise<string | undefined> {
    const { database, lancedb } = this.#settings.context;
    if (isInNamespace(table)) {
      const listed = await listedDirectory(lancedb, database, table);
      if (listed !== undefined && isDataset(join(database, listed))) return listed;
      if (this.#settings.kind === "guarded") return undefined;
    }
    return locateTable(lancedb, database, table);
  }

  /** Keeps what `__manifest` says of a table, and of the namespaces that it lies in; of all, for `__manifest` itself. */
  async #captureEntries(table: string, directory: string): Promise<NamespaceEntry | undefined> {
    const isList = table === NAMESPACE_TABLE;
    if (!isList && !isInNamespace(table)) return undefined;
    const { database, lancedb } = this.#settings.context;
    const entries = await listNamespaces(lancedb, database);
    for (const entry of entries) {
      const { object_id: id, location } = entry;
      if (location !== null || !(isList || table.startsWith(`${id}$`))) continue;
      if (!this.#namespaces.has(id)) this.#namespaces.set(id, { id, entry });
    }
    return entries.findLast(({ object_id: id, location }) => id === table && location === directory);
  }

  #sort(): void {
    const tables = [...this.#tables].sort(([a], [b]) => (a < b ? -1 : 1));
    this.#tables.clear();
    for (const [id, table] of tables) this.#tables.set(id, table);
  }
}

async function everyTable(database: string): Promise<string[]> {
  const tables = await listTables(database);
  assertNamesAreFree(tables);
  await assertNoneIsNested(database);
  return tables.map(({ id }) => id);
}

// Single-writer work: every commit since the capture is its own, whoever made it. That is true only where no other
// guarded operation is under way, which would have its own commits.

/** A guarded operation that is about to become a single writer. */
interface SingleWriter {
  readonly database: string;
  readonly locks: LockSet;
  /** The operation's own. */
  readonly entry: JournalEntry;
  /** The tables in question; undefined: all, and those that are not there yet. */
  readonly tables: readonly string[] | undefined;
  /** Takes a table's lock, and recovers what a dead operation left on it. */
  readonly lock: (table: string, whileWaiting: () => Promise<void>) => Promise<void>;
}

/**
 * Has the tables to itself when it returns, whole and with nothing under way; the whole database where none are named.
 * From then on other guarded operations wait.
 *
 * @throws LockedError at once where another guarded operation is under way on them, or this one is called from inside
 * of one.
 */
async function takeAlone(writer: SingleWriter): Promise<Adoption> {
  const { database, locks, tables } = writer;
  const assertAlone = () => assertNobodyAtWork(writer);
  if (locks.isInside) {
    throw new LockedError(
      'adopt: "all" cannot be used inside another guarded operation: nobody could tell whose commits they are. Use the connection of that operation.',
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
      advice`The guarded operation ${other.id} is under way${names.length > 0 ? ` (tables ${names.join(", ")})` : ""}, and adopt: "all" needs ${tables ? "its tables" : "the database"} to itself: otherwise nobody could tell whose commits they are. Wait for it to end. If its process is on a host that is gone: ${{ call: "recover", database, options: { force: true } }}.`,
    );
  }
}

export interface OperationSettings {
  readonly context: StrategyContext & { readonly lancedb: LanceDB };
  readonly strategy: Strategy;
  readonly kind: "guarded" | "explicit";
  readonly locks: LockSet;
  /** Recovers what dead operations left on a table whose lock is held; `except` is the operation's own entry. */
  readonly recoverTable: (table: string, except: string) => Promise<void>;
  readonly logger: Logger;
  readonly signal?: AbortSignal | undefined;
  readonly durable?: boolean | undefined;
}
