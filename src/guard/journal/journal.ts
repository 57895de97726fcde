import { randomUUID } from "node:crypto";
import { readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { errnoOf, isMissing, toIoError } from "../../fs/io.ts";
import { privateDirectory } from "../../lance/private-directory.ts";
import { makeStagingDirectory, removeStagingDirectory } from "../../lance/staging.ts";
import type { Owner } from "../owner.ts";
import { ensureJournal, JournalEntry } from "./entry.ts";
import { takeId } from "./ids.ts";

/** Every entry of a database's journal, oldest id first. One directory listing. */
export function listEntries(database: string): JournalEntry[] {
  const directory = privateDirectory(database, "journal");
  try {
    return readdirSync(directory)
      .filter((name) => !name.startsWith("."))
      .sort((a, b) => a.localeCompare(b, "en", { numeric: true }))
      .map((id) => new JournalEntry(database, id));
  } catch (error) {
    if (isMissing(error)) return [];
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
 */
export async function reserveEntry(
  database: string,
  owner: Owner,
  claim?: { path: (id: string) => string; take: (path: string, uuid: string) => boolean },
): Promise<Reservation> {
  await ensureJournal(database);
  for (;;) {
    const id = takeId(database);
    const entry = new JournalEntry(database, id);
    const uuid = randomUUID();
    const backupPath = claim?.path(id) ?? entry.directory;
    if (!publish(database, entry, { owner, uuid, backupPath: claim ? backupPath : null })) continue;
    try {
      if (!claim || claim.take(backupPath, uuid)) return { entry, uuid, backupPath };
    } catch (error) {
      await entry.remove().catch(() => entry.abandon());
      throw error;
    }
    await entry.remove();
  }
}

function publish(database: string, entry: JournalEntry, content: unknown): boolean {
  const temporary = makeStagingDirectory(database, "entry");
  try {
    writeFileSync(join(temporary, "owner.json"), JSON.stringify(content));
    renameSync(temporary, entry.directory);
    return true;
  } catch (error) {
    removeStagingDirectory(temporary);
    const errno = errnoOf(error);
    if (errno === "ENOTEMPTY" || errno === "EEXIST") return false;
    throw toIoError(error, "write", entry.directory);
  }
}
