import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { CorruptError, isNotFound, LockedError, NotFoundError } from "../../errors.ts";
import { assertRoot, holding } from "../../fs/held-root.ts";
import type { Logger } from "../../logger.ts";
import type { Clock } from "../../util/clock.ts";
import type { ShrunkTable } from "../../util/shrunk-tables.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import { keptAttributes } from "../format/decode-entry.ts";
import { assertSummary } from "../format/decode-snapshot.ts";
import { encodeSnapshot } from "../format/encode-snapshot.ts";
import { EntryGatherer } from "../format/entry-lines.ts";
import { BLOBS, newSnapshotId, snapshotName } from "../format/names.ts";
import type { Lease } from "../lease/lease.ts";
import { leaserOf } from "../lease/leaser.ts";
import type { OnProgress } from "../progress.ts";
import {
  blobsOfContent,
  type PartContent,
  piecesOfEntry,
  type StoredContent,
  type StoredEntry,
  type StoredSnapshot,
} from "../snapshot.ts";
import { software } from "../software.ts";
import type { Capture, CaptureRequest, Entry, Source } from "../source-contract.ts";
import { assertApart, assertNameable, detailsOf, entriesOf } from "./assert-capturable.ts";
import { captureTogether } from "./capture-together.ts";
import { lookForShrunk } from "./look-for-shrunk.ts";
import { type BackupPlan, planBackup } from "./plan-backup.ts";
import type { StoredBlobs } from "./store-locally.ts";
import { writeBlobs } from "./write-blobs.ts";

export interface BackupContext {
  readonly blobs: BlobStore;
  readonly logger: Logger;
  /** The newest snapshot of a source, whole; undefined where there is none that can be read. */
  previous(source: Pick<Source, "type" | "id">): Promise<StoredContent | undefined>;
  /** The snapshots of a source, the newest first, among so many of the newest of all. */
  newestFirst?(source: Pick<Source, "type" | "id">, most: number): AsyncIterable<StoredSnapshot>;
  /** The newest snapshot of whatever source had this place. */
  previousAt?(uri: string): Promise<StoredContent | undefined>;
  /** A snapshot was written: the next one of its source begins with it. Never fails. @param object of its document */
  onWritten?(id: string, object: Uint8Array): Promise<void>;
  /** @internal The leases' clock, for tests. */
  readonly clock?: Clock | undefined;
}

/** Options that have been checked. */
export interface BackupRequest {
  /** One at least, each of another id. */
  readonly sources: readonly Source[];
  readonly name?: string | undefined;
  readonly description?: string | undefined;
  readonly tags?: readonly string[] | undefined;
  /** What is asked of each source. */
  readonly capture: Pick<CaptureRequest, "tables" | "exclude" | "onUnsupported" | "history" | "allowEmpty">;
  readonly failOnShrink?: boolean | number | undefined;
  /** Whether what the snapshot before has is read all the same. */
  readonly rereads?: boolean | undefined;
  readonly lockTimeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** A snapshot that was just taken. */
export interface TakenContent extends StoredContent {
  /** What is gone, or has far fewer rows than in the snapshot before. */
  readonly shrunk: readonly ShrunkTable[];
}

/** Files that vanish while they are read were not held: the database is read-only here, and written from elsewhere. */
const MOST_CAPTURES = 10;
const DEFAULT_TIMEOUT_MS = 30_000;

/** Takes a snapshot (docs/formats.md, *Writing a snapshot*). Interrupted anywhere, it leaves none. */
export async function backup(context: BackupContext, request: BackupRequest): Promise<TakenContent> {
  request.signal?.throwIfAborted();
  const { storage } = context.blobs;
  for (const source of request.sources) assertApart(source, storage.local?.root);
  const roots = request.sources.flatMap(({ root }) =>
    root === undefined ? [] : [{ path: root, what: "database" }],
  );
  return holding(roots, () => backupSources(context, request));
}

async function backupSources(context: BackupContext, request: BackupRequest): Promise<TakenContent> {
  // Where keys may be rotated, what a snapshot before names is sure to be needed only while no one else can go in.
  const isEncrypted = context.blobs.codec.epoch > 0;
  const before = isEncrypted ? undefined : snapshotsBefore(context, request);
  const looked = before?.catch(() => undefined);
  try {
    return await backupAfter(before, context, request);
  } finally {
    await looked;
  }
}

/** @param before found beside the lease. Undefined: they are looked for under it. */
async function backupAfter(
  before: Promise<Before> | undefined,
  context: BackupContext,
  request: BackupRequest,
): Promise<TakenContent> {
  const distrusted = new Set<string>();
  const { signal, lockTimeoutMs: timeoutMs = DEFAULT_TIMEOUT_MS } = request;
  for (let attempt = 1; ; attempt++) {
    const leaser = leaserOf(context.blobs.storage, { logger: context.logger, clock: context.clock });
    await using lease = await leaser.acquire("shared", { signal, timeoutMs });
    try {
      const blobs = await context.blobs.renewed();
      const previous = await (before ?? snapshotsBefore(context, request));
      return await new BackupRun({ ...context, blobs }, request, previous, distrusted, lease).run();
    } catch (error) {
      const again = isNotFound(error) || (error instanceof LockedError && !lease.isHeld);
      if (!again || attempt === MOST_CAPTURES) throw error;
    }
  }
}

type Before = ReadonlyMap<Source, StoredContent | undefined>;

async function snapshotsBefore(context: BackupContext, { sources }: BackupRequest): Promise<Before> {
  const previous = new Map<Source, StoredContent | undefined>();
  for (const source of sources) previous.set(source, await context.previous(source));
  return previous;
}

/** A source, and what is known of it so far. */
interface Part {
  readonly source: Source;
  readonly capture: Capture;
  readonly entries: readonly Entry[];
  readonly plan: BackupPlan;
}

class BackupRun {
  readonly #started = performance.now();
  readonly #context: BackupContext;
  readonly #request: BackupRequest;
  readonly #previous: Before;
  readonly #distrusted: Set<string>;
  readonly #lease: Lease;

