import {
  type BackupError,
  BackupNotFoundError,
  CorruptError,
  isNotFound,
  UnsupportedError,
  ValidationError,
} from "../../errors.ts";
import { isUnreadable, reasonOf } from "../../fs/io.ts";
import type { Logger } from "../../logger.ts";
import type { Storage } from "../../storage/storage.ts";
import { type Clock, liesInFuture, systemClock } from "../../util/clock.ts";
import { forEachParallel } from "../../util/parallel.ts";
import type { DocumentCodec } from "../codec/document-codec.ts";
import { Documents } from "../documents.ts";
import { isSnapshotId, mayBeOf, snapshotName } from "../format/names.ts";
import { SNAPSHOT_DOCUMENTS } from "../format/snapshot-document.ts";
import { assertNotLocked } from "../keep-locked.ts";
import { withLabels } from "../labels/label-record.ts";
import { LabelStore, labelsOf } from "../labels/label-store.ts";
import { refusePinned, removeUnlessPinned } from "../labels/remove-snapshot.ts";
import { restartGrace } from "../prune/mark.ts";
import { blobsOfContent, type StoredContent, type StoredSnapshot } from "../snapshot.ts";
import { type DocumentCache, DocumentReader, type Known, type ReadDocument } from "./document-reader.ts";
import { assertFilter, fits, newestFirst, type SnapshotFilter } from "./filter.ts";
import { type IdentifyPlace, ofSource, shareSource, unknownPlace } from "./of-source.ts";
import {
  type DamagedSnapshot,
  newestNow,
  type SourceWanted,
  secondOf,
  timeOf,
  whatIsMeant,
} from "./resolve.ts";

const PARALLEL_READS = 16;

export interface ResolveOptions extends SourceWanted {
  readonly signal?: AbortSignal | undefined;
}

/** What a reference may stand for. */
export interface Candidates {
  /** The id, where it stands for one snapshot alone. */
  readonly chosen: string | undefined;
  /** The snapshots of one database, the newest first: those that it may stand for; where it stands for one, all. */
  readonly among: readonly StoredSnapshot[];
}

/** A source by its id, of one kind or of any; or by its place, whichever was there. */
export type SourceOrPlace =
  | { readonly id: string; readonly type?: string | undefined }
  | { readonly uri: string };

/** The snapshots of a repository. Each call looks which documents are there; a cache answers for these alone. */
export class Catalog {
  readonly #storage: Storage;
  readonly #logger: Logger;
  readonly #clock: Pick<Clock, "now">;
  readonly #identify: IdentifyPlace;
  readonly #documents: DocumentReader;
  readonly #labels: LabelStore;
  readonly #codec: DocumentCodec | undefined;

  /** @param clock for tests. */
  constructor(
    place: {
      readonly storage: Storage;
      readonly logger: Logger;
      /** Which source is at a place that a user names. Default: none is known. */
      readonly identify?: IdentifyPlace | undefined;
      /** Where documents are kept besides. Default: nowhere, and each is read from the storage. */
      readonly cache?: DocumentCache | undefined;
      /** How documents are read. Default: they are as they are. */
      readonly documents?: DocumentCodec | undefined;
    },
    clock: Pick<Clock, "now"> = systemClock,
  ) {
    this.#clock = clock;
    this.#storage = place.storage;
    this.#logger = place.logger;
    this.#identify = place.identify ?? unknownPlace;
    this.#labels = new LabelStore(place);
    this.#codec = place.documents;
    this.#documents = new DocumentReader(place.storage, place.cache, place.documents);
  }

  /**
   * The newest first. Reads the first line of each document. One that is damaged or of a newer format is left out
   * with a warning.
   *
   * @throws ValidationError for a bad filter. @throws IoError where the storage cannot be read.
   */
  async list(filter: SnapshotFilter = {}, signal?: AbortSignal): Promise<StoredSnapshot[]> {
    const { snapshots, damaged } = await this.select(filter, signal);
    this.warnOf(damaged);
    return snapshots;
  }

