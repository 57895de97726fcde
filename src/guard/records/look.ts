import type { Connection } from "@lancedb/lancedb";
import { LanceError } from "../../errors.ts";
import type { BackupManager } from "../backup-manager.ts";
import { existing, findTable, type TableRef, type Target } from "../write/target-table.ts";
import { type GuardedOptions, guardOptions } from "../write/write-options.ts";

/** A first look at the table, before it is locked. */
export interface Look {
  readonly connection: Connection;
  /** Undefined where the table does not exist. */
  readonly target: Target | undefined;
}

/**
 * Looks at the table as it is when what a dead process left half-done is undone, and its newest manifest,
 * where a power cut damaged it, is set aside: what the rows are checked against must be what they are
 * written to. Throws `LanceError` where the table does not open even so.
 */
export async function lookAt(manager: BackupManager, ref: TableRef, options: GuardedOptions): Promise<Look> {
  const { signal } = options;
  const connection = await manager.connection();
  try {
    return { connection, target: await findTable(connection, ref, signal) };
  } catch (error) {
    if (!(error instanceof LanceError)) throw error;
    // Capturing a table mends it where it can be mended.
    await manager.withBackup(options.strategy, async () => undefined, guardOptions(ref, options));
    return { connection, target: await findTable(connection, ref, signal) };
  }
}

/** The same, for a table that must exist: throws `ValidationError` where it does not. */
export async function lookAtExisting(
  manager: BackupManager,
  ref: TableRef,
  options: GuardedOptions,
): Promise<Look & { target: Target }> {
  const { connection, target } = await lookAt(manager, ref, options);
  return { connection, target: existing(target, ref) };
}
