import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { BackupError, IoError, ShrunkError, ValidationError } from "../../errors.ts";
import { makeDirectory } from "../../fs/directory-tree.ts";
import { assertRoot, holding } from "../../fs/held-root.ts";
import { isMissing, reasonOf } from "../../fs/io.ts";
import { isLeftBehind } from "../../fs/this-process.ts";
import type { Logger } from "../../logger.ts";
import { type ChainEnd, Heads, listBackupFiles, resumeChain, soundFiles } from "../chain/chain-files.ts";
import { carryOutRetention, planRetention } from "../chain/retention.ts";
import type { PeriodicSettings } from "../periodic-options.ts";
import { type PinDocument, PinStore } from "../table-pins.ts";
import { alone } from "./alone.ts";
import { rowsOfNewestFull, rowsPinned } from "./rows-before.ts";
import { assertDatabase, type WriteContext } from "./write-context.ts";
import { writeDelta } from "./write-delta.ts";
import { writeFull } from "./write-full.ts";
import { PinLostError } from "./write-sources.ts";

/** `due`: a delta where one is due, else a full. */
export type Wanted = "full" | "delta" | "due";

/** Writes the next file of a backup directory, of whichever kind it must be, and tidies up after it. */
export class BackupWriter {
  readonly #settings: PeriodicSettings;
  readonly #context: WriteContext;
  readonly #heads: Heads;
  #newest: string | undefined;
  #isTidy = false;
  /** The backup directory was there once: it is not made again. */
  #began = false;
  /** The last delta failed for a reason that may lie in its pins: a full goes round them. */
  #avoidDelta = false;

  constructor(settings: PeriodicSettings) {
    this.#settings = settings;
    this.#context = { settings, pins: new PinStore(settings.database, settings.backupDir) };
    this.#heads = new Heads(settings.backupDir);
  }

  /** Name of the database's newest file, as the last `write` left it. */
  get newest(): string | undefined {
    return this.#newest;
  }

  /**
   * Answers with the file's name; null where there is nothing to write. Not to be called while it runs.
   *
   * @param signal ends the wait for another manager, and nothing else
   */
  async write(wanted: Wanted, signal?: AbortSignal): Promise<string | null> {
    const { database, backupDir, logger, lockTimeoutMs: timeoutMs } = this.#settings;
    assertDatabase(database);
    return holding([{ path: database, what: "database" }], async () => {
      this.#beginDirectory();
      const { directory } = this.#context.pins;
      makeDirectory(directory, database);
      return holding([{ path: backupDir, what: "backup directory" }], () =>
        alone(directory, { logger, timeoutMs, signal }, () => this.#write(wanted)),
      );
    });
  }

  /** Makes the backup directory for a database's first backup alone: later it is its disk that is missing. */
  #beginDirectory(): void {
    const { database, backupDir } = this.#settings;
    if (statSync(backupDir, { throwIfNoEntry: false }) === undefined) {
      if (this.#began || this.#context.pins.identity() !== undefined) {
        throw new IoError(
          `There is no directory ${backupDir}, in which the backups of ${database} lie. Is its disk mounted? To start over, make the directory.`,
          { path: backupDir, errno: "ENOENT" },
        );
      }
      makeDirectory(backupDir);
    }
    this.#began = true;
  }

  async #write(wanted: Wanted): Promise<string | null> {
    const { incremental, backupDir, logger } = this.#settings;
    if (!this.#isTidy) removeUnfinished(backupDir, logger);
    this.#isTidy = true;
    let name: string | null;
    try {
      name = incremental ? await this.#writeNext(wanted) : await this.#writeFull();
    } catch (error) {
      this.#removeUnneededPins();
      throw error;
    }
    if (name === null) return null;
    this.#newest = name;
    this.#removeUnneededPins();
    await this.#removeOld();
    return name;
  }

