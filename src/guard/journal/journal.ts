import { randomUUID } from "node:crypto";
import { existsSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { IoError } from "../../errors.ts";
import { syncDirectory } from "../../fs/durable.ts";
import { ifThere, isAway } from "../../fs/held-root.ts";
import { errnoOf, toIoError } from "../../fs/io.ts";
import { makeDirectory } from "../../fs/make-directory.ts";
import { stampOf } from "../../fs/stamp.ts";
import { takeOwner } from "../../fs/take-owner.ts";
import type { Owner } from "../../lance/lock/owner.ts";
import { JOURNAL_ENTRY, PRIVATE_DIRECTORY, privateDirectory } from "../../lance/private-directory.ts";
import { makeStagingDirectory, removeStagingDirectory } from "../../lance/staging.ts";
import { takeId } from "./ids.ts";
import { JournalEntry } from "./journal-entry.ts";

const BY_NUMBER = new Intl.Collator("en", { numeric: true });

/** Every entry of a database's journal, oldest id first. One directory listing. */
export function listEntries(database: string): JournalEntry[] {
  const directory = privateDirectory(database, "journal");
  try {
    return (ifThere(directory, () => readdirSync(directory, { withFileTypes: true })) ?? [])
      .filter((found) => found.isDirectory() && JOURNAL_ENTRY.test(found.name))
      .map((found) => found.name)
      .sort(BY_NUMBER.compare)
      .map((id) => new JournalEntry(database, id));
  } catch (error) {
    throw toIoError(error, "list", directory);
  }
}

export interface Reservation {
  readonly entry: JournalEntry;
  readonly uuid: string;
  readonly backupPath: string;
}

/**
 * Reserves an id that was never used. The entry appears with its owner in it, in one rename.
 *
 * @param claim for a directory-copy: makes `<backupDir>/<id>`, or tells that the name is taken there.
 * @param kind what the id begins with
 */
export async function reserveEntry(
  database: string,
  owner: Owner,
  claim?: { path: (id: string) => string; take: (path: string, uuid: string) => boolean },
  kind: "backup" | "restore" = "backup",
): Promise<Reservation> {
  await ensureJournal(database);
  for (;;) {
    const id = takeId(database, kind);
    const entry = new JournalEntry(database, id);
    const uuid = randomUUID();
    const backupPath = claim?.path(id) ?? entry.directory;
    const content = { owner, uuid, database, ...(claim && { backupPath }) };
    if (!publish(database, entry, content)) continue;
    try {
      entry.nowOwned(owner);
      if (!claim || claim.take(backupPath, uuid)) return { entry, uuid, backupPath };
    } catch (error) {
      // Where the backup directory was away, half a copy may be there: by the entry that names it, it is swept.
      const wasAway = error instanceof IoError && (error.errno === "ENOENT" || isAway(error));
      if (wasAway) entry.abandon();
      else await entry.remove().catch(() => entry.abandon());
      throw error;
    }
    await entry.remove();
  }
}

function publish(database: string, entry: JournalEntry, content: object): boolean {
  const temporary = makeStagingDirectory(database, "entry");
  try {
    const owner = join(temporary, "owner.json");
    writeFileSync(owner, JSON.stringify({ ...content, home: stampOf(temporary) }));
    takeOwner(owner);
    renameSync(temporary, entry.directory);
    return true;
  } catch (error) {
    removeStagingDirectory(temporary);
    const errno = errnoOf(error);
    if (errno === "ENOTEMPTY" || errno === "EEXIST") return false;
    throw toIoError(error, "write", entry.directory);
  }
}

/** Makes the directories of a journal, synced where they are new. */
async function ensureJournal(database: string): Promise<string> {
  const journal = privateDirectory(database, "journal");
  if (existsSync(journal)) return journal;
  makeDirectory(journal);
  await syncDirectory(join(database, PRIVATE_DIRECTORY));
  await syncDirectory(database);
  return journal;
}
