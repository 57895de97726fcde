import { assertNothingLeft } from "../../../../lance/lock/freeze.ts";
import { DEFAULT_LOCK_TIMEOUT_MS, LockSet } from "../../../../lance/lock/lock-set.ts";
import type { Logger } from "../../../../logger.ts";
import type { RestoreOptions } from "../restore-options.ts";

/**
 * Waits for guarded writes on these tables to end, and keeps others out until it is disposed of.
 *
 * @throws LockedError after the time limit, or where a dead process left guarded work on one of the tables.
 */
export async function lockTables(
  database: string,
  tables: readonly string[],
  { lockTimeoutMs = DEFAULT_LOCK_TIMEOUT_MS, signal }: Pick<RestoreOptions, "lockTimeoutMs" | "signal">,
  logger?: Logger,
): Promise<Disposable> {
  const locks = new LockSet({ database, timeoutMs: lockTimeoutMs, signal, logger });
  try {
    await locks.acquireAll(tables);
    assertNothingLeft(database, (table) => tables.includes(table));
  } catch (error) {
    locks.releaseAll();
    throw error;
  }
  return { [Symbol.dispose]: () => locks.releaseAll() };
}
