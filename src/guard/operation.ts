import { join } from "node:path";
import type { BackupError, RestoreError } from "../errors.ts";
import { assertRoot, stampOf } from "../fs/held-root.ts";
import { reasonOf } from "../fs/io.ts";
import { rootDirectory } from "../lance/database.ts";
import type { LeftOutTable, OnUnsupported } from "../lance/left-out.ts";
import { listManifests } from "../lance/manifest.ts";
import { listedDirectory } from "../lance/namespaces.ts";
import { digestOfVersion, inspectTable } from "../lance/put-back/table-state.ts";
import type { LanceDB } from "../lance/which-lancedb.ts";
import type { Logger } from "../logger.ts";
import { Captures, type OperationSettings } from "./captures.ts";
import type { OpenWork, Write } from "./connection/open-work.ts";
import type { CapturedTable, EntryRecord } from "./journal/entry-record.ts";
import type { Intent, Outcome } from "./journal/intent-log.ts";
import { reserveEntry } from "./journal/journal.ts";
import type { JournalEntry } from "./journal/journal-entry.ts";
import { OpenCalls } from "./open-calls.ts";
import { type RecoveredWork, recoveredByOthers } from "./recovered-by-others.ts";
import { ReportedCommits } from "./reported-commits.ts";

/**
 * A backup in the making, and the guarded work that it stands for: tables are locked, captured and armed in
 * the journal before the first write to each of them goes to LanceDB.
 */
export class Operation implements OpenWork {
  readonly entry: JournalEntry;
  readonly #settings: OperationSettings;
  readonly #uuid: string;
  readonly #backupPath: string;
  readonly #home: string | undefined;
  readonly #createdAt = new Date().toISOString();
  readonly #captures: Captures;
  readonly #calls: OpenCalls;
  readonly #reported = new ReportedCommits();
  readonly movedStubs = new Set<string>();
  #asides = 0;
  #queue: Promise<unknown> = Promise.resolve();
  #wasArmed = false;
  #refused: RestoreError | undefined;
  #endedBy: RestoreError | undefined;
  #failure: BackupError | undefined;

  private constructor(settings: OperationSettings, reserved: Awaited<ReturnType<typeof reserveEntry>>) {
    this.#settings = settings;
    this.entry = reserved.entry;
    this.#uuid = reserved.uuid;
    this.#backupPath = reserved.backupPath;
    this.#home = stampOf(this.entry.directory);
    this.#captures = new Captures(settings, this.entry, this.#backupPath);
    this.#calls = new OpenCalls(settings.signal);
  }

  static async begin(settings: OperationSettings): Promise<Operation> {
    const { context, strategy, locks } = settings;
    const claim = {
      path: (id: string) => strategy.pathOf(context, id) ?? "",
      take: (path: string, uuid: string) => strategy.claim(path, uuid),
    };
    const outside = strategy.pathOf(context, "x") !== undefined;
    const reserved = await reserveEntry(context.database, locks.owner, outside ? claim : undefined);
    try {
      return new Operation(settings, reserved);
    } catch (error) {
      reserved.entry.abandon(); // its database has just gone away
      throw error;
    }
  }

  get database(): string {
    return this.#settings.context.database;
  }