  async #writeNext(wanted: Wanted): Promise<string | null> {
    const resumed = await resumeChain(this.#settings, this.#context.pins, this.#heads);
    if (resumed.end === undefined) {
      if (resumed.why === "lost") this.#warnLost();
      return this.#writeFull(undefined, resumed.document);
    }
    const { end, deltas } = resumed;
    this.#newest = end.file.name;
    const isFullDue = this.#avoidDelta || deltas >= this.#settings.maxDeltasBeforeFull;
    if (wanted === "full" || (wanted === "due" && isFullDue)) return this.#writeFull(end);
    try {
      const name = await writeDelta(this.#context, end);
      this.#avoidDelta = false;
      return name;
    } catch (error) {
      if (!(error instanceof PinLostError)) {
        const isOther = [IoError, ValidationError, ShrunkError].some((kind) => error instanceof kind);
        this.#avoidDelta = !isOther;
        throw error;
      }
      this.#warnLost();
      return this.#writeFull(end);
    }
  }

  #warnLost(): void {
    const { database, backupDir, logger } = this.#settings;
    const message = "the version at the last backup is no longer pinned: a full backup is taken";
    logger.warn(message, { database, backupDir });
  }

  /** @param end the newest file, where it is known: it may be a delta, which does not say how many rows there are. */
  async #writeFull(end?: ChainEnd, before?: PinDocument): Promise<string> {
    const rowsBefore = end
      ? await rowsPinned(this.#context, end.file.name, end.document.tables)
      : await rowsOfNewestFull(this.#context, this.#heads);
    const name = await writeFull(this.#context, before ?? end?.document, rowsBefore);
    this.#avoidDelta = false;
    return name;
  }

  /** The backup is there already: what fails here is a warning. */
  async #removeOld(): Promise<void> {
    const { database, backupDir, keep, logger } = this.#settings;
    if (keep === undefined) return;
    try {
      const identity = this.#context.pins.identity();
      if (identity === undefined) return;
      const { clock } = this.#settings;
      const plan = await planRetention(backupDir, {
        keep,
        database: identity,
        heads: this.#heads,
        nowMs: clock.now(),
      });
      for (const { file, reason } of plan.kept)
        logger.info("an old periodic backup is kept", { file, reason });
      for (const root of [backupDir, database]) assertRoot(root);
      await carryOutRetention(backupDir, plan);
      if (plan.remove.length > 0) logger.info("old periodic backups removed", { files: plan.remove });
    } catch (error) {
      if (!(error instanceof BackupError)) throw error;
      logger.warn("old periodic backups could not be removed", { error: error.message });
    }
  }

  /** Only what the newest file needs stays pinned, and nothing where no delta will follow it. */
  #removeUnneededPins(): void {
    const { backupDir, incremental, clock, logger } = this.#settings;
    try {
      const { pins } = this.#context;
      const newest = incremental
        ? soundFiles(listBackupFiles(backupDir), clock.now()).findLast(({ name }) => pins.read(name))
        : undefined;
      pins.removeUnneeded(newest ? [newest.name] : []);
    } catch (error) {
      const reason = reasonOf(error);
      logger.warn("pins that nothing needs could not be removed", { error: reason });
    }
  }
}

/** What a file is called until it is whole, with its maker, and the claims on its name where there are no links. */
const TEMPORARY =
  /^\.lancedb_(?:backup|delta)_\d+_\d{6}\.(?:json|arrow)\.(?:(?:([\w-]+)\.)?[0-9a-f-]{8,36}\.tmp|\d{1,9}\.claim)$/;

/** Nobody writes for so long without a byte, where it cannot be told whether he lives. */
const DEAD_MS = 10 * 60 * 1000;

/** Removes what processes that died left half written. */
function removeUnfinished(directory: string, logger: Logger): void {
  try {
    for (const name of readdirSync(directory)) {
      const found = TEMPORARY.exec(name);
      if (!found) continue;
      const path = join(directory, name);
      if (isLeftBehind(found[1] ?? "", path, DEAD_MS)) rmSync(path, { force: true });
    }
  } catch (error) {
    if (isMissing(error)) return;
    const reason = reasonOf(error);
    logger.warn("half-written periodic files could not be removed", { directory, reason });
  }
}
