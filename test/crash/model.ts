import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type Connection, connect } from "@lancedb/lancedb";
import { ConflictError, LockedError } from "../../src/errors.ts";
import { BackupManager } from "../../src/guard/backup-manager.ts";
import type { BackupStrategy } from "../../src/guard/backup-strategy.ts";
import { leftovers, versionsOnDisk } from "./observe.ts";
import { silent } from "./silent.ts";
import type { Place } from "./workshop.ts";

/**
 * A model of what guarded work, crashes, recoveries and other programs may do to each other, run against the
 * real code on a real directory. It knows what every table must hold after each step, and whether going back
 * would hide somebody's commit.
 */

export const TABLES = ["a", "b", "c"] as const;
type TableName = (typeof TABLES)[number];

export type Command =
  | {
      readonly do: "begin";
      readonly slot: number;
      readonly strategy: BackupStrategy;
      readonly named: readonly TableName[];
    }
  | {
      readonly do: "write";
      readonly slot: number;
      readonly table: TableName;
      readonly kind: "add" | "delete" | "optimize";
    }
  | { readonly do: "fail" | "succeed" | "crash"; readonly slot: number }
  | { readonly do: "foreign"; readonly table: TableName; readonly kind: "add" | "delete" }
  | { readonly do: "recover"; readonly onConflict: "overwrite" | "keep" | undefined };

/** What the model knows of a captured table of one operation. */
interface Captured {
  /** The rows when it was captured. */
  readonly rows: readonly string[];
  wrote: boolean;
  /** Somebody else has committed since. */
  foreign: boolean;
}

interface Slot {
  readonly id: string;
  readonly captured: Map<TableName, Captured>;
  readonly run: <R>(work: (db: Connection) => Promise<R>) => Promise<R>;
  readonly end: (how: "fail" | "succeed") => void;
  readonly ended: Promise<unknown>;
}

const onPurpose = new Error("failed on purpose");
const NO_SUCH_PROCESS = 999_999_999;

export class Model implements AsyncDisposable {
  readonly #place: Place;
  readonly #db: Connection;
  readonly #slots = new Map<number, Slot>();
  /** Operations whose process is dead, by their entry's id. */
  readonly #dead = new Map<string, Map<TableName, Captured>>();
  readonly #now = new Map<TableName, string[]>();
  #versions = new Map<string, number>();
  #made = 0;
  readonly counts = { steps: 0, crashes: 0, rollbacks: 0, recoveries: 0, conflicts: 0, foreign: 0 };

  private constructor(place: Place, db: Connection) {
    this.#place = place;
    this.#db = db;
  }

