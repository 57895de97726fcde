import { randomUUID } from "node:crypto";
import {
  closeSync,
  existsSync,
  mkdirSync,
  opendirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { IoError } from "../../errors.ts";
import { listNames, makeDirectory } from "../../fs/directory-tree.ts";
import { syncDirectory } from "../../fs/durable.ts";
import { ifThere, isAway, stampOf } from "../../fs/held-root.ts";
import { errnoOf, isMissing, toIoError } from "../../fs/io.ts";
import { takeOwner } from "../../fs/take-owner.ts";
import type { Owner } from "../../lance/lock/lock-owner.ts";
import {
  JOURNAL_ENTRY,
  makeStagingDirectory,
  PRIVATE_DIRECTORY,
  privateDirectory,
  removeStagingDirectory,
} from "../../lance/private-directory.ts";
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
      // Where the backup directory was away, half a copy may be there: by the entry that names it, it is removed.
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

const SECONDS_AN_HOUR = 3600;

/** How many seconds of long ago are forgotten when a new one begins: more than come, so that all go in time. */
const FORGOTTEN_AT_ONCE = 3;

/**
 * Takes the next id, `<kind>_<unix seconds>`, with a suffix where several fall into one second. An id is
 * used once: a process that removes an entry must never meet another one of the same name. So it stays taken for
 * an hour at least, as a file in `ids/<hour>/<second>/`, which is all that the next one has to look at.
 */
export function takeId(database: string, kind: "backup" | "restore" = "backup"): string {
  for (;;) {
    const seconds = now();
    const [directory, isNew] = secondsDirectory(database, seconds);
    if (isNew) forgetOldSeconds(database, seconds);
    for (let suffix = 1 + highestSuffix(directory, kind); ; suffix++) {
      const id = suffix === 1 ? `${kind}_${seconds}` : `${kind}_${seconds}_${suffix}`;
      const taken = take(join(directory, id));
      // A process that was stopped for so long in between may have missed that it was used and forgotten.
      if (taken && now() - seconds < SECONDS_AN_HOUR / 2) return id;
      if (taken || taken === undefined) break;
    }
  }
}

function now(): number {
  return Math.floor(Date.now() / 1000);
}

/** The directory of a second, and whether this call made it. */
function secondsDirectory(database: string, seconds: number): [string, boolean] {
  const hour = String(Math.floor(seconds / SECONDS_AN_HOUR));
  const parent = join(privateDirectory(database, "ids"), hour);
  makeDirectory(parent);
  const directory = join(parent, String(seconds));
  try {
    mkdirSync(directory);
    takeOwner(directory);
    return [directory, true];
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return [directory, false];
    throw toIoError(error, "make directory", directory);
  }
}

/** True where it is taken now, false where it was, undefined where the second's directory has gone. */
function take(path: string): boolean | undefined {
  try {
    closeSync(openSync(path, "wx"));
    takeOwner(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return false;
    if (isMissing(error)) return undefined;
    throw toIoError(error, "create", path);
  }
}

function highestSuffix(directory: string, kind: string): number {
  const suffixes = listNames(directory).map((name) => {
    const [, its, suffix = "1"] = /^(backup|restore)_\d+(?:_(\d+))?$/.exec(name) ?? [];
    return its === kind ? Number(suffix) : 0;
  });
  return Math.max(0, ...suffixes);
}

/** A few at a time: what a busy hour has left must not hold up one operation. */
function forgetOldSeconds(database: string, seconds: number): void {
  const ids = privateDirectory(database, "ids");
  for (const hour of listNames(ids)) {
    if (!/^\d+$/.test(hour) || (Number(hour) + 2) * SECONDS_AN_HOUR > seconds) continue;
    try {
      forgetSome(join(ids, hour));
    } catch {
      continue; // it takes space, and nothing else
    }
    return;
  }
}

function forgetSome(directory: string): void {
  const found = opendirSync(directory);
  try {
    for (let count = 0; count < FORGOTTEN_AT_ONCE; count++) {
      const name = found.readSync()?.name;
      rmSync(name === undefined ? directory : join(directory, name), { recursive: true, force: true });
      if (name === undefined) return;
    }
  } finally {
    found.closeSync();
  }
}