  constructor(
    context: BackupContext,
    request: BackupRequest,
    previous: Before,
    distrusted: Set<string>,
    lease: Lease,
  ) {
    this.#context = context;
    this.#request = request;
    this.#previous = previous;
    this.#distrusted = distrusted;
    this.#lease = lease;
  }

  async run(): Promise<TakenContent> {
    const { sources, capture, lockTimeoutMs: timeoutMs = DEFAULT_TIMEOUT_MS, signal } = this.#request;
    const { logger } = this.#context;
    const requestOf = (source: Source) => ({ ...capture, signal, logger, previous: this.#before(source) });
    await using captures = await captureTogether(sources, requestOf, { timeoutMs, signal, logger });
    const parts: Part[] = [];
    for (const source of sources) parts.push(await this.#look(source, captures.of(source)));
    const shrunk: ShrunkTable[] = [];
    for (const part of parts) shrunk.push(...(await this.#lookForShrunk(part)));
    const stored = await this.#read(parts);
    for (const part of parts) await this.#assertUnchanged(part, stored);
    await this.#lease.assertHeld();
    await this.#assertThere(parts, stored);
    return { ...(await this.#publish(parts, stored)), shrunk };
  }

  /** The same source's part in the snapshot before. */
  #before(source: Source): PartContent | undefined {
    return partOf(this.#previous.get(source), ({ type, id }) => type === source.type && id === source.id);
  }

  async #look(source: Source, capture: Capture): Promise<Part> {
    const entries = await entriesOf(capture, source.uri);
    for (const { message, meta } of capture.warnings ?? []) this.#context.logger.warn(message, meta);
    entries.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
    assertNameable(entries, source.uri);
    const { rereads } = this.#request;
    const plan = planBackup(entries, this.#before(source), { distrusted: this.#distrusted, rereads });
    return { source, capture, entries, plan };
  }

  async #lookForShrunk({ source, capture, entries }: Part): Promise<readonly ShrunkTable[]> {
    const { holdings } = capture;
    if (!holdings) return [];
    const { failOnShrink = false, onProgress, capture: wanted } = this.#request;
    const { newestFirst, logger } = this.#context;
    const previous = this.#previous.get(source);
    const request = { source, holdings, previous, newestFirst, tables: wanted.tables, failOnShrink, logger };
    const shrunk = await lookForShrunk(request);
    if (shrunk.length === 0) return shrunk;
    const [files, bytes] = [entries.length, entries.reduce((sum, { size = 0 }) => sum + size, 0)];
    onProgress?.({ phase: "capture", files, bytes, totalFiles: files, totalBytes: bytes, shrunk });
    return shrunk;
  }

  async #read(parts: readonly Part[]): Promise<StoredBlobs> {
    const { signal, onProgress } = this.#request;
    const files = parts.flatMap(({ plan }) => plan.toRead);
    const sizes = files.length > 0 ? await this.#sizesThere() : new Set<number>();
    const totalBytes = parts.reduce((sum, { plan }) => sum + plan.bytesToRead, 0);
    let [done, bytes] = [0, 0];
    return writeBlobs(this.#context.blobs, {
      files,
      maybeThere: ({ size }) => size === undefined || sizes.has(size),
      piecesOf: (sha256, size) =>
        parts.map(({ plan }) => plan.piecesOf(sha256, size)).find((pieces) => pieces !== undefined),
      signal,
      onStored: (_entry, size) => {
        done++;
        bytes += size;
        onProgress?.({ phase: "read", files: done, bytes, totalFiles: files.length, totalBytes });
      },
    });
  }

  /** Sizes of files that there are: a file of another size cannot be among them. Only files of their own are looked for. */
  async #sizesThere(): Promise<Set<number>> {
    const sizes = new Set<number>();
    const { local, storage } = this.#context.blobs;
    const known = [...this.#previous.values()].flatMap((content) => content?.parts ?? []);
    for (const { entries } of known) for (const { size } of entries) sizes.add(size);
    if (known.length > 0 || !local) return sizes;
    for await (const blob of storage.list(BLOBS)) sizes.add(blob.size);
    return sizes;
  }

  /**
   * Holds files that were read to what the snapshot before says of them: another content under a name that has always the
   * same is damage, then or now, and a snapshot of it would pass for a good one. A source that was copied to another disk
   * is another source; that its files came there whole can be told all the same.
   *
   * @throws CorruptError naming the file and the snapshot.
   */
  async #assertUnchanged({ source, entries }: Part, { files }: StoredBlobs): Promise<void> {
    if (files.size === 0) return;
    const before = this.#previous.get(source) ?? (await this.#context.previousAt?.(source.uri));
    const part =
      partOf(before, ({ type, id }) => type === source.type && id === source.id) ??
      partOf(before, ({ type, uri }) => type === source.type && uri === source.uri);
    const read = new Map<string, Entry>();
    for (const entry of entries) if (entry.immutable && files.has(entry)) read.set(entry.path, entry);
    if (!part || read.size === 0) return;
    for (const { path, sha256: then } of part.entries) {
      const entry = read.get(path);
      if (!entry || files.get(entry)?.sha256 === then) continue;
      throw new CorruptError(
        `${entry.path} of ${source.uri} has other content than in snapshot ${before?.snapshot.id}, although a file of that name never changes: it is damaged now, or was then. No snapshot was made. scrub shows the damage, and with heal puts the snapshot's copy back. If the snapshot is wrong, delete it.`,
        { path: entry.file ?? entry.path },
      );
    }
  }

  /** Blobs that were found rather than written may have been removed since: then everything is looked at anew. */
  async #assertThere(parts: readonly Part[], { files, sizes }: StoredBlobs): Promise<void> {
    const found = new Map(parts.flatMap(({ plan }) => [...plan.known]));
    for (const file of files.values()) {
      if (file.isNew) continue;
      for (const { blob, bytes } of piecesOfEntry(file)) {
        found.set(blob, sizes.get(blob) ?? this.#sizeBefore(blob) ?? bytes);
      }
    }
    await this.#assertBlobs(found);
    await this.#context.blobs.keepLocked(found.keys(), this.#request.signal);
  }

  #sizeBefore(blob: string): number | undefined {
    for (const content of this.#previous.values()) {
      for (const { blobs } of content?.parts ?? []) {
        const bytes = blobs.get(blob);
        if (bytes !== undefined) return bytes;
      }
    }
    return undefined;
  }

  /** @throws NotFoundError, upon which all is captured anew, and these are written. */
  async #assertBlobs(blobs: ReadonlyMap<string, number>): Promise<void> {
    const { blobs: store, logger } = this.#context;
    const missing = await store.missing(blobs);
    if (missing.length === 0) return;
    for (const name of missing) this.#distrusted.add(name);
    logger.warn("blobs of the snapshot before are missing or cut short; they are written again", {
      missing: missing.length,
    });
    const { location } = store.storage;
    throw new NotFoundError(`${missing.length} blobs in ${location} are missing.`, { path: location });
  }

  /** Creates the document. A lease that was lost on the way may have let somebody remove blobs: then all are looked at. */
  async #publish(parts: readonly Part[], stored: StoredBlobs): Promise<StoredContent> {
    const { storage, documents } = this.#context.blobs;
    const contents: PartContent[] = [];
    for (const part of parts) contents.push(await this.#partContent(part, stored));
    this.#request.signal?.throwIfAborted();
    const roots = [...parts.map(({ source }) => source.root), storage.local?.root];
    for (const root of roots) if (root !== undefined) assertRoot(root);
    const composed = this.#compose(parts, contents, stored);
    for (;;) {
      const id = newSnapshotId(composed.createdAt, contents, randomBytes(4).toString("hex"));
      const durationMs = Math.round(performance.now() - this.#started);
      const snapshot: StoredSnapshot = { id, ...composed, durationMs };
      const { bytes, checksum } = encodeSnapshot(snapshot, contents);
      assertSummary(bytes, id, `of ${parts.map(({ source }) => source.uri).join(", ")}`);
      const object = documents.seal(bytes, id);
      if (!(await storage.writeNew(snapshotName(id), object, { lock: true }))) continue;
      if (!this.#lease.isHeld) {
        await this.#assertReadable(contents).catch(async (error: unknown) => {
          await storage.remove(snapshotName(id));
          throw error;
        });
      }
      await this.#context.onWritten?.(id, object);
      return { snapshot: { ...snapshot, checksum }, parts: contents };
    }
  }

