import { lockedTables } from "./locked-tables.ts";
import { newOwner } from "./owner.ts";
import { TableLock } from "./table-lock.ts";

/** Frees the tables whose holders are dead, or cannot be known to be alive. Live ones keep theirs. */
export async function freeLocks(database: string): Promise<void> {
  const owner = newOwner();
  for (const table of lockedTables(database)) {
    const lock = new TableLock(database, table);
    const attempt = await lock.attempt(owner, true);
    if (attempt?.taken) lock.release(attempt.epoch, owner);
  }
}
