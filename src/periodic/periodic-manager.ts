import { join } from "node:path";
import { ValidationError } from "../errors.ts";
import { isError, reasonOf } from "../fs/io.ts";
import { deltasSinceFull, listBackupFiles, soundFiles } from "./chain/chain-files.ts";
import { type PeriodicBackupOptions, type PeriodicSettings, periodicSettings } from "./periodic-options.ts";
import { Schedule } from "./periodic-schedule.ts";
import { BackupWriter, type Wanted } from "./write/backup-writer.ts";

/** Whoever tells of commits: a `BackupManager`. */
export interface CommitSource {
  /** Calls `listener` after each success; answers with what ends that. */
  onCommitted(listener: () => void): () => void;
}

/**
 * Row-level backups of a database as files: on a timer, after changes, and by hand. One at a time, whoever
 * asks; each table at one version, while others write. Where `incremental`, deltas follow a full, and cost
 * what changed: the version at the last file is kept alive by links in `<uri>/.lancedb-backup/pins/`.
 *
 * Managers of several processes, and of several databases, may share a backup directory: those of one database
 * wait for each other, and each goes on from the newest file of its own database. (`restoreLatest` must
 * be told then which one is meant, so better give each database a directory of its own.)
 *
 * @example
 * ```ts
 * await using manager = new PeriodicBackupManager({ backupInterval: 60, incremental: true, keep: 5 });
 * manager.start();
 * ```
 */
export class PeriodicBackupManager implements AsyncDisposable {
  readonly #settings: PeriodicSettings;
  readonly #writer: BackupWriter;
  readonly #schedule: Schedule;
  /** The last backup that was asked for; the next one waits for it. */
  #last: Promise<unknown> = Promise.resolve();
  #failures = 0;
  /** Ends the wait of the timer's backups for another manager. */
  #stopping = new AbortController();

  /** @throws ValidationError, UnsupportedError, TypeError for bad options. Touches nothing. */
  constructor(options: PeriodicBackupOptions = {}) {
    this.#settings = periodicSettings(options);
    const { clock, intervalMs, minIntervalMs } = this.#settings;
    this.#writer = new BackupWriter(this.#settings);
    const run = () => {
      this.#backup("due", this.#stopping.signal).catch(() => undefined); // it has been reported
    };
    this.#schedule = new Schedule({ clock, intervalMs, minIntervalMs, run });
  }

  /** Backups that failed since the last that did not. */
  get consecutiveFailures(): number {
    return this.#failures;
  }

  /** Deltas in the backup directory since its newest full. */
  get deltasSinceFull(): number {
    const { backupDir, clock } = this.#settings;
    const files = soundFiles(listBackupFiles(backupDir), clock.now());
    return files.length === 0 ? 0 : deltasSinceFull(files);
  }

  /**
   * Begins to back up every `backupInterval` seconds, counted from the newest file in the backup directory:
   * a process that restarts often backs up all the same. Without any file the first backup begins at once.
   * Where nothing changed, an incremental manager writes nothing. The timer does not keep the process alive.
   *
   * @example
   * ```ts
   * periodic.start();
   * ```
   */
  start(): void {
    const { clock, backupDir } = this.#settings;
    const newest = soundFiles(listBackupFiles(backupDir), clock.now()).at(-1);
    this.#schedule.start(newest && clock.now() - newest.micros / 1000);
  }

  /**
   * Ends the timer, and resolves when the backups that were asked for are over; one of the timer's that waits for another
   * manager is given up. `start` begins again.
   *
   * @example
   * ```ts
   * await periodic.stop();
   * ```
   */
  async stop(): Promise<void> {
    this.#schedule.stop();
    this.#stopping.abort();
    this.#stopping = new AbortController();
    await this.idle();
  }

  /** @internal Resolves when the backups that were asked for are over. */
  async idle(): Promise<void> {
    await this.#last;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /**
   * Backs up now: a delta where `incremental` and fewer than `maxDeltasBeforeFull` follow the newest full,
   * else a full. Answers with the file's path; where nothing changed since an incremental manager's newest
   * file, with that one's.
   *
   * @throws ValidationError (no database, a missing key column), UnsupportedError, CorruptError, IoError. No
   * file is left behind then.
   * @example
   * ```ts
   * const file = await periodic.backupNow();
   * ```
   */
  async backupNow(): Promise<string> {
    const { backupDir } = this.#settings;
    const written = await this.#backup("due");
    return written ?? join(backupDir, this.#writer.newest ?? "");
  }

  /**
   * Writes all rows of all tables; answers with the file's path. @throws as `backupNow`.
   *
   * @example
   * ```ts
   * const file = await periodic.backupFull();
   * ```
   */
  async backupFull(): Promise<string> {
    return (await this.#backup("full")) as string;
  }

  /**
   * Writes what changed since the newest file; answers with the new file's path, or with null where no table
   * has another version. Where there is no file to follow, or its pin was lost, a full is written instead.
   *
   * @throws ValidationError where `incremental` is off; else as `backupNow`.
   * @example
   * ```ts
   * const file = await periodic.backupDelta(); // null: nothing has changed
   * ```
   */
  async backupDelta(): Promise<string | null> {
    if (!this.#settings.incremental) {
      throw new ValidationError("Deltas are off: make the manager with incremental: true.");
    }
    return this.#backup("delta");
  }

  /**
   * Tells that something was written: a backup begins at once, or when `minBackupInterval` has passed since
   * the last one ended. Many calls make one backup. Before `start` it is only remembered.
   *
   * @example
   * ```ts
   * await table.add(chunks);
   * periodic.notifyChange();
   * ```
   */
  notifyChange(): void {
    this.#schedule.change();
  }

  /**
   * Takes each guarded success of a `BackupManager` for a change. Answers with what ends that.
   *
   * @example
   * ```ts
   * const detach = periodic.attach(manager);
   * ```
   */
  attach(source: CommitSource): () => void {
    return source.onCommitted(() => this.notifyChange());
  }

  /** One after the other, and each is told of, whatever comes of it. */
  #backup(wanted: Wanted, signal?: AbortSignal): Promise<string | null> {
    const mine = this.#last.then(() => this.#reported(wanted, signal));
    this.#last = mine.catch(() => undefined);
    return mine;
  }

  async #reported(wanted: Wanted, signal?: AbortSignal): Promise<string | null> {
    this.#schedule.began();
    try {
      const name = await this.#writer.write(wanted, signal);
      this.#failures = 0;
      return name === null ? null : join(this.#settings.backupDir, name);
    } catch (error) {
      if (signal?.aborted && error === signal.reason) return null; // it only waited for another manager
      this.#fail(isError(error) ? error : new Error(String(error)));
      throw error;
    } finally {
      this.#schedule.ended();
    }
  }

  #fail(error: Error): void {
    const { logger, onBackupFailure } = this.#settings;
    this.#failures++;
    logger.error("a periodic backup failed", { error: error.message, consecutiveFailures: this.#failures });
    const report = (thrown: unknown) => {
      const reason = reasonOf(thrown);
      logger.error("onBackupFailure threw", { error: reason });
    };
    try {
      // It may be an async function, whatever its type says: a rejection that nobody takes ends the process.
      Promise.resolve(onBackupFailure?.(error, this.#failures)).catch(report);
    } catch (thrown) {
      report(thrown);
    }
  }
}
