import type { BackupError, ConflictingVersions } from "../errors.ts";
import type { LockSet } from "../lance/lock/lock-set.ts";
import type { LanceDB } from "../lance/which-lancedb.ts";
import type { Logger } from "../logger.ts";
import type { OnConflict } from "./rollback/plan-rollback.ts";
import type { TableRestore } from "./rollback/roll-back-tables.ts";

/**
 * `rolled-back`: its process died, the tables are as before. `restored`: its process died inside of
 * `restoreBackup`, and the restore was completed. `swept`: nothing had to be restored (it was
 * never complete, or it had finished). `kept`: closed with its backup kept and the
 * tables as they are, by `onConflict: "keep"`. `held`: a backup that waits for its owner's word. `active`: its process is alive. `conflict`: others have
 * committed since; nothing was touched. `locked`: whether its owner lives cannot be known. `damaged`: its
 * record cannot be read; nothing was touched. `failed`: the file system or LanceDB refused; to be tried again.
 */
export type RecoveryAction =
  | "rolled-back"
  | "restored"
  | "swept"
  | "kept"
  | "held"
  | "active"
  | "conflict"
  | "locked"
  | "damaged"
  | "failed";

export interface RecoveredEntry {
  readonly id: string;
  readonly action: RecoveryAction;
  /** For an interrupted `restoreBackup`: the backup that was restored. */
  readonly backup?: string | undefined;
  readonly tables: readonly TableRestore[];
  readonly conflicts: readonly ConflictingVersions[];
  /**
   * Versions that were rolled back as the dead process's own although it could not report them: they fit what it was
   * about to commit, and came when it may have been alive. Should one be somebody else's, `checkout` reaches it by
   * its number, unless the table itself was new.
   */
  readonly assumed?: readonly ConflictingVersions[] | undefined;
  readonly error?: BackupError | undefined;
}

export interface RecoverySettings {
  readonly lancedb: LanceDB;
  readonly database: string;
  readonly locks: LockSet;
  readonly logger: Logger;
  readonly onConflict: OnConflict | "keep";
  /** Treat owners of whom nothing can be known as dead. */
  readonly force: boolean;
}

/** Makes the report of an entry. */
export type MakeResult = (action: RecoveryAction, more?: Partial<RecoveredEntry>) => RecoveredEntry;
