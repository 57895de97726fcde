import { CorruptError, isNotFound, LockedError, ValidationError } from "../../errors.ts";
import { reasonOf } from "../../fs/io.ts";
import { encodeRecord } from "../../fs/record.ts";
import { forEachParallel } from "../../util/parallel.ts";
import { sealAnew } from "../audit/seal-anew.ts";
import { digestOf } from "../blobs/blob-codec.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import { LONGEST_HEAD_BYTES } from "../codec/blob-head.ts";
import { epochOf } from "../codec/decode-blob.ts";
import { Documents } from "../documents.ts";
import { encodeSnapshot } from "../format/encode-snapshot.ts";
import { blobName, FORMAT, ROLLING, snapshotName } from "../format/names.ts";
import { SNAPSHOT_DOCUMENTS } from "../format/snapshot-document.ts";
import { LabelStore } from "../labels/label-store.ts";
import type { Lease } from "../lease/lease.ts";
import { leaserOf } from "../lease/leaser.ts";
import { documentsIn } from "../prune/document-names.ts";
import { writeMarks } from "../prune/mark.ts";
import { readRange } from "../read-small.ts";
import { blobsOfContent, type PartContent, piecesOfEntry, type StoredContent } from "../snapshot.ts";
import { rewriteName } from "./epoch-record.ts";
import { dropOlderEpochs, type KeysPlace, removeStaleSlots } from "./manage-keys.ts";

export interface RewritePlace extends KeysPlace {
  readonly blobs: BlobStore;
}

export interface RewriteOptions {
  readonly signal?: AbortSignal | undefined;
  /** How long to wait for others, milliseconds. */
  readonly timeoutMs: number;
}

/** What was encrypted anew, or would be. */
export interface Rewritten {
  readonly snapshots: number;
  readonly blobs: number;
  /** Of their plain content. */
  readonly bytes: number;
}

const PARALLEL_BLOBS = 4;
const PARALLEL_HEADS = 32;

/**
 * Encrypts by the current epoch's key what is encrypted by one before, blobs and documents, and drops the epochs before. Backups
 * may run meanwhile, but for a moment at the end. Interrupted anywhere, everything stays readable, and the next run goes on; a
 * blob that was written already is read again, and not written.
 *
 * The blobs before go by the rules of all others, with a prune after the grace period.
 *
 * @throws CorruptError where a snapshot cannot be read: all others were encrypted anew, and the epochs before stay.
 * @throws LockedError where backups do not end in time.
 */
export async function rewriteEpoch(place: RewritePlace, options: RewriteOptions): Promise<Rewritten> {
  const { storage, ring, logger } = place;
  await assertNoCopies(place, options.signal);
  const note = { epoch: ring.current.epoch, since: new Date().toISOString() };
  await storage.writeNew(rewriteName(note.epoch), encodeRecord(note, FORMAT));
  const leaser = leaserOf(storage, { logger });
  const rewrite = new Rewrite({ ...place, blobs: await place.blobs.renewed() }, options.signal);
  {
    await using lease = await leaser.acquire("shared", options);
    await rewrite.all(lease);
  }
  {
    // What backups under way had begun by the key before has ended now.
    await using lease = await leaser.acquire("exclusive", options);
    await rewrite.all(lease);
    rewrite.assertWhole();
    await resealRecords(place, options.signal);
    await lease.assertHeld();
    await writeMarks(storage, new Date(), rewrite.replaced);
    await dropOlderEpochs(place);
  }
  await removeStaleSlots(place);
  await storage.remove(rewriteName(note.epoch));
  await ring.refresh();
  return rewrite.done;
}

/** What was verified when is forgotten: all blobs have just been read, and have other names. */
async function resealRecords({ storage, logger, blobs }: RewritePlace, signal?: AbortSignal): Promise<void> {
  const { documents, codec } = await blobs.renewed();
  await new LabelStore({ storage, documents }).reseal(codec.epoch, signal);
  await sealAnew({ storage, logger, documents, epoch: codec.epoch }, undefined, signal);
  await storage.remove(ROLLING, { signal });
}

/** What a rewriting would read and write, where nothing is of the new epoch. */
export async function foretellRewrite({ blobs }: RewritePlace, signal?: AbortSignal): Promise<Rewritten> {
  const { storage } = blobs;
  const all = new Map<string, number>();
  const { ids } = await documentsIn(storage, signal);
  for (const id of ids) {
    const read = await readContent(blobs, id, signal);
    for (const [name, bytes] of read ? blobsOfContent(read.content) : []) all.set(name, bytes);
  }
  return {
    snapshots: ids.length,
    blobs: all.size,
    bytes: [...all.values()].reduce((sum, bytes) => sum + bytes, 0),
  };
}

/** A copy of a document names blobs by names before, and could be read no more. */
async function assertNoCopies({ storage }: RewritePlace, signal: AbortSignal | undefined): Promise<void> {
  const { copies } = await documentsIn(storage, signal);
  if (copies.length === 0) return;
  const names = copies.map(({ name }) => name).join(", ");
  throw new ValidationError(
    `${storage.location} holds copies of documents, which are not re-encrypted: ${names}. Move them away first.`,
  );
}

interface ReadContent {
  readonly object: Buffer;
  readonly content: StoredContent;
}

