import { existsSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { CorruptError, IoError } from "../errors.ts";
import { assertRoot, isStampOf } from "../fs/held-root.ts";
import { io, reasonOf } from "../fs/io.ts";
import { isRoot, takeOwnerBelow } from "../fs/take-owner.ts";
import { advice } from "../hint.ts";
import { NAMESPACE_TABLE } from "../lance/database.ts";
import { locateTable } from "../lance/namespaces.ts";
import { privateDirectory } from "../lance/private-directory.ts";
import type { LanceDB } from "../lance/which-lancedb.ts";
import type { Logger } from "../logger.ts";
import type { EntryRecord } from "./journal/entry-record.ts";
import type { JournalEntry } from "./journal/journal-entry.ts";
import { directoryCopy, isCopied, strategyOf } from "./kept-strategies.ts";

/** Where a backup's tables lie. */
export function keptDirectory(entry: { readonly pins: string }, record: EntryRecord): string {
  return strategyOf(record.strategy).tablesDirectory(entry, record.backupPath);
}

/**
 * Before anything is planned by, or removed with, a copy in the backup directory: a disk that is away looks like a copy
 * that is gone, and what would be given up then is all there is to go back to.
 *
 * @throws IoError where not even the directory is there that it lies in.
 */
export function assertCopyInReach(id: string, { strategy, backupPath, database }: EntryRecord): void {
  if (strategyOf(strategy) === directoryCopy) assertInReach(id, backupPath, database);
}

function assertInReach(id: string, backupPath: string, database: string): void {
  const path = dirname(backupPath);
  if (existsSync(backupPath) || existsSync(path)) return;
  throw new IoError(
    advice`The backup directory ${path} is not there, in which the copy of ${id} lies. Is its disk mounted? Nothing was done; bring it back to its place, and try again. Where it is gone for good, make the directory: then ${{ call: "recover", database, options: { onConflict: "keep" } }} leaves the tables as they are.`,
    { path, errno: "ENOENT" },
  );
}

/** Closes an entry without going back; its backup waits for `restoreBackup` or `cleanupBackup`. */
export async function keepEntry(entry: JournalEntry, record: EntryRecord): Promise<void> {
  if (ownsBackup(entry, record)) await strategyOf(record.strategy).seal(record);
  await entry.become("armed", "held");
  entry.abandon();
}

/**
 * Removes what a finished or unfinished entry left: its copy, what was moved aside for it, itself. What LanceDB wrote as
 * root takes the owner of its table. Answers with the copy's directory where that was left alone, because it may be
 * another database's.
 *
 * @param path where the copy lies now, if it was moved
 * @throws IoError where the directory is away in which the copy lies: the entry stays, or nobody would know of the copy.
 */
export async function removeEntry(
  lancedb: LanceDB,
  database: string,
  entry: JournalEntry,
  path?: string,
): Promise<string | undefined> {
  // Read only where it is needed: as root for its tables, and where no owner says where the copy is.
  const needsRecord = !entry.isRestore && entry.state === "done" && (isRoot() || !hasOwner(entry));
  const record = needsRecord ? entry.read("done") : undefined;
  const claim = entry.isRestore ? undefined : claimOf(entry, record);
  const backupPath = path ?? claim?.backupPath;
  for (const root of [database, backupPath]) if (root !== undefined) assertRoot(root); // else it would stay for good
  let left: string | undefined;
  if (claim && backupPath !== undefined) {
    if (ownsBackup(entry, claim, backupPath)) {
      if (entry.exists()) assertInReach(entry.id, backupPath, database);
      await directoryCopy.discard(backupPath, claim.uuid);
    } else if (existsSync(backupPath) && entry.exists()) left = backupPath;
  }
  for (const { id } of isRoot() ? (record?.tables ?? []) : []) {
    const directory = await locateTable(lancedb, database, id);
    if (directory !== undefined) takeOwnerBelow(join(database, directory));
  }
  takeOwnerBelow(join(database, NAMESPACE_TABLE));
  const aside = join(privateDirectory(database, "aside"), entry.id);
  const { remove } = await import("fs-extra/esm");
  await io("remove", aside, () => remove(aside));
  assertRoot(aside);
  await entry.remove();
  return left;
}

/** Ends an operation of this process that was decided. What fails here fails no operation: it is removed later. */
export async function cleanUp(
  entry: JournalEntry,
  { lancedb, database, logger }: { lancedb: LanceDB; database: string; logger: Logger },
): Promise<void> {
  try {
    entry.log.close();
    assertRoot(entry.directory);
    const { state } = entry;
    if (state === "done" || state === "making") await removeEntry(lancedb, database, entry);
    // It may come back with its directory, and is nobody's then; or that was away when it was to be rolled back.
    if (state === "gone" || state === "armed") entry.abandon();
  } catch (error) {
    entry.abandon();
    const what = entry.isRestore ? "a finished restore" : "a backup";
    logger.warn(`${what} could not be cleaned up; the next operation removes it`, {
      backup: entry.id,
      error: reasonOf(error),
    });
  }
}

function hasOwner(entry: JournalEntry): boolean {
  try {
    return entry.readOwner() !== undefined;
  } catch (error) {
    if (error instanceof CorruptError) return false; // its record says the same
    throw error;
  }
}

/** Undefined where the entry keeps everything in itself. */
function claimOf(entry: JournalEntry, record: EntryRecord | undefined): BackupClaim | undefined {
  if (record) return strategyOf(record.strategy) === directoryCopy ? record : undefined;
  const owner = entry.readOwner();
  if (owner?.backupPath === undefined || owner.database === undefined) return undefined;
  const { backupPath, database, uuid, home } = owner;
  return { backupPath, database, uuid, home };
}

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
