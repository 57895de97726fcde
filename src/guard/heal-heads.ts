import { join } from "node:path";
import { BackupError, LockedError } from "../errors.ts";
import { listTables } from "../lance/database.ts";
import { type HealedHead, healDamagedHead } from "../lance/heal-head.ts";
import type { LockSet } from "../lance/lock/lock-set.ts";
import { inspectTable } from "../lance/put-back/state.ts";
import type { Settings } from "./manager-options.ts";

export interface UnreadableTable {
  readonly table: string;
  readonly error: BackupError;
}

export interface HealedHeads {
  /** Tables whose newest manifest was damaged, and the version at which they open now. */
  readonly healed: readonly (HealedHead & { readonly table: string })[];
  /** Tables whose newest manifest is damaged, and that could not be brought to an older version. */
  readonly unreadable: readonly UnreadableTable[];
}

/** Looks at every table's newest manifest: for `recover()`, since it costs a read a table. */
export async function healHeads(
  { lancedb, database, logger }: Pick<Settings, "lancedb" | "database" | "logger">,
  locks: LockSet,
): Promise<HealedHeads> {
  const healed: (HealedHead & { table: string })[] = [];
  const unreadable: UnreadableTable[] = [];
  for (const { id, directory } of await listTables(database)) {
    const dataset = join(database, directory);
    if ((await inspectTable(dataset)).damaged.length === 0) continue;
    try {
      await locks.acquire(id);
      const result = await healDamagedHead(lancedb, database, dataset);
      if (result) {
        healed.push({ table: id, ...result });
        logger.warn("a damaged newest manifest was moved aside", { table: id, ...result });
      }
    } catch (error) {
      if (!(error instanceof BackupError) || error instanceof LockedError) throw error;
      unreadable.push({ table: id, error });
      logger.error("a table's newest version is damaged, and no other could be made its newest", {
        table: id,
        error: error.message,
      });
    } finally {
      locks.releaseAll();
    }
  }
  return { healed, unreadable };
}