  /** The same, and all of the damaged ones: of these it cannot be told whether they fit. @throws as `list` */
  async select(
    filter: SnapshotFilter,
    signal?: AbortSignal,
  ): Promise<{ snapshots: StoredSnapshot[]; damaged: DamagedSnapshot[] }> {
    assertFilter(filter);
    const { snapshots, damaged } = await this.survey(signal);
    const mine = filter.source === undefined ? snapshots : ofSource(snapshots, filter.source, this.#identify);
    return { snapshots: mine.filter((snapshot) => fits(snapshot, filter)), damaged };
  }

  warnOf(damaged: readonly DamagedSnapshot[]): void {
    for (const { id, error } of damaged) {
      this.#logger.warn("a snapshot cannot be read and is left out", { snapshot: id, reason: error.message });
    }
  }

  /**
   * Everything that is there, read as far as `list` does: the snapshots, the newest first, with what was said of them since, and
   * the damaged ones.
   */
  async survey(signal?: AbortSignal): Promise<{ snapshots: StoredSnapshot[]; damaged: DamagedSnapshot[] }> {
    const snapshots: StoredSnapshot[] = [];
    const damaged: DamagedSnapshot[] = [];
    await forEachParallel(await this.ids(signal), PARALLEL_READS, async (id) => {
      try {
        snapshots.push(await this.#documents.summary(id, signal));
      } catch (error) {
        if (isDamage(error)) damaged.push({ id, error });
        else if (!isGone(error)) throw error;
      }
    });
    return { snapshots: await this.labelled(snapshots.sort(newestFirst), signal), damaged };
  }

  /** Snapshots with what was said of them since they were taken. */
  async labelled<S extends Pick<StoredSnapshot, "id" | "tags">>(
    snapshots: readonly S[],
    signal?: AbortSignal,
  ): Promise<(S & Pick<StoredSnapshot, "pinned">)[]> {
    const [only, ...others] = snapshots;
    if (!only) return [];
    const all = others.length > 0 ? await this.#labels.all(signal) : undefined;
    const one = all ? undefined : await this.#labels.of(only.id, signal);
    return snapshots.map((snapshot) => {
      const found = all ? all.get(snapshot.id) : one;
      if (found?.error) {
        this.#logger.warn("the labels of a snapshot cannot be read: it counts as pinned", {
          ...{ snapshot: snapshot.id, reason: found.error.message },
        });
      }
      return withLabels(snapshot, labelsOf(found, snapshot));
    });
  }

