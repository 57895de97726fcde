import { existsSync } from "node:fs";
import { relative } from "node:path";
import { isStampOf } from "../fs/stamp.ts";
import type { JournalEntry } from "./journal/journal-entry.ts";
import { isCopied } from "./kept-strategies.ts";

/** What an entry says of its backup in the backup directory. */
export interface BackupClaim {
  readonly backupPath: string;
  readonly uuid: string;
  /** The database's path when the backup was made. */
  readonly database: string;
  /** The stamp of the entry's directory then. */
  readonly home?: string | undefined;
}

/**
 * Whether the backup that lies at a path belongs to the database that this entry lies in, and to no other. A
 * copy of a database has the entries of the original, and they name the original's backups. It is ours
 *
 * - where the entry is the very one that was made with the backup: the database was not copied, or it is the
 *   original; it may have been renamed;
 * - where database and backup are both copies, and lie to each other as the originals did: the whole was put
 *   back from elsewhere, or copied together.
 *
 * A database that was moved to another file system without its backups cannot be told from a copy.
 */
export function ownsBackup(entry: JournalEntry, claim: BackupClaim, path = claim.backupPath): boolean {
  if (isStampOf(claim.home, entry.directory)) return true;
  if (relative(claim.backupPath, claim.database) !== relative(path, entry.database)) return false;
  return !existsSync(path) || isCopied(path);
}