/** Undefined where it is gone. @throws CorruptError */
async function readContent(
  { storage, documents }: BlobStore,
  id: string,
  signal: AbortSignal | undefined,
): Promise<ReadContent | undefined> {
  const snapshots = new Documents(SNAPSHOT_DOCUMENTS, storage, documents);
  try {
    const object = await snapshots.object(id, signal);
    return { object, content: await snapshots.open(object, id) };
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

class Rewrite {
  readonly #place: RewritePlace;
  readonly #signal: AbortSignal | undefined;
  readonly #epoch: number;
  /** Names of blobs before, and what each is called now. */
  readonly #names = new Map<string, string>();
  readonly #current = new Set<string>();
  readonly #failed = new Map<string, unknown>();
  readonly #written = new Set<string>();
  #snapshots = 0;
  #bytes = 0;

  constructor(place: RewritePlace, signal: AbortSignal | undefined) {
    this.#place = place;
    this.#signal = signal;
    this.#epoch = place.blobs.codec.epoch;
  }

  get done(): Rewritten {
    return { snapshots: this.#snapshots, blobs: this.#written.size, bytes: this.#bytes };
  }

  /** Names of blobs that no snapshot names any more. */
  get replaced(): string[] {
    return [...this.#names.keys()].sort();
  }

  /** Every snapshot that there is now. One that is damaged is passed over, and told of at the end. */
  async all(lease: Lease): Promise<void> {
    const { storage, logger } = this.#place;
    this.#failed.clear();
    for (const id of (await documentsIn(storage, this.#signal)).ids) {
      this.#signal?.throwIfAborted();
      try {
        await this.#snapshot(id, lease);
      } catch (error) {
        if (!(error instanceof CorruptError) && !isNotFound(error)) throw error;
        logger.warn("a snapshot cannot be re-encrypted", { snapshot: id, reason: reasonOf(error) });
        this.#failed.set(id, error);
      }
    }
  }

  /** @throws CorruptError */
  assertWhole(): void {
    const [first] = this.#failed;
    if (!first) return;
    const [id, cause] = first;
    const { location } = this.#place.storage;
    throw new CorruptError(
      `${this.#failed.size} snapshots in ${location} cannot be re-encrypted, the first of them ${id}: ${reasonOf(cause)} The old keys are still needed, and stay. Repair the snapshot or delete it, and rotate again.`,
      { path: `${location}/${snapshotName(id)}`, cause },
    );
  }

  async #snapshot(id: string, lease: Lease): Promise<void> {
    const { blobs } = this.#place;
    const read = await readContent(blobs, id, this.#signal);
    if (!read) return;
    const { object, content } = read;
    const named = blobsOfContent(content);
    const old = await this.#olderOf([...named.keys()]);
    const isOld = blobs.documents.epochOf(object, blobs.storage.location) !== this.#epoch;
    if (old.length === 0 && !isOld) return;
    await forEachParallel(old, PARALLEL_BLOBS, (name) => this.#blob(name));
    await this.#publish(content, object, lease);
    this.#snapshots++;
  }

  /** Those that are encrypted by a key before, by their heads. */
  async #olderOf(names: readonly string[]): Promise<string[]> {
    const { storage } = this.#place;
    const unknown = names.filter((name) => !this.#current.has(name) && !this.#names.has(name));
    const old: string[] = [];
    await forEachParallel(unknown, PARALLEL_HEADS, async (name) => {
      this.#signal?.throwIfAborted();
      const head = await readRange(storage, blobName(name), this.#signal)(0, LONGEST_HEAD_BYTES);
      if (epochOf(head, this.#place.blobs.placeOf(name)) === this.#epoch) this.#current.add(name);
      else old.push(name);
    });
    return [...old, ...names.filter((name) => this.#names.has(name))];
  }

  async #blob(name: string): Promise<void> {
    if (this.#names.has(name)) return;
    this.#signal?.throwIfAborted();
    const { blobs, storage } = this.#place;
    const content = await blobs.readBlob(name, this.#signal);
    const now = blobs.codec.nameOf(digestOf(content));
    if (!(await storage.stat(blobName(now)))) {
      const { length } = content;
      await blobs.write(now, content, this.#signal);
      this.#written.add(now);
      this.#bytes += length;
    }
    this.#names.set(name, now);
    this.#current.add(now);
  }

  /** Puts a document that says the same, by other names, in the place of the one before. */
  async #publish({ snapshot, parts }: StoredContent, before: Buffer, lease: Lease): Promise<void> {
    const { storage, documents } = this.#place.blobs;
    const { checksum: _checksum, ...said } = snapshot;
    const renamed = parts.map((part) => this.#renamed(part));
    const { bytes } = encodeSnapshot(said, renamed);
    const name = snapshotName(snapshot.id);
    await lease.assertHeld();
    if (!(await storage.stat(name))) return; // deleted meanwhile
    await storage.write(name, documents.seal(bytes, snapshot.id), { signal: this.#signal });
    if (lease.isHeld) return;
    const missing = await this.#place.blobs.missing(blobsOfContent({ parts: renamed }));
    if (missing.length === 0) return;
    await storage.write(name, before);
    throw new LockedError(
      `The lease on ${storage.location} was lost, and ${missing.length} blobs were removed meanwhile. Rotate again.`,
    );
  }

  #renamed(part: PartContent): PartContent {
    const nameOf = (name: string) => this.#names.get(name) ?? name;
    const blobs = new Map([...part.blobs].map(([name, bytes]) => [nameOf(name), bytes]));
    const entries = part.entries.map((entry) => ({
      ...entry,
      pieces: piecesOfEntry(entry).map((piece) => ({ ...piece, blob: nameOf(piece.blob) })),
    }));
    return { ...part, blobs, entries };
  }
}