  /** Ids of all documents, ascending, which is the order of their times to the second. Reads none of them. */
  async ids(signal?: AbortSignal): Promise<string[]> {
    const ids = new Set<string>(); // one that is listed twice would count twice
    for await (const { key } of new Documents(SNAPSHOT_DOCUMENTS, this.#storage).list(signal)) ids.add(key);
    return [...ids].sort();
  }

  /**
   * The snapshot that `reference` names, checked whole.
   *
   * @param reference an id; `latest`; a name: the newest that has it; or the beginning of one id. In this order. What
   * lies in the future is not the newest, where another is there.
   * @throws BackupNotFoundError. @throws ValidationError where several ids begin so, or it can be a snapshot of several
   * databases, naming them. @throws CorruptError or UnsupportedError where its document cannot be read, or for `latest` where one that is as
   * new or newer cannot.
   */
  async get(reference: string, options: ResolveOptions = {}): Promise<StoredContent["snapshot"]> {
    return (await this.find(reference, options)).snapshot;
  }

  /** The id that `reference` names, as for `get`; an exact id is not looked up, unless a source is named too. */
  async resolve(reference: string, options: ResolveOptions = {}): Promise<string> {
    assertReference(reference, options);
    if (isSnapshotId(reference) && options.source === undefined) return reference;
    const { chosen, among } = await this.candidates(reference, options);
    if (chosen !== undefined) return chosen;
    const { newest, ahead } = newestNow(among, this.#clock.now());
    if (newest === undefined) throw new BackupNotFoundError(reference);
    for (const { id, createdAt } of ahead) {
      this.#logger.warn("the time of a snapshot lies in the future: it is not taken for the newest", {
        snapshot: id,
        time: createdAt.toISOString(),
        taken: newest.id,
      });
    }
    return newest.id;
  }

  /**
   * What `reference` may stand for.
   *
   * @throws as `get`.
   */
  async candidates(reference: string, options: ResolveOptions = {}): Promise<Candidates> {
    assertReference(reference, options);
    const found = await this.survey(options.signal);
    const meant = isSnapshotId(reference)
      ? { id: reference }
      : whatIsMeant(reference, found, { ...options, identify: this.#identify }, this.#clock.now());
    if ("among" in meant) {
      for (const { id, error } of meant.unread) {
        this.#logger.warn(`a newer snapshot cannot be read: it may be the newest "${reference}"`, {
          ...{ snapshot: id, taken: meant.among[0]?.id, reason: error.message },
        });
      }
      return { chosen: undefined, among: meant.among };
    }
    const { snapshots } = found;
    const own = snapshots.find(({ id }) => id === meant.id);
    if (
      own &&
      options.source !== undefined &&
      !ofSource(snapshots, options.source, this.#identify).includes(own)
    ) {
      throw new ValidationError(
        `StoredSnapshot ${own.id} is of ${own.parts.map(({ source }) => `${source.uri} (id ${source.id})`).join(", ")}, and not of ${options.source}.`,
      );
    }
    return { chosen: meant.id, among: own ? snapshots.filter((one) => shareSource(one, own)) : [] };
  }

  /**
   * The whole document of a snapshot, every rule of the format checked.
   *
   * @param id an exact id.
   * @throws BackupNotFoundError, CorruptError, UnsupportedError
   */
  async content(id: string, signal?: AbortSignal, known?: Known): Promise<StoredContent> {
    return this.#exactly(id, () => this.#documents.content(id, signal, known ?? {}));
  }

  /** The same, and its bytes. @throws as `content` */
  async document(id: string, signal?: AbortSignal, known: Known = {}): Promise<ReadDocument> {
    return this.#exactly(id, () => this.#documents.whole(id, signal, known));
  }

  /** Reads by an exact id. */
  async #exactly<T>(id: string, read: () => Promise<T>): Promise<T> {
    if (!isSnapshotId(id)) throw new BackupNotFoundError(id);
    try {
      return await read();
    } catch (error) {
      throw isGone(error) ? new BackupNotFoundError(id, undefined, { cause: error }) : error;
    }
  }

  /** A snapshot was written here: a cache may keep its document. @param object of the document */
  keep(id: string, object: Uint8Array): Promise<void> {
    return this.#documents.keep(id, object);
  }

  /** What `resolve` answers with, whole. @throws as `get` */
  async find(reference: string, options: ResolveOptions = {}): Promise<StoredContent> {
    const id = await this.resolve(reference, options);
    const isListed = !isSnapshotId(reference) || options.source !== undefined;
    return this.content(id, options.signal, { isListed });
  }

  /**
   * The newest snapshot of a source that can be read, whole, by the order of `list`; undefined where there is none. What
   * lies in the future comes last.
   *
   * @param most as for `newestFirst`.
   */
  async newestOf(
    source: SourceOrPlace,
    signal?: AbortSignal,
    most?: number,
  ): Promise<StoredContent | undefined> {
    const contents = new Map<string, StoredContent>();
    const readWhole = async (id: string) => {
      const content = await this.content(id, signal, { isListed: true });
      contents.set(id, content);
      return content.snapshot;
    };
    // An id tells of its source: the first that may be its own mostly is, and need not be read twice.
    const readFirst = "id" in source ? readWhole : undefined;
    for await (const { id } of this.#newestFirst(source, signal, most, readFirst)) {
      const content = contents.get(id) ?? (await this.readable(id, signal, { isListed: true }));
      if (content) return content;
    }
    return undefined;
  }

  /** The content of a snapshot; undefined where it cannot be read, with a warning, or is gone. */
  async readable(id: string, signal?: AbortSignal, known?: Known): Promise<StoredContent | undefined> {
    return this.#unlessDamaged(id, () => this.content(id, signal, known));
  }

  /**
   * Snapshots of a source one after the other, in the order of `newestOf`; several are read at a time, ever more of them.
   *
   * @param most among so many of the newest of all sources.
   */
  newestFirst(source: SourceOrPlace, signal?: AbortSignal, most?: number): AsyncGenerator<StoredSnapshot> {
    return this.#newestFirst(source, signal, most);
  }

  /** @param readFirst reads those of the newest second; default: as the others, their summaries. */
  async *#newestFirst(
    source: SourceOrPlace,
    signal?: AbortSignal,
    most = Number.POSITIVE_INFINITY,
    readFirst?: (id: string) => Promise<StoredSnapshot>,
  ): AsyncGenerator<StoredSnapshot> {
    const summary = (id: string) => this.#documents.summary(id, signal);
    const now = this.#clock.now();
    const maybe = (id: string) => !("id" in source) || mayBeOf(id, source.id);
    const { ahead = [], past = [] } = Object.groupBy(
      (await this.ids(signal)).filter(maybe).reverse(),
      (id) => (liesInFuture(timeOf(id), now) ? "ahead" : "past"),
    );
    // Ids tell times to the second.
    const seconds = [...Map.groupBy([...past, ...ahead].slice(0, most), secondOf).values()];
    for (let [from, count] = [0, 1]; from < seconds.length; count = Math.min(count * 2, PARALLEL_READS)) {
      const some = seconds.slice(from, from + count);
      const reads = new Map<string, () => StoredSnapshot>();
      await forEachParallel(some.flat(), PARALLEL_READS, async (id) => {
        const read = from === 0 && readFirst ? readFirst : summary;
        reads.set(id, await read(id).then((snapshot) => () => snapshot, thrower));
      });
      for (const second of some) {
        const found: StoredSnapshot[] = [];
        for (const id of second) {
          const summary = await this.#unlessDamaged(id, async () => reads.get(id)?.());
          if (summary?.parts.some((part) => isOf(part.source, source))) found.push(summary);
        }
        yield* found.sort(newestFirst);
      }
      from += count;
    }
  }