  get lancedb(): LanceDB {
    return this.#settings.context.lancedb;
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
      tables: this.#captures.tables,
      namespaces: this.#captures.namespaces,
      adopts: this.#captures.adoption,
    };
  }

  get armed(): boolean {
    return !this.#captures.isEmpty;
  }

  /** Whether the entry was armed: from then on it is one that goes back, or is done, and nothing else. */
  get wasArmed(): boolean {
    return this.#wasArmed;
  }

  /** Whether the entry is armed still, the very one, and this operation has the lock of the table, or of all. */
  isOurs(table?: string): boolean {
    return this.entry.isSame() && this.entry.state === "armed" && !this.#settings.locks.hasLost(table);
  }

  /** @param what came of the work, as the beginning of a sentence */
  asRecovered(what: string, workError?: unknown): RecoveredWork {
    const { entry, record, database } = this;
    return { entry, record, database, log: entry.log.entries, what, workError };
  }

  /** The error that somebody else has recovered the entry; it is given up, and nothing more is done. */
  async recoveredByOthers(what: string, workError?: unknown): Promise<RestoreError> {
    this.entry.abandon(); // should it come back, whoever comes next puts it right
    return this.endBy(await recoveredByOthers(this.asRecovered(what, workError)));
  }

  /** The error of a call that would write what nobody could take back. */
  async #refusal(): Promise<RestoreError> {
    this.#refused = await recoveredByOthers(
      this.asRecovered("Nothing more can be written by this guarded work"),
    );
    return this.#refused;
  }

  /** Whether an error came of a call that was refused, and says all that there is to say. */
  isRefusal(error: unknown): boolean {
    return error !== undefined && error === this.#refused;
  }

  /** Notes the error that ends the operation without a way back. */
  endBy(error: RestoreError): RestoreError {
    this.#endedBy = error;
    return error;
  }

  /** Whether an error is the one that ends the operation without a way back. */
  isItsEnd(error: unknown): boolean {
    return error !== undefined && error === this.#endedBy;
  }

  get adoptsAll(): boolean {
    return this.#captures.adoption?.tables === null;
  }

  /**
   * Captures the tables of single-writer work, or all there are, and arms the entry also where there are none.
   *
   * @throws LockedError where another guarded operation is under way on them.
   */
  async adopt(tables: readonly string[] | undefined): Promise<void> {
    await this.#inTurn(async () => {
      await this.#captures.adopt(tables);
      await this.#arm();
      this.entry.log.giveSigns();
    });
  }

  /** Captures several tables at the start, locked in one order, and arms the entry once. */
  async captureAll(
    tables: readonly string[],
    which: "all" | "present",
    onUnsupported?: OnUnsupported,
  ): Promise<LeftOutTable[]> {
    return this.#inTurn(async () => {
      const leftOut = await this.#captures.takeAll(tables, which, onUnsupported);
      if (this.armed) await this.#arm();
      return leftOut;
    });
  }

  async capture(table: string): Promise<void> {
    this.assertOpen();
    if (this.captured(table)) return;
    await this.#inTurn(async () => {
      if (!this.captured(table)) await this.#captures.take(table, () => this.#arm());
    });
  }

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
    if (this.#captures.isClaimed(id)) return;
    await this.#inTurn(async () => {
      if (!this.#captures.isClaimed(id)) {
        await this.#captures.takeNamespace(id, claim, () => this.#arm());
      }
    });
  }

  captured(table: string): CapturedTable | undefined {
    return this.#captures.table(table);
  }

  write<R>(write: Write<R>): Promise<R> {
    return this.call(() => this.#write(write));
  }

  call<R>(task: () => Promise<R>): Promise<R> {
    return this.#calls.run(task);
  }

  /** No further call is let through; answers when those under way have ended. */
  close(reason: unknown): Promise<void> {
    return this.#calls.close(reason);
  }

  assertOpen(): void {
    this.#calls.assertOpen();
  }

  nextAside(): number {
    return ++this.#asides;
  }

  readonly mustFail = (error: BackupError): void => {
    this.#failure ??= error;
  };

  /** @throws the first error that `mustFail` was told. */
  assertMaySucceed(): void {
    if (this.#failure) throw this.#failure;
  }

  async #write<R>(write: Write<R>): Promise<R> {
    this.assertOpen();
    await (write.capture?.() ?? this.capture(write.table));
    const intent = await write.intent();
    this.assertOpen();
    if (!this.isOurs(write.table)) throw await this.#refusal();
    const report = this.entry.log.announce(intent);
    if (intent.step === "commit") this.#reported.announced(intent);
    let result: R;
    try {
      result = await write.run();
    } catch (error) {
      report({ ...(await this.#committedBy(write, intent)), failed: true });
      throw error;
    }
    // LanceDB makes what is missing, and writes there. What it has committed here is explained by the open intent.
    assertRoot(this.database);
    const outcome = await this.#identified(intent.table, await write.outcome(result));
    if (intent.step === "commit" && this.#reported.isTwin(intent, outcome)) {
      const newest = await this.headOf(intent.table);
      this.entry.log.announce(this.#reported.unreported(intent, newest));
    }
    report(outcome);
    return result;
  }

  /** What a failed write has committed; nothing where that cannot be told. */
  async #committedBy<R>(write: Write<R>, intent: Intent): Promise<Outcome> {
    try {
      return await this.#identified(intent.table, (await write.failure?.()) ?? { versions: [] });
    } catch (error) {
      const reason = reasonOf(error);
      this.logger.warn("it is unknown what a failed write committed", {
        table: intent.table,
        error: reason,
      });
      return { versions: [] };
    }
  }

  /** Own versions are known by their manifests, not by number: others may drop the table and make it anew. */
  async #identified(table: string, outcome: Outcome): Promise<Outcome> {
    if (outcome.versions.length === 0) return outcome;
    const directory = outcome.directory ?? (await this.directoryOf(table));
    const dataset = directory && join(this.database, directory);
    if (!dataset) return outcome;
    return { ...outcome, digests: outcome.versions.map((version) => digestOfVersion(dataset, version)) };
  }

  async headOf(table: string): Promise<number> {
    const directory = await this.directoryOf(table);
    return directory ? ((await listManifests(join(this.database, directory)))[0]?.version ?? 0) : 0;
  }

  async healIfDamaged(table: string): Promise<void> {
    const directory = await this.directoryOf(table);
    if (!directory || this.#calls.isClosed) return;
    const dataset = join(this.database, directory);
    if ((await inspectTable(dataset)).damaged.length === 0) return;
    await this.#inTurn(async () => {
      await this.#settings.locks.acquire(table);
      await this.#captures.heal(table, dataset);
    });
  }

  async directoryOf(table: string): Promise<string | undefined> {
    return rootDirectory(table) ?? (await listedDirectory(this.lancedb, this.database, table));
  }

  async #arm(): Promise<void> {
    if (this.#settings.kind === "explicit") return;
    if (this.#wasArmed && !this.isOurs()) {
      throw await this.#refusal();
    }
    this.entry.log.create();
    await this.entry.write("armed", this.record);
    this.#wasArmed = true;
  }

  #inTurn<R>(task: () => Promise<R>): Promise<R> {
    const turn = this.#queue.then(task, task);
    this.#queue = turn.catch(() => undefined);
    return turn;
  }
}
