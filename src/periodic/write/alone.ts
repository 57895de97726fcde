import { setTimeout as sleep } from "node:timers/promises";
import { LockedError } from "../../errors.ts";
import { reasonOf } from "../../fs/io.ts";
import { describeOwner, newOwner, takeOffAll } from "../../lance/lock/lock-owner.ts";
import { TableLock } from "../../lance/lock/table-lock.ts";
import type { Logger } from "../../logger.ts";

const FIRST_PAUSE_MS = 2;
const LONGEST_PAUSE_MS = 100;

export interface AloneOptions {
  readonly logger: Logger;
  /** How long to wait for another manager, milliseconds. */
  readonly timeoutMs: number;
  /** Ends the wait with its reason; not the task. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs a task while no other manager, of this process or another, writes a file of this database into this backup
 * directory: each would take the other's pins for leftovers. Of one that shows no life from here (in another
 * container, say) the turn is taken; pins lost by that cost a full.
 *
 * @param directory what belongs to the pair of database and backup directory; the lock is made in it.
 * @throws LockedError after the time limit. @throws the signal's reason. @throws IoError; CorruptError where the lock was changed by hand.
 */
export async function alone<T>(
  directory: string,
  { logger, timeoutMs, signal }: AloneOptions,
  task: () => Promise<T>,
): Promise<T> {
  takeOffAll();
  const owner = newOwner();
  const lock = new TableLock(directory, "write");
  const deadline = performance.now() + timeoutMs;
  let told = false;
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    const attempt = await lock.attempt(owner, true);
    if (attempt?.taken === true) {
      try {
        return await task();
      } finally {
        const error = lock.release(attempt.epoch, owner);
        if (error !== undefined) {
          const reason = reasonOf(error);
          logger.warn("the lock of a backup could not be released; releasing it is tried again", { reason });
        }
      }
    }
    if (attempt !== undefined && !told) {
      told = true;
      logger.info("another manager writes a periodic backup; waiting", { by: describeOwner(attempt.holder) });
    }
    if (performance.now() >= deadline) {
      const who = attempt ? describeOwner(attempt.holder) : "others, who were quicker each time";
      throw new LockedError(
        `No periodic backup was written: for ${timeoutMs} ms another manager has been writing one of the same database into the same directory, ${who}. If that process hangs, end it.`,
      );
    }
    signal?.throwIfAborted();
    await sleep(pause);
  }
}