  static async make(place: Place): Promise<Model> {
    const db = await connect(place.uri);
    const model = new Model(place, db);
    for (const table of TABLES) {
      await db.createTable(table, [{ id: "first" }]);
      model.#now.set(table, ["first"]);
    }
    return model;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const slot of this.#slots.values()) slot.end("fail");
    await Promise.all([...this.#slots.values()].map((slot) => slot.ended.catch(() => undefined)));
    this.#db.close();
  }

  async step(command: Command): Promise<void> {
    this.counts.steps++;
    switch (command.do) {
      case "begin":
        await this.#begin(command);
        break;
      case "write":
        await this.#write(command);
        break;
      case "fail":
      case "succeed":
        await this.#end(command.slot, command.do);
        break;
      case "crash":
        this.#crash(command.slot);
        break;
      case "foreign":
        await this.#foreign(command);
        break;
      case "recover":
        await this.#recover(command.onConflict);
        break;
    }
    await this.check();
  }

  /** Ends what is running and settles all entries: then nothing of ours is left. */
  async settle(): Promise<void> {
    for (const slot of [...this.#slots.keys()]) await this.#end(slot, "fail");
    await this.#recover("keep");
    await this.check();
    const manager = this.#manager();
    for (const backup of await manager.listBackups()) await manager.cleanupBackup(backup.id);
    const left = leftovers(this.#place.uri, this.#place.backupDir);
    if (left.length > 0) throw new Error(`left behind: ${left.join(", ")}`);
  }

  /** Every table holds what the model says, and no version number went backwards. */
  async check(): Promise<void> {
    for (const table of TABLES) {
      const handle = await this.#db.openTable(table);
      const rows = ((await handle.query().toArray()) as { id: string }[]).map((row) => row.id).sort();
      handle.close();
      const wanted = [...this.#rows(table)].sort();
      if (!isDeepStrictEqual(rows, wanted)) {
        throw new Error(`table ${table} holds ${rows.join(" ")} and should hold ${wanted.join(" ")}`);
      }
    }
    const versions = versionsOnDisk(this.#place.uri);
    for (const [table, version] of this.#versions) {
      if ((versions.get(table) ?? 0) < version) throw new Error(`${table} went back from version ${version}`);
    }
    this.#versions = versions;
  }

  #rows(table: TableName): string[] {
    return this.#now.get(table) ?? [];
  }

  #manager(): BackupManager {
    return new BackupManager({
      uri: this.#place.uri,
      backupDir: this.#place.backupDir,
      logger: silent,
      lockTimeoutMs: 20,
    });
  }

  async #begin(command: Command & { do: "begin" }): Promise<void> {
    if (this.#slots.has(command.slot)) return;
    const before = new Set(this.#entries());
    const started = Promise.withResolvers<Connection>();
    const ending = Promise.withResolvers<"fail" | "succeed">();
    const { named, strategy } = command;
    const ended = this.#manager().withBackup(
      strategy,
      async (db) => {
        started.resolve(db);
        if ((await ending.promise) === "fail") throw onPurpose;
      },
      named.length > 0 ? { tables: named } : {},
    );
    ended.catch((error: unknown) => started.reject(error));
    try {
      const db = await started.promise;
      this.#noteRecoveries();
      const id = this.#entries().find((entry) => !before.has(entry)) ?? "";
      const captured = new Map(named.map((table) => [table, this.#capture(table)]));
      this.#slots.set(command.slot, {
        id,
        captured,
        run: (work) => work(db),
        end: ending.resolve,
        ended,
      });
    } catch (error) {
      this.#noteRecoveries();
      this.#assertMayRefuse(error);
    }
  }

  #capture(table: TableName): Captured {
    return { rows: [...this.#rows(table)], wrote: false, foreign: false };
  }

  async #write(command: Command & { do: "write" }): Promise<void> {
    const slot = this.#slots.get(command.slot);
    if (!slot) return;
    const { table, kind } = command;
    const version = versionsOnDisk(this.#place.uri).get(`${table}.lance`);
    const rows = this.#rows(table);
    const row = kind === "delete" ? rows.find((id) => id !== "first") : `own-${this.#made++}`;
    if (row === undefined) return;
    try {
      await slot.run(async (db) => {
        const handle = await db.openTable(table);
        if (kind === "add") await handle.add([{ id: row }]);
        else if (kind === "delete") await handle.delete(`id = '${row}'`);
        else await handle.optimize();
      });
    } catch (error) {
      this.#noteRecoveries();
      const recovered = /Restore|Retryable commit conflict/.test(String(error));
      if (!recovered) this.#assertMayRefuse(error);
      // Captured all the same, where LanceDB refused a handle from before a recovery.
      if (recovered && !slot.captured.has(table)) slot.captured.set(table, this.#capture(table));
      return;
    }
    this.#noteRecoveries();
    const captured = slot.captured.get(table) ?? this.#capture(table);
    slot.captured.set(table, captured);
    const before = this.#rows(table);
    if (kind === "add") this.#now.set(table, [...before, row]);
    if (kind === "delete")
      this.#now.set(
        table,
        before.filter((id) => id !== row),
      );
    // An optimize that finds nothing to do makes no commit.
    captured.wrote ||= versionsOnDisk(this.#place.uri).get(`${table}.lance`) !== version;
  }

  async #end(number: number, how: "fail" | "succeed"): Promise<void> {
    const slot = this.#slots.get(number);
    if (!slot) return;
    this.#slots.delete(number);
    slot.end(how);
    const error = await slot.ended.then(
      () => undefined,
      (error: unknown) => error,
    );
    if (how === "succeed") {
      if (error) throw new Error(`a success came out as ${String(error)}`);
      return;
    }
    const conflict = this.#wouldHide(slot.captured);
    if (error instanceof ConflictError) {
      this.counts.conflicts++;
      if (conflict === "no") throw new Error(`a conflict that is none: ${error.message}`);
    } else if (error === onPurpose) {
      this.counts.rollbacks++;
      if (conflict === "yes") throw new Error("the rollback has hidden a commit of others");
      this.#goBack(slot.captured);
    } else {
      throw new Error(`the work's own error was replaced: ${String(error)}`);
    }
  }

  /** The process is gone from one step to the next: nobody ends the work, and its owner does not exist. */
  #crash(number: number): void {
    const slot = this.#slots.get(number);
    if (!slot) return;
    this.counts.crashes++;
    this.#slots.delete(number);
    this.#dead.set(slot.id, slot.captured);
    const own = join(this.#place.uri, ".lancedb-backup");
    const ownerFile = join(own, "journal", slot.id, "owner.json");
    const content = JSON.parse(readFileSync(ownerFile, "utf8")) as {
      owner: { pid: number; operation: string };
    };
    const { operation } = content.owner;
    content.owner.pid = NO_SUCH_PROCESS;
    writeFileSync(ownerFile, JSON.stringify(content));
    const locks = existsSync(join(own, "locks")) ? readdirSync(join(own, "locks"), { recursive: true }) : [];
    for (const path of locks.map(String)) {
      if (!path.endsWith(".json")) continue;
      const lockFile = join(own, "locks", path);
      const lock = JSON.parse(readFileSync(lockFile, "utf8")) as { pid: number; operation: string };
      if (lock.operation !== operation) continue;
      lock.pid = NO_SUCH_PROCESS;
      writeFileSync(lockFile, JSON.stringify(lock));
    }
  }

  async #foreign({ table, kind }: Command & { do: "foreign" }): Promise<void> {
    this.counts.foreign++;
    const handle = await this.#db.openTable(table);
    const before = this.#rows(table);
    const gone = before.find((id) => id !== "first");
    if (kind === "delete" && gone !== undefined) {
      await handle.delete(`id = '${gone}'`);
      this.#now.set(
        table,
        before.filter((id) => id !== gone),
      );
    } else {
      const row = `foreign-${this.#made++}`;
      await handle.add([{ id: row }]);
      this.#now.set(table, [...before, row]);
    }
    handle.close();
    const operations = [...[...this.#slots.values()].map((slot) => slot.captured), ...this.#dead.values()];
    for (const captured of operations) {
      const found = captured.get(table);
      if (found) found.foreign = true;
    }
  }

  async #recover(onConflict: "overwrite" | "keep" | undefined): Promise<void> {
    this.counts.recoveries++;
    const { entries } = await this.#manager().recover(onConflict ? { onConflict } : {});
    for (const { id, action } of entries) {
      const captured = this.#dead.get(id);
      if (!captured) {
        if (action !== "active" && action !== "held") throw new Error(`${id} is not dead, and was ${action}`);
        continue;
      }
      const conflict = this.#wouldHide(captured);
      const recovered = ["rolled-back", "swept"];
      const ofConflict = { overwrite: "rolled-back", keep: "kept", fail: "conflict" }[onConflict ?? "fail"];
      if (onConflict === "keep") recovered.splice(0, 1, "kept");
      const wanted = { no: recovered, yes: [ofConflict], perhaps: [...recovered, ofConflict] }[conflict];
      if (!wanted.includes(action))
        throw new Error(`${id} was ${action}, and should be ${wanted.join(" or ")}`);
      if (action === "conflict") {
        this.counts.conflicts++;
        continue;
      }
      this.#dead.delete(id);
      if (action === "rolled-back") this.#goBack(captured);
    }
  }

  /** Dead operations that somebody's guarded work has recovered on its way. */
  #noteRecoveries(): void {
    for (const [id, captured] of [...this.#dead]) {
      if (existsSync(join(this.#place.uri, ".lancedb-backup/journal", id))) continue;
      if (this.#wouldHide(captured) === "yes")
        throw new Error(`recovering ${id} has hidden a commit of others`);
      this.#dead.delete(id);
      this.#goBack(captured);
    }
  }

  /**
   * Whether going back would hide a commit of others: on a table that was written to, by both. `perhaps`:
   * what they made of it is what was captured, so that nothing is hidden, and it may be told as either.
   */
  #wouldHide(captured: ReadonlyMap<TableName, Captured>): "yes" | "perhaps" | "no" {
    const both = [...captured].filter(([, table]) => table.wrote && table.foreign);
    if (both.length === 0) return "no";
    const differs = both.some(
      ([name, { rows }]) => !isDeepStrictEqual([...rows].sort(), [...this.#rows(name)].sort()),
    );
    return differs ? "yes" : "perhaps";
  }

  #goBack(captured: ReadonlyMap<TableName, Captured>): void {
    for (const [table, { rows, wrote }] of captured) if (wrote) this.#now.set(table, [...rows]);
  }

  /** Refused because somebody alive has the table, or because a dead one's work is in conflict. */
  #assertMayRefuse(error: unknown): void {
    const dead = [...this.#dead.values()].some((captured) => this.#wouldHide(captured) !== "no");
    if (error instanceof LockedError && this.#slots.size > 0) return;
    if (error instanceof ConflictError && dead) return;
    throw error;
  }

  #entries(): string[] {
    const journal = join(this.#place.uri, ".lancedb-backup/journal");
    return existsSync(journal) ? readdirSync(journal) : [];
  }
}
