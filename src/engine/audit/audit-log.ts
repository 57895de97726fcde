import { setTimeout as sleep } from "node:timers/promises";
import { BackupError, CorruptError, isNotFound, LockedError } from "../../errors.ts";
import { reasonOf } from "../../fs/io.ts";
import type { Logger } from "../../logger.ts";
import { assertWritable } from "../../storage/layers/read-only-storage.ts";
import type { Storage } from "../../storage/storage.ts";
import { forEachParallel } from "../../util/parallel.ts";
import type { DocumentCodec } from "../codec/document-codec.ts";
import { Documents } from "../documents.ts";
import { AUDIT } from "../format/names.ts";
import { software } from "../software.ts";
import {
  type AuditAction,
  type AuditEntry,
  type AuditPoint,
  ENTRY_DOCUMENTS,
  encodeEntry,
  entryName,
  HEAD,
  HEAD_DOCUMENT,
  parseEntryName,
} from "./audit-entry.ts";

/** Of a repository: by which codec its documents are sealed now. */
export interface AuditPlace {
  readonly storage: Storage;
  readonly logger: Logger;
  readonly documents: DocumentCodec;
}

const MOST_TRIES = 100;
const LONGEST_PAUSE_MS = 50;
const PARALLEL_READS = 16;

/** A store that lists more is broken. A limit of time alone would not end it: of a listing that never waits no timer has its turn. */
const MOST_ENTRIES = 5_000_000;
const MOST_STRANGERS = 10_000;

/** Names of all that lies in the log. @throws CorruptError where a listing does not end; IoError */
export async function* auditNames(storage: Storage, signal?: AbortSignal): AsyncGenerator<string> {
  let [entries, strangers] = [0, 0];
  for await (const { name } of storage.list(AUDIT, { signal })) {
    signal?.throwIfAborted();
    if (parseEntryName(name) === undefined) strangers++;
    else entries++;
    if (entries > MOST_ENTRIES || strangers > MOST_STRANGERS) {
      throw new CorruptError(`${storage.location} lists more below ${AUDIT} than any audit log has.`, {
        path: AUDIT,
      });
    }
    yield name;
  }
}

/** Numbers of all entries that are there, ascending. @throws as `auditNames` */
export async function entryNumbers(storage: Storage, signal?: AbortSignal): Promise<number[]> {
  const numbers: number[] = [];
  for await (const name of auditNames(storage, signal)) {
    const number = parseEntryName(name);
    if (number !== undefined) numbers.push(number);
  }
  return numbers.sort((a, b) => a - b);
}

/** @throws NotFoundError, CorruptError, UnsupportedError, IoError */
export function readEntry(place: AuditPlace, number: number, signal?: AbortSignal): Promise<AuditEntry> {
  return entriesOf(place).read(number, signal);
}

/** Undefined where there is none. @throws CorruptError, UnsupportedError, IoError */
export function readHead(place: AuditPlace, signal?: AbortSignal): Promise<AuditPoint | undefined> {
  return headOf(place).find(HEAD, signal);
}

export function entriesOf({ storage, documents }: Pick<AuditPlace, "storage" | "documents">) {
  return new Documents(ENTRY_DOCUMENTS, storage, documents);
}

export function headOf({ storage, documents }: Pick<AuditPlace, "storage" | "documents">) {
  return new Documents(HEAD_DOCUMENT, storage, documents);
}

/**
 * Appends an entry (docs/formats.md, "Audit log"): by exclusive creation under the next number, so that writers at one moment
 * stand behind each other.
 *
 * @param after the newest entry as the caller knows it; there may be newer ones, and it may be gone.
 * @returns the entry, by which the next one is appended.
 * @throws IoError where it cannot be written. @throws LockedError where others were first a hundred times.
 */
export async function appendEntry(
  place: AuditPlace,
  action: AuditAction,
  after?: AuditPoint,
  signal?: AbortSignal,
): Promise<AuditPoint> {
  const { storage, logger } = place;
  assertWritable(storage);
  const [entries, head] = [entriesOf(place), headOf(place)];
  let last: Newest | undefined = await newestKnown(place, after, signal);
  for (let turn = 0; turn < MOST_TRIES; turn++) {
    const number = (last?.number ?? 0) + 1;
    const entry = encodeEntry({ number, previous: last?.sha256 ?? null }, action, software);
    if (await entries.writeNew(number, entry, { lock: true, signal })) {
      const point = { number, sha256: entry.sha256 };
      if (last && (await isInRemovedRange(place, last.number, point, signal))) {
        await withdraw(place, number, signal);
        last = await newestEntry(place, signal);
        continue;
      }
      // An older one does as well.
      await head.write(HEAD, point, { mayBeLost: true, signal }).catch((error: unknown) => {
        logger.debug("the head of the audit log was not written", { reason: reasonOf(error) });
      });
      return point;
    }
    if (turn > 0) await sleep(Math.random() * Math.min(turn * 2, LONGEST_PAUSE_MS), undefined, { signal });
    last = await newestEntry(place, signal);
  }
  throw new LockedError(
    `No entry was written to the audit log of ${storage.location}: others were faster ${MOST_TRIES} times.`,
  );
}

