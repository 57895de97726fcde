import { setTimeout as sleep } from "node:timers/promises";
import { reasonOf } from "../../fs/io.ts";
import { describeOwner, endOperation, newOwner } from "../../lance/lock/owner.ts";
import { TableLock } from "../../lance/lock/table-lock.ts";
import type { Logger } from "../../logger.ts";

const FIRST_PAUSE_MS = 2;
const LONGEST_PAUSE_MS = 100;

/**
 * Runs a task while no other manager, of this process or another, writes a file of this database into this backup
 * directory: each would take the other's pins for leftovers. Waits as long as the other one lives. Of one
 * whose life cannot be known (in another container, say) the turn is taken; pins lost by that cost a full.
 *
 * @param directory what belongs to the pair of database and backup directory; the lock is made in it.
 * @throws IoError; CorruptError where the lock was changed by hand.
 */
export async function alone<T>(directory: string, logger: Logger, task: () => Promise<T>): Promise<T> {
  const owner = newOwner();
  const lock = new TableLock(directory, "write");
  let told = false;
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    const attempt = await lock.attempt(owner, true);
    if (attempt?.taken === true) {
      try {
        return await task();
      } finally {
        const error = lock.release(attempt.epoch, owner);
        if (error !== undefined) {
          endOperation(owner);
          const reason = reasonOf(error);
          logger.warn("the lock of a backup could not be released before this process ends", { reason });
        }
      }
    }
    if (attempt !== undefined && !told) {
      told = true;
      logger.info("another manager writes a periodic backup; waiting", { by: describeOwner(attempt.holder) });
    }
    await sleep(pause);
  }
}