  async #unlessDamaged<T>(id: string, read: () => Promise<T>): Promise<T | undefined> {
    try {
      return await read();
    } catch (error) {
      if (!isDamage(error) && !isGone(error) && !(error instanceof BackupNotFoundError)) throw error;
      this.#logger.warn("a snapshot cannot be read and is passed over", {
        snapshot: id,
        reason: reasonOf(error),
      });
      return undefined;
    }
  }

  /**
   * Removes the document of a snapshot, a damaged one too. Its blobs stay until a prune has found them unneeded, and
   * for the grace period after that.
   *
   * @param id an exact id: no name, and no part of one.
   * @throws BackupNotFoundError. @throws LockedError where it is pinned, or the storage keeps the document from being taken away.
   */
  async delete(id: string): Promise<void> {
    if (typeof id !== "string") throw new TypeError("A snapshot's id must be a string.");
    const named = await this.#blobsOf(id);
    await assertNotLocked(this.#storage, snapshotName(id));
    const place = { storage: this.#storage, logger: this.#logger, documents: this.#codec };
    const pinned = labelsOf(await this.#labels.of(id), { tags: [] })?.pinned;
    if (pinned) refusePinned(id, pinned, this.#storage.location);
    await restartGrace(place, (blob) => named?.has(blob) ?? true, new Date(this.#clock.now()));
    const since = await removeUnlessPinned(place, id);
    if (since) refusePinned(id, since, this.#storage.location);
    await this.#documents.forget(id);
  }

  /** Names of its blobs; undefined where the document is damaged. */
  async #blobsOf(id: string): Promise<ReadonlyMap<string, number> | undefined> {
    try {
      return blobsOfContent(await this.content(id));
    } catch (error) {
      if (isDamage(error)) return undefined;
      throw error;
    }
  }
}

function isOf(source: StoredSnapshot["parts"][number]["source"], wanted: SourceOrPlace): boolean {
  if (!("id" in wanted)) return source.uri === wanted.uri;
  return source.id === wanted.id && (wanted.type ?? source.type) === source.type;
}

function assertReference(reference: string, { source }: SourceWanted): void {
  if (typeof reference !== "string") throw new TypeError("A snapshot is named by a string.");
  if (source !== undefined && typeof source !== "string") {
    throw new TypeError("source must be a string: a database's id, or its directory.");
  }
}

/** Of one document, not of the storage: another can still be read. */
function isDamage(error: unknown): error is BackupError {
  if (error instanceof CorruptError || error instanceof UnsupportedError) return true;
  return isUnreadable(error);
}

function isGone(error: unknown): boolean {
  return isNotFound(error);
}

function thrower(error: unknown): () => never {
  return () => {
    throw error;
  };
}
