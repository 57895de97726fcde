import { BackupError } from "../../errors.ts";
import { isVanished, reasonOf } from "../../fs/io.ts";
import type { Logger } from "../../logger.ts";
import { assertWritable } from "../../storage/layers/read-only-storage.ts";
import type { StoredObject } from "../../storage/object-name.ts";
import { highestOf } from "../../util/extremes.ts";
import { counted } from "../../util/format.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import { Documents } from "../documents.ts";
import { BLOBS, parseBlobName } from "../format/names.ts";
import type { OnProgress } from "../progress.ts";
import { type BlobState, lookAt, readBlobs } from "./blob-survey.ts";
import { passed, type VerificationResult } from "./result.ts";
import {
  CURSOR,
  CURSOR_DOCUMENT,
  LAST_NAME,
  MOST_DAMAGED,
  markRead,
  newCursor,
  type RollingCursor,
  startOf,
  stretchOf,
} from "./rolling-cursor.ts";

const DAY_MS = 86_400_000;
/** The first run does not know when the next one will be: it reads this part. */
const FIRST_SHARE = 1 / 30;
/** So many blobs, or so many bytes, are read before the cursor goes on. */
const BATCH = { blobs: 256, bytes: 256 << 20 } as const;
/** The cursor is written so often: more is not read again after a kill. */
const SAVE_MS = 10_000;