/** Entries that fit, the newest first. One that cannot be read is left out with a warning: `verifyAudit` tells of it. */
export async function listEntries(
  place: AuditPlace,
  wanted: (entry: AuditEntry) => boolean,
  limit = Number.POSITIVE_INFINITY,
  signal?: AbortSignal,
): Promise<AuditEntry[]> {
  const numbers = (await entryNumbers(place.storage, signal)).reverse();
  const entries: AuditEntry[] = [];
  for (let start = 0; start < numbers.length && entries.length < limit; start += PARALLEL_READS) {
    const batch = numbers.slice(start, start + PARALLEL_READS);
    const read = new Map<number, AuditEntry>();
    await forEachParallel(batch, PARALLEL_READS, async (number) => {
      signal?.throwIfAborted();
      try {
        read.set(number, await readEntry(place, number, signal));
      } catch (error) {
        if (isNotFound(error)) return; // removed since it was listed
        if (!(error instanceof BackupError) || error.code === "IO") throw error;
        place.logger.warn("an entry of the audit log cannot be read", { number, reason: error.message });
      }
    });
    for (const number of batch) {
      const entry = read.get(number);
      if (entry && wanted(entry)) entries.push(entry);
    }
  }
  return entries.slice(0, limit);
}

/** The higher one of the head and what the caller knows: either may be old. Where there is neither, by a listing. */
async function newestKnown(
  place: AuditPlace,
  after: AuditPoint | undefined,
  signal?: AbortSignal,
): Promise<Newest | undefined> {
  let head: AuditPoint | undefined;
  try {
    head = await readHead(place, signal);
  } catch (error) {
    if (!isUnreadable(error)) throw error;
  }
  if (after && after.number >= (head?.number ?? 0)) return after;
  return head ?? newestEntry(place, signal);
}

/**
 * Whether a new entry has a number that a retention has made free again, so that the log goes on elsewhere. Retention takes the
 * lowest first: while the entry before is there, none behind it is gone.
 */
async function isInRemovedRange(
  place: AuditPlace,
  before: number,
  { number, sha256 }: AuditPoint,
  signal?: AbortSignal,
): Promise<boolean> {
  try {
    if (await place.storage.stat(entryName(before), { signal })) return false;
    const higher = (await entryNumbers(place.storage, signal)).filter((other) => other > number);
    if (higher.length === 0) return false; // the one before is missing, which others are to see
    if (higher[0] !== number + 1) return true;
    return (await readEntry(place, number + 1, signal)).previous !== sha256; // else somebody stands behind it already
  } catch (error) {
    // The entry is written, and nearly always where it belongs.
    place.logger.debug("it was not seen whether an entry of the audit log is at the log's end", {
      number,
      reason: reasonOf(error),
    });
    return false;
  }
}

/** Where that may not be done, as where entries are locked, it stays, and who checks is told of it. */
async function withdraw(
  { storage, logger }: AuditPlace,
  number: number,
  signal?: AbortSignal,
): Promise<void> {
  await storage.remove(entryName(number), { signal }).catch((error: unknown) => {
    logger.warn("an entry of the audit log has a number that was removed, and stays", {
      number,
      reason: reasonOf(error),
    });
  });
}

/** Where it cannot be read, its digest is not known. */
interface Newest {
  readonly number: number;
  readonly sha256: string | undefined;
}

/** Of one that cannot be read the digest is what the head says of it, if anything. */
async function newestEntry(place: AuditPlace, signal?: AbortSignal): Promise<Newest | undefined> {
  const number = (await entryNumbers(place.storage, signal)).at(-1);
  if (number === undefined) return undefined;
  try {
    return await readEntry(place, number, signal);
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    const head = await readHead(place, signal).catch(() => undefined);
    return { number, sha256: head?.number === number ? head.sha256 : undefined };
  }
}

/** Whether an object of the log is not what was written, rather than out of reach. */
export function isUnreadable(error: unknown): error is BackupError {
  return error instanceof BackupError && (error.code === "CORRUPT" || error.code === "UNSUPPORTED");
}