  /** What somebody may have done without the lease: removed blobs, or dropped the key that they are encrypted by. */
  async #assertReadable(contents: readonly PartContent[]): Promise<void> {
    await this.#assertBlobs(blobsOfContent({ parts: contents }));
    if (!(await this.#context.blobs.isCurrent())) await this.#lease.assertHeld();
  }

  async #partContent({ source, capture, entries, plan }: Part, stored: StoredBlobs): Promise<PartContent> {
    const { about, details, warnings } = detailsOf(await capture.finish(), source.uri);
    for (const { message, meta } of warnings) this.#context.logger.warn(message, meta);
    const id = (await source.keepId?.()) ?? source.id;
    if (source.isIdDerived) {
      this.#context.logger.warn(
        "the database is not writable: its id is derived from its path, and any other database with that path has the same id; sourceId (--source-id) sets one",
        { database: source.uri, id },
      );
    }
    const gathered = new EntryGatherer(entries.length);
    const blobs = new Map<string, number>();
    let [files, sum] = [0, 0];
    for (const entry of entries) {
      const kept = storedEntry(entry, plan, stored);
      if (!kept) continue;
      for (const { blob, bytes } of kept.pieces ?? []) {
        if (blobs.has(blob)) continue;
        blobs.set(blob, stored.sizes.get(blob) ?? this.#sizeBefore(blob) ?? bytes);
      }
      gathered.add(kept, (blob) => blobs.get(blob) as number);
      files++;
      sum += kept.size;
    }
    return {
      source: { type: source.type, id, uri: source.uri, host: hostname() },
      ...{ files, bytes: sum, about, details, blobs },
      entries: gathered.list(),
    };
  }