export interface RollingRequest {
  readonly store: BlobStore;
  readonly logger: Logger;
  /** Every blob is to be read within so many days. */
  readonly days: number;
  /** Those that snapshots name, also where they are not there. */
  readonly named: ReadonlySet<string>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** A blob as a listing shows it. */
type Listed = Pick<StoredObject, "size"> & { readonly name: string; readonly writtenAt: number };

/**
 * Looks whether every blob is there, and reads those whose turn it is: by the time since the last run, and all that would be older
 * than so many days before the next one. Goes on where the last run ended, also where it was killed. Where the store lets nothing be read any
 * more it stops, and what it could not read behind the last blob that it could counts as unread.
 *
 * @throws IoError where the cursor cannot be written: nothing was read then that is not told.
 */
export async function rollOn(
  request: RollingRequest,
): Promise<{ readonly states: ReadonlyMap<string, BlobState>; readonly result: VerificationResult }> {
  const { store, logger, named, days, now, signal } = request;
  const { storage } = store;
  assertWritable(storage);
  const records = new Documents(CURSOR_DOCUMENT, storage, (await store.renewed()).documents);
  const began = now();
  const withinMs = days * DAY_MS;
  const before = await cursorOf(request, began);
  const listed = await list(store, signal);
  const known = new Map(listed.map(({ name, size }) => [name, size]));
  const states = new Map(await lookAt(store, new Set([...named, ...known.keys()]), known, signal));
  const order = ringFrom(listed, startOf(before));
  const wanted = order.slice(0, shareOf(order, before, began, withinMs));
  const again = before.damaged.filter((name) => known.has(name));
  const turn = new Turn(request, states, known, [...again, ...wanted.map(({ name }) => name)]);
  let cursor: RollingCursor = before;
  let savedAt = performance.now();
  /** What the store has let nothing be read of, behind what it did. */
  const held: { readonly behind: string; readonly to: string; readonly readAt: number }[] = [];
  let heldBlobs = 0;
  const save = () => records.write(CURSOR, { ...cursor, damaged: turn.damaged(before.damaged) });
  try {
    await turn.read(again);
    let behind = startOf(before);
    if (listed.every(({ name }) => name <= behind)) {
      cursor = markRead(cursor, behind, LAST_NAME, began, withinMs); // nothing is there any more
      behind = "";
    }
    for (const batch of batchesOf(wanted)) {
      const readAt = now();
      await turn.read(batch.map(({ name }) => name));
      // A batch ends where the names do: the next one begins with the first of all.
      const last = batch.at(-1)?.name ?? behind;
      const isEnd = last === listed.at(-1)?.name;
      held.push({ behind, to: isEnd ? LAST_NAME : last, readAt });
      behind = isEnd ? "" : last;
      if (turn.bad > MOST_DAMAGED) break;
      if (batch.every(({ name }) => isUnreadable(states.get(name)))) {
        heldBlobs += batch.length;
        if (heldBlobs >= BATCH.blobs) break;
        continue;
      }
      // One that cannot be read among others that can is noted by its name.
      for (const one of held.splice(0)) cursor = markRead(cursor, one.behind, one.to, one.readAt, withinMs);
      heldBlobs = 0;
      if (performance.now() - savedAt < SAVE_MS) continue;
      await save();
      savedAt = performance.now();
    }
  } catch (error) {
    // Where that cannot be written either, it is read once more.
    await save().catch((reason: unknown) =>
      logger.debug("what was verified could not be noted", { reason: reasonOf(reason) }),
    );
    throw error;
  }
  const isStopped = held.length > 0;
  if (!isStopped) cursor = { ...cursor, at: began };
  await save();
  const bad = new Set(turn.damaged(before.damaged));
  const ages = listed.map((blob) => now() - knownGood(blob, cursor, bad.has(blob.name)));
  const oldestBlobSeconds = Math.round(highestOf(0, ages) / 1000);
  const read = `${counted(turn.done, "blob")} of ${counted(listed.length, "blob")} read, so that each is within ${days} days`;
  const details = `${read}; the oldest was not read for ${(oldestBlobSeconds / 86_400).toFixed(1)} days.`;
  const why = isStopped
    ? ` It ended early, since too many could not be read; these do not count as read.`
    : "";
  return { states, result: { ...passed("", "rolling", details + why), ok: !isStopped, oldestBlobSeconds } };
}

/** Where blobs are read by turns, it counts as a turn of all that everything was read. What cannot be written is passed over. */
export async function tellAllRead(
  { store, logger }: Pick<RollingRequest, "store" | "logger">,
  states: ReadonlyMap<string, BlobState>,
  began: number,
): Promise<void> {
  const records = new Documents(CURSOR_DOCUMENT, store.storage, store.documents);
  try {
    const cursor = await records.find(CURSOR);
    if (!cursor) return;
    const damaged = [...states].filter(([name, state]) => state.size !== undefined && !isGood(name, state));
    if (damaged.length > MOST_DAMAGED) return;
    const stretches = [{ to: LAST_NAME, readAt: began }];
    await records.write(CURSOR, { ...cursor, at: began, stretches, damaged: damaged.map(([name]) => name) });
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    logger.debug("that all was read could not be noted", { reason: error.message });
  }
}

/** One that cannot be read says nothing: it begins anew. */
async function cursorOf({ store, logger, signal }: RollingRequest, now: number): Promise<RollingCursor> {
  try {
    const records = new Documents(CURSOR_DOCUMENT, store.storage, store.documents);
    return (await records.find(CURSOR, signal)) ?? newCursor(now);
  } catch (error) {
    if (!(error instanceof BackupError) || (error.code !== "CORRUPT" && error.code !== "UNSUPPORTED"))
      throw error;
    logger.warn("the record of what was verified when is lost; it begins again", { reason: error.message });
    return newCursor(now);
  }
}

/** By their names. */
async function list({ storage }: BlobStore, signal: AbortSignal | undefined): Promise<Listed[]> {
  const listed: Listed[] = [];
  for await (const { name: object, size, modified } of storage.list(BLOBS, { signal })) {
    signal?.throwIfAborted();
    const name = parseBlobName(object);
    if (name !== undefined) listed.push({ name, size, writtenAt: modified.getTime() });
  }
  return listed.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** All of them, first those behind a name. */
function ringFrom(listed: readonly Listed[], behind: string): Listed[] {
  const start = listed.findIndex(({ name }) => name > behind);
  return start < 0 ? [...listed] : [...listed.slice(start), ...listed.slice(0, start)];
}

/** How many of the first are to be read now. */
function shareOf(order: readonly Listed[], cursor: RollingCursor, now: number, withinMs: number): number {
  const passedMs = cursor.at === undefined ? -1 : now - cursor.at;
  const sinceMs = passedMs < 0 ? withinMs * FIRST_SHARE : Math.min(passedMs, withinMs);
  const bytes = order.reduce((sum, { size }) => sum + size, 0) * (sinceMs / withinMs);
  let [end, sum] = [0, 0];
  for (const [index, blob] of order.entries()) {
    const age = now - dueSince(blob, cursor, now);
    if (sum < bytes || age + sinceMs > withinMs || index === 0) end = index + 1;
    sum += blob.size;
  }
  return end;
}

/** From when the time of a blob counts: of one that was never read, from when reading by turns began. */
function dueSince({ name, writtenAt }: Listed, cursor: RollingCursor, now: number): number {
  const { readAt } = stretchOf(cursor, name);
  return Math.min(Math.max(readAt ?? cursor.startedAt, writtenAt), now);
}

/** When a blob was last known to be good: when it was read, or else written. */
function knownGood({ name, writtenAt }: Listed, cursor: RollingCursor, isBad: boolean): number {
  const { readAt } = stretchOf(cursor, name);
  return readAt === null || isBad ? writtenAt : Math.max(readAt, writtenAt);
}

function* batchesOf(wanted: readonly Listed[]): Generator<Listed[]> {
  let batch: Listed[] = [];
  let bytes = 0;
  for (const blob of wanted) {
    const wraps = blob.name < (batch.at(-1)?.name ?? "");
    if (batch.length > 0 && (wraps || batch.length === BATCH.blobs || bytes >= BATCH.bytes)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(blob);
    bytes += blob.size;
  }
  if (batch.length > 0) yield batch;
}

/** What a run reads, and what it finds. */
class Turn {
  readonly #request: RollingRequest;
  readonly #states: Map<string, BlobState>;
  readonly #known: ReadonlyMap<string, number>;
  readonly #total: { readonly totalFiles: number; readonly totalBytes: number };
  readonly #read = new Set<string>();
  readonly #bad = new Set<string>();
  #bytes = 0;

  constructor(
    request: RollingRequest,
    states: Map<string, BlobState>,
    known: ReadonlyMap<string, number>,
    names: readonly string[],
  ) {
    this.#request = request;
    this.#states = states;
    this.#known = known;
    const all = new Set(names);
    const totalBytes = [...all].reduce((sum, name) => sum + (known.get(name) ?? 0), 0);
    this.#total = { totalFiles: all.size, totalBytes };
  }

  get done(): number {
    return this.#read.size;
  }

  /** How many were damaged, or could not be read. */
  get bad(): number {
    return this.#bad.size;
  }

  async read(names: readonly string[]): Promise<void> {
    const { store, signal, onProgress } = this.#request;
    const unread = names.filter((name) => !this.#read.has(name));
    await readBlobs(store, unread, this.#known, signal, (name, state) => {
      this.#states.set(name, state);
      this.#read.add(name);
      if (!isGood(name, state)) this.#bad.add(name);
      this.#bytes += this.#known.get(name) ?? 0;
      onProgress?.({ phase: "verify", files: this.#read.size, bytes: this.#bytes, ...this.#total });
    });
  }

  /** What is to be read again in the next run. @param before what was to be in this one: what it did not come to, too. */
  damaged(before: readonly string[]): string[] {
    const unread = before.filter((name) => this.#known.has(name) && !this.#read.has(name));
    return [...new Set([...unread, ...this.#bad])];
  }
}

function isGood(name: string, state: BlobState | undefined): boolean {
  return state?.error === undefined && state?.sha256 === name;
}

/** Neither damaged nor gone: the store did not let it be read. */
function isUnreadable(state: BlobState | undefined): boolean {
  return state?.error?.code === "IO" && !isVanished(state.error);
}
