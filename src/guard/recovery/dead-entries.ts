import type { Logger } from "../../logger.ts";
import { listEntries } from "../journal/journal.ts";
import type { JournalEntry } from "../journal/journal-entry.ts";
import type { RecoveredEntry } from "./roll-back-dead.ts";

/** How long an entry that could not be recovered is left alone by operations that do not touch its tables. */
const PAUSE_MS = 10_000;

/**
 * Has what dead processes left recovered before each guarded operation of a manager. One listing of the journal,
 * and a small read for each operation that is under way.
 */
export class DeadEntries {
  readonly #database: string;
  readonly #logger: Logger;
  readonly #recover: (entries?: readonly JournalEntry[]) => Promise<RecoveredEntry[]>;
  #first: Promise<void> | undefined;
  #running: Promise<void> | undefined;
  /**
   * When an entry is to be looked at again: one in conflict waits for somebody's decision, and whoever touches
   * its tables looks at it all the same.
   */
  readonly #waiting = new Map<string, number>();

  /** @param recover recovers these entries, all of them without any, with what lies half-made */
  constructor(
    database: string,
    logger: Logger,
    recover: (entries?: readonly JournalEntry[]) => Promise<RecoveredEntry[]>,
  ) {
    this.#database = database;
    this.#logger = logger;
    this.#recover = recover;
  }

  /** When it returns, what a process left that was dead at the call is recovered, or was reported. */
  async recover(): Promise<void> {
    if (!this.#first) {
      this.#first = this.#report(this.#recover());
      this.#first.catch(() => {
        this.#first = undefined; // the next operation tries again
      });
    }
    await this.#first;
    for (;;) {
      while (this.#running) await this.#running.catch(() => undefined);
      const dead = await this.#find();
      if (dead.length === 0) return;
      if (this.#running) continue; // another operation was quicker
      this.#running = this.#report(this.#recover(dead)).finally(() => {
        this.#running = undefined;
      });
      return this.#running;
    }
  }

  async #find(): Promise<JournalEntry[]> {
    const left: JournalEntry[] = [];
    for (const entry of listEntries(this.#database)) {
      if (performance.now() < (this.#waiting.get(entry.id) ?? 0)) continue;
      const outlook = entry.outlook();
      if (outlook === "over") this.#waiting.set(entry.id, Number.POSITIVE_INFINITY); // an id is used once
      if (outlook === "left") left.push(entry);
    }
    return left;
  }

  async #report(recovering: Promise<RecoveredEntry[]>): Promise<void> {
    for (const { id, action, error } of await recovering) {
      if (!error) continue;
      const canChange = action === "locked" || action === "failed";
      this.#waiting.set(id, canChange ? performance.now() + PAUSE_MS : Number.POSITIVE_INFINITY);
      this.#logger.warn("an entry of the journal needs attention", { backup: id, error: error.message });
    }
  }
}