  #compose(
    parts: readonly Part[],
    contents: readonly PartContent[],
    { files, storedBytes }: StoredBlobs,
  ): Omit<StoredSnapshot, "id" | "durationMs"> {
    const { name, description, tags = [] } = this.#request;
    const created = [...files.values()].filter(({ isNew }) => isNew);
    const sum = (list: readonly number[]) => list.reduce((total, one) => total + one, 0);
    const newest = Math.max(...parts.map(({ capture }) => capture.capturedAt.getTime()));
    return {
      ...(name !== undefined && { name }),
      ...(description !== undefined && { description }),
      tags: [...new Set(tags)],
      createdAt: new Date(newest),
      files: sum(contents.map((part) => part.files)),
      bytes: sum(contents.map((part) => part.bytes)),
      newFiles: created.length,
      newBytes: sum(created.map(({ size }) => size)),
      storedBytes,
      parts: contents.map(({ source, files: count, bytes, about }) => ({
        source,
        files: count,
        bytes,
        about,
      })),
      software,
    };
  }
}

function partOf(
  content: StoredContent | undefined,
  test: (source: PartContent["source"]) => boolean,
): PartContent | undefined {
  return content?.parts.find(({ source }) => test(source));
}

/** Undefined where it has gone, and may. */
function storedEntry(entry: Entry, plan: BackupPlan, { files }: StoredBlobs): StoredEntry | undefined {
  const { path, stamp, attributes, sameAs, mayVanish } = entry;
  const read = sameAs ?? entry;
  const stored = files.get(read) ?? plan.before(read);
  if (!stored && mayVanish) return undefined;
  if (!stored) throw new CorruptError(`${path} was captured, and its content was not stored.`, { path });
  const { sha256, size, pieces } = stored;
  return {
    ...{ path, size, sha256 },
    ...(stamp !== undefined && { stamp }),
    ...(pieces && { pieces }),
    ...(attributes && { attributes: keptAttributes(attributes) }),
  };
}
