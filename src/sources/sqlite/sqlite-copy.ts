import { rm } from "node:fs/promises";
import { join } from "node:path";
import { makeTemporaryScratch, type Scratch } from "../../engine/scratch.ts";
import type { DatabaseFacts } from "./inspect-database.ts";
import { SqliteProcess } from "./sqlite-process.ts";

export interface CopyOptions {
  /** Without the pages that the database has free, by VACUUM. Default false. */
  readonly compact?: boolean | undefined;
  /**
   * How long the copy may take, milliseconds: a database with a rollback journal cannot be written to meanwhile.
   * Default 600,000.
   */
  readonly timeoutMs?: number | undefined;
}

export interface HoldRequest extends CopyOptions {
  /** How long to wait for transactions of others, milliseconds. */
  readonly lockTimeoutMs: number;
  /** Whether a database that nobody has open may be read without a lock, and be looked at again afterwards. */
  readonly unlocked: boolean;
  readonly signal?: AbortSignal | undefined;
}

const DEFAULT_TIMEOUT_MS = 600_000;

/** Neither SQLite nor a timer waits longer: 24 days. */
const LONGEST_MS = 2 ** 31 - 1;

/** Rows are counted for so long: the pages have just been read, and are in memory. */
const COUNT_MS = 30_000;

/** A database that is held as it is, and a whole, checked copy of it. Both go when it is disposed of. */
export class SqliteCopy implements AsyncDisposable {
  readonly #worker: SqliteProcess;
  readonly #scratch: Scratch;
  readonly #path: string;
  readonly #request: HoldRequest;
  readonly #isWal: boolean;

  private constructor(
    worker: SqliteProcess,
    scratch: Scratch,
    path: string,
    request: HoldRequest,
    isWal: boolean,
  ) {
    this.#worker = worker;
    this.#scratch = scratch;
    this.#path = path;
    this.#request = request;
    this.#isWal = isWal;
  }

  /** @throws ValidationError where the file is no database; LockedError, UnsupportedError, CorruptError, IoError; the signal's reason. */
  static async hold(path: string, request: HoldRequest): Promise<SqliteCopy> {
    const { unlocked, signal, timeoutMs: limitMs = DEFAULT_TIMEOUT_MS } = request;
    const timeoutMs = Math.min(Math.ceil(request.lockTimeoutMs), LONGEST_MS);
    const scratch = await makeTemporaryScratch();
    const worker = new SqliteProcess();
    try {
      const input = { path, scratch: scratch.directory, timeoutMs, unlocked };
      const limit = { signal, limitMs: limitMs + timeoutMs, what: `Opening ${path}` };
      const { isWal } = await worker.run("hold", input, limit);
      return new SqliteCopy(worker, scratch, path, request, isWal);
    } catch (error) {
      await worker[Symbol.asyncDispose]();
      await scratch.remove();
      throw error;
    }
  }

  /** Whether others write on while it is held. */
  get isWal(): boolean {
    return this.#isWal;
  }

  /**
   * Writes the copy, and lets the database go. Once.
   *
   * @throws NotFoundError where somebody changed a database that was not locked. @throws IoError
   */
  async write(): Promise<void> {
    const { signal, timeoutMs: limitMs = DEFAULT_TIMEOUT_MS } = this.#request;
    await this.#worker.run(
      "copy",
      { to: this.#place("copy") },
      { signal, limitMs, what: `The copy of ${this.#path}` },
    );
  }

  /** Checks what was written. @throws CorruptError where it is damaged, and so was the database. */
  async check(): Promise<{ readonly file: string; readonly facts: DatabaseFacts }> {
    const whole = this.#place("copy");
    const facts = await this.#inspect(whole);
    if (!this.#request.compact) return { file: whole, facts };
    const { signal } = this.#request;
    const file = this.#place("compact");
    const input = { from: whole, to: file, isWal: this.#isWal, name: this.#path };
    await this.#worker.run("compact", input, { signal, what: `Compacting ${this.#path}` });
    await rm(whole);
    return { file, facts: await this.#inspect(file) };
  }

  #inspect(file: string): Promise<DatabaseFacts> {
    const { signal } = this.#request;
    const input = { file, name: this.#path, countMs: COUNT_MS };
    return this.#worker.run("inspect", input, { signal, what: `The check of ${this.#path}` });
  }

  #place(name: string): string {
    return join(this.#scratch.directory, name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker[Symbol.asyncDispose]();
    await this.#scratch.remove();
  }
}
