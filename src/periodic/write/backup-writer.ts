import { BackupError, IoError, ValidationError } from "../../errors.ts";
import { resumeChain } from "../chain/chain-end.ts";
import { deltasSinceFull, listBackupFiles } from "../chain/directory.ts";
import { carryOutRetention, planRetention } from "../chain/retention.ts";
import type { PeriodicSettings } from "../options.ts";
import { PinStore } from "../pins/pin-store.ts";
import { sweepTemporary } from "../sweep-temporary.ts";
import type { ChainEnd, WriteContext } from "./context.ts";
import { PinLostError, writeDelta } from "./delta.ts";
import { writeFull } from "./full.ts";

/** `due`: a delta where one is due, else a full. */
export type Wanted = "full" | "delta" | "due";

/** Writes the next file of a backup directory, of whichever kind it must be, and tidies up after it. */
export class BackupWriter {
  readonly #settings: PeriodicSettings;
  readonly #context: WriteContext;
  #swept = false;
  /** The last delta failed for a reason that may lie in its pins: a full goes round them. */
  #avoidDelta = false;

  constructor(settings: PeriodicSettings) {
    this.#settings = settings;
    this.#context = { settings, pins: new PinStore(settings.database, settings.backupDir) };
  }

  /** Answers with the file's name; null where there is nothing to write. Not to be called while it runs. */
  async write(wanted: Wanted): Promise<string | null> {
    const { incremental, backupDir, logger } = this.#settings;
    if (!this.#swept) sweepTemporary(backupDir, logger);
    this.#swept = true;
    let name: string | null;
    try {
      name = incremental ? await this.#writeNext(wanted) : await this.#writeFull(undefined);
    } catch (error) {
      this.#sweepPins();
      throw error;
    }
    if (name === null) return null;
    this.#sweepPins();
    await this.#removeOld();
    return name;
  }

  async #writeNext(wanted: Wanted): Promise<string | null> {
    const resumed = await resumeChain(this.#settings, this.#context.pins);
    const { end } = resumed;
    if (end === undefined) {
      if (resumed.why === "lost") this.#warnLost();
      return this.#writeFull(resumed.database);
    }
    if (wanted === "full" || (wanted === "due" && this.#isFullDue())) return this.#writeFull(end);
    try {
      const name = await writeDelta(this.#context, end);
      this.#avoidDelta = false;
      return name;
    } catch (error) {
      if (!(error instanceof PinLostError)) {
        this.#avoidDelta = !(error instanceof IoError || error instanceof ValidationError);
        throw error;
      }
      this.#warnLost();
      return this.#writeFull(end);
    }
  }

  #isFullDue(): boolean {
    const { backupDir, maxDeltasBeforeFull } = this.#settings;
    return this.#avoidDelta || deltasSinceFull(listBackupFiles(backupDir)) >= maxDeltasBeforeFull;
  }

  #warnLost(): void {
    const { database, backupDir, logger } = this.#settings;
    const message = "the version at the last backup is not pinned any more: a full is taken";
    logger.warn(message, { database, backupDir });
  }

  async #writeFull(before: ChainEnd | string | undefined): Promise<string> {
    const identity = typeof before === "object" ? before.document.database : before;
    const name = await writeFull(this.#context, identity);
    this.#avoidDelta = false;
    return name;
  }

  /** The backup is there already: what fails here is a warning. */
  async #removeOld(): Promise<void> {
    const { backupDir, keep, logger } = this.#settings;
    if (keep === undefined) return;
    try {
      const plan = await planRetention(backupDir, keep);
      await carryOutRetention(backupDir, plan);
      if (plan.remove.length > 0) logger.info("old periodic backups removed", { files: plan.remove });
    } catch (error) {
      if (!(error instanceof BackupError)) throw error;
      logger.warn("old periodic backups could not be removed", { error: error.message });
    }
  }

  /** Only what the newest file needs stays pinned, and nothing where no delta will follow it. */
  #sweepPins(): void {
    const { backupDir, incremental, logger } = this.#settings;
    try {
      const newest = incremental ? listBackupFiles(backupDir).at(-1) : undefined;
      this.#context.pins.sweep(newest ? [newest.name] : []);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      logger.warn("pins that nothing needs could not be removed", { error: reason });
    }
  }
}
