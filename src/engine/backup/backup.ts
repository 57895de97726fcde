import { randomBytes } from "node:crypto";
import { IoError, LockedError, ValidationError } from "../../errors.ts";
import { assertRoot, holding } from "../../fs/held-root.ts";
import { placeWithin } from "../../fs/real-path.ts";
import { assertNotShrunk, inWords, type ShrunkTable, shrunkTables } from "../../lance/shrunk-tables.ts";
import type { Logger } from "../../logger.ts";
import type { Storage } from "../../storage/storage.ts";
import type { Clock } from "../clock.ts";
import { encodeSnapshot } from "../format/encode-snapshot.ts";
import { blobName, newSnapshotId, snapshotName } from "../format/names.ts";
import { acquireLease } from "../lease/acquire.ts";
import type { Lease } from "../lease/lease.ts";
import { forEachParallel } from "../parallel.ts";
import { LastTold, tellsOf } from "../retention/falls.ts";
import type { Snapshot, SnapshotContent, SnapshotDetails, TakenSnapshot } from "../snapshot.ts";
import type { Capture, CapturedFile, Source } from "../source.ts";
import { assertNameable } from "./assert-nameable.ts";
import { assertTables } from "./assert-tables.ts";
import { assertUnchanged } from "./assert-unchanged.ts";
import { composeSnapshot, filesOf } from "./compose-snapshot.ts";
import { assertBackupOptions, type BackupOptions } from "./options.ts";
import { type BackupPlan, knownTables, planBackup } from "./plan.ts";
import { type StoredFile, writeBlobs } from "./write-blobs.ts";

export interface BackupContext {
  readonly storage: Storage;
  readonly logger: Logger;
  /** The newest snapshot of a source, whole; undefined where there is none that can be read. */
  previous(source: { readonly id: string }): Promise<SnapshotContent | undefined>;
  /** The snapshots of a source, the newest first, among so many of the newest of all. */
  newestFirst?(source: { readonly id: string }, most: number): AsyncIterable<Snapshot>;
  /** The newest snapshot of whatever database had this path. */
  previousAt?(uri: string): Promise<SnapshotContent | undefined>;
  /** The source at a path or an address. */
  openSource(location: string, id: string | undefined): Promise<Source>;
  /** @internal The leases' clock, for tests. */
  readonly clock?: Clock | undefined;
}

/** Files that vanish while they are read were not held: the database is read-only here, and written from elsewhere. */
const MOST_CAPTURES = 10;
const PARALLEL_LOOKS = 32;
/** As many of the newest snapshots are looked at for what tables had before: one that no backup has had costs no more. */
const MOST_LOOKED_AT = 1000;
const DEFAULT_TIMEOUT_MS = 30_000;

/** Takes a snapshot (docs/formats.md, *Writing a snapshot*). Interrupted anywhere, it leaves none. */
export async function backup(context: BackupContext, options: BackupOptions): Promise<TakenSnapshot> {
  assertBackupOptions(options);
  options.signal?.throwIfAborted();
  const source =
    typeof options.source === "string"
      ? await context.openSource(options.source, options.sourceId)
      : options.source;
  assertApart(source, context.storage);
  const roots = source.root === undefined ? [] : [{ path: source.root, what: "database" }];
  return holding(roots, () => backupSource(context, options, source));
}

/** A repository in its database is lost with it; a database in a repository is none of its objects. */
function assertApart({ uri }: Source, { directory }: Storage): void {
  if (directory === undefined || placeWithin(directory, uri) === "") return; // it has no table, which is told
  if (placeWithin(directory, uri) !== undefined)
    throw new ValidationError(
      `The repository ${directory} lies in the database ${uri}; it would be lost with it.`,
    );
  if (placeWithin(uri, directory) !== undefined)
    throw new ValidationError(`The database ${uri} lies in the repository ${directory}.`);
}

async function backupSource(
  context: BackupContext,
  options: BackupOptions,
  source: Source,
): Promise<TakenSnapshot> {
  const previous = await context.previous(source);
  const distrusted = new Set<string>();
  const { signal, lockTimeoutMs: timeoutMs = DEFAULT_TIMEOUT_MS } = options;
  for (let attempt = 1; ; attempt++) {
    await using lease = await acquireLease(context.storage, "shared", {
      signal,
      timeoutMs,
      logger: context.logger,
      clock: context.clock,
    });
    try {
      return await new BackupRun(context, options, source, previous, distrusted, lease).run();
    } catch (error) {
      const vanished = error instanceof IoError && error.errno === "ENOENT";
      const again = vanished || (error instanceof LockedError && !lease.isHeld);
      if (!again || attempt === MOST_CAPTURES) throw error;
    }
  }
}

class BackupRun {
  readonly #started = performance.now();
  readonly #context: BackupContext;
  readonly #options: BackupOptions;
  readonly #source: Source;
  readonly #previous: SnapshotContent | undefined;
  readonly #distrusted: Set<string>;
  readonly #lease: Lease;

  constructor(
    context: BackupContext,
    options: BackupOptions,
    source: Source,
    previous: SnapshotContent | undefined,
    distrusted: Set<string>,
    lease: Lease,
  ) {
    this.#context = context;
    this.#options = options;
    this.#source = source;
    this.#previous = previous;
    this.#distrusted = distrusted;
    this.#lease = lease;
  }

  async run(): Promise<TakenSnapshot> {
    const { tables, history = "all", allowEmpty, lockTimeoutMs, signal } = this.#options;
    const { exclude, onUnsupported } = this.#options;
    const known = this.#previous?.snapshot.history === history ? knownTables(this.#previous) : undefined;
    await using capture = await this.#source.capture({
      ...{ tables, exclude, onUnsupported, history, known, lockTimeoutMs, signal },
    });
    assertTables(capture, this.#source, allowEmpty);
    if (capture.stubs && capture.stubs.length > 0) {
      const message = "names that LanceDB lists as tables hold none, and are not in the snapshot";
      this.#context.logger.warn(message, { names: capture.stubs });
    }
    assertNameable(capture.tables, this.#source.uri);
    for (const directory of capture.strays ?? []) {
      this.#context.logger.warn("a copy of a table's directory is not in the snapshot", { directory });
    }
    const shrunk = await this.#lookForShrunk(capture);
    const plan = planBackup(capture.tables, this.#previous, this.#distrusted);
    const stored = await this.#read(plan.toRead);
    // One that was copied to another disk is another database; that its files came there whole can be told all the same.
    const before = this.#previous ?? (await this.#context.previousAt?.(this.#source.uri));
    assertUnchanged(capture.tables, before, stored);
    await this.#lease.assertHeld();
    await this.#assertThere(plan, stored);
    const taken = await this.#publish(capture, plan, stored);
    return shrunk.length === 0 ? taken : { ...taken, shrunk };
  }

  /** Tells of tables that are gone, or have far fewer rows than in the newest snapshot that tells of them. */
  async #lookForShrunk({ tables, leftOut }: Capture): Promise<readonly ShrunkTable[]> {
    const { failOnShrink = false, tables: selection, onProgress } = this.#options;
    const told = await this.#lastTold(leftOut);
    const wanted = [...told].filter(([id]) => tellsOf({ selection, leftOut }, id));
    const there = new Map(wanted.sort(([a], [b]) => (a < b ? -1 : 1)));
    const before = new Map(
      [...there].map(([id, snapshot]) => [id, snapshot.tables.find((one) => one.id === id)?.rows ?? 0]),
    );
    const now = new Map(tables.map(({ id, versions }) => [id, versions.at(-1)?.rows ?? 0]));
    const comparedWith = (fallen: readonly ShrunkTable[]) =>
      [...new Set(fallen.map(({ table }) => `snapshot ${there.get(table)?.id}`))].join(", ");
    assertNotShrunk(before, now, failOnShrink, comparedWith);
    const shrunk = shrunkTables(before, now);
    if (shrunk.length === 0) return shrunk;
    this.#context.logger.warn("tables are gone, or have far fewer rows than in the snapshot before", {
      tables: inWords(shrunk),
      before: comparedWith(shrunk),
    });
    const bytes = tables.flatMap(({ files }) => files).reduce((sum, { size }) => sum + size, 0);
    const files = tables.reduce((sum, table) => sum + table.files.length, 0);
    onProgress?.({ phase: "capture", files, bytes, totalFiles: files, totalBytes: bytes, shrunk });
    return shrunk;
  }

  /** Of each table the newest snapshot that tells of it: backups may be of some tables alone, or leave some out. */
  async #lastTold(leftOut: Capture["leftOut"] = []): Promise<ReadonlyMap<string, Snapshot>> {
    const told = new LastTold();
    const unwanted = new Set(leftOut.map(({ table }) => table));
    const isDone = () => told.isDone(this.#options.tables, unwanted);
    if (!this.#previous) return told.there;
    const { id: newest } = this.#previous.snapshot;
    told.add(this.#previous.snapshot);
    if (isDone() || !this.#context.newestFirst) return told.there;
    for await (const snapshot of this.#context.newestFirst(this.#source, MOST_LOOKED_AT)) {
      if (snapshot.id !== newest) told.add(snapshot);
      if (isDone()) break;
    }
    return told.there;
  }

  async #read(files: readonly CapturedFile[]): Promise<ReadonlyMap<CapturedFile, StoredFile>> {
    const { signal, onProgress } = this.#options;
    const sizes = files.length > 0 ? await this.#sizesThere() : new Set<number>();
    const totalBytes = files.reduce((sum, file) => sum + file.size, 0);
    let [done, bytes] = [0, 0];
    return writeBlobs({
      storage: this.#context.storage,
      files,
      maybeThere: (file) => sizes.has(file.size),
      signal,
      onStored: (file) => {
        done++;
        bytes += file.size;
        onProgress?.({ phase: "read", files: done, bytes, totalFiles: files.length, totalBytes });
      },
    });
  }

  /** Sizes of blobs that there are: a file of another size cannot be among them. */
  async #sizesThere(): Promise<Set<number>> {
    const sizes = new Set<number>();
    if (this.#previous) {
      for (const files of this.#previous.files.values()) for (const file of files) sizes.add(file.size);
    } else {
      for await (const blob of this.#context.storage.list("blobs/")) sizes.add(blob.size);
    }
    return sizes;
  }

  /** Blobs that were found rather than written may have been removed since: then everything is looked at anew. */
  async #assertThere(plan: BackupPlan, stored: ReadonlyMap<CapturedFile, StoredFile>): Promise<void> {
    const found = new Map(plan.known);
    for (const [file, { sha256, isNew }] of stored) if (!isNew) found.set(sha256, file.size);
    await this.#assertBlobs(found);
  }

  /** @throws IoError with `errno` `ENOENT`, upon which all is captured anew, and these are written. */
  async #assertBlobs(blobs: ReadonlyMap<string, number>): Promise<void> {
    const { storage, logger } = this.#context;
    let missing = 0;
    await forEachParallel(blobs, PARALLEL_LOOKS, async ([sha256, size]) => {
      if ((await storage.stat(blobName(sha256)))?.size === size) return;
      this.#distrusted.add(sha256);
      missing++;
    });
    if (missing === 0) return;
    logger.warn("blobs of the snapshot before are missing or cut short; they are written again", { missing });
    throw new IoError(`${missing} blobs in ${storage.location} are missing.`, {
      path: storage.location,
      errno: "ENOENT",
    });
  }

  /** Creates the document. A lease that was lost on the way may have let somebody remove blobs: then all are looked at. */
  async #publish(
    capture: Capture,
    plan: BackupPlan,
    stored: ReadonlyMap<CapturedFile, StoredFile>,
  ): Promise<SnapshotDetails> {
    const { storage } = this.#context;
    const { type, uri } = this.#source;
    const source = { type, id: (await this.#source.keepId?.()) ?? this.#source.id, uri };
    if (this.#source.isIdDerived) {
      this.#context.logger.warn(
        "nothing can be written in the database: its id is derived from its path, and every database with that path has the same; sourceId (--source-id) gives it one",
        { database: uri, id: source.id },
      );
    }
    const composed = composeSnapshot(source, this.#options, capture, stored);
    const files = filesOf(capture, plan, stored);
    this.#options.signal?.throwIfAborted();
    for (const root of [this.#source.uri, storage.directory]) if (root !== undefined) assertRoot(root);
    for (;;) {
      const id = newSnapshotId(composed.createdAt, randomBytes(4).toString("hex"));
      const snapshot = { id, ...composed, durationMs: Math.round(performance.now() - this.#started) };
      const { bytes, checksum } = encodeSnapshot(snapshot, files);
      if (!(await storage.writeNew(snapshotName(id), bytes))) continue;
      if (!this.#lease.isHeld) {
        const blobs = [...files.values()].flat().map(({ sha256, size }): [string, number] => [sha256, size]);
        await this.#assertBlobs(new Map(blobs)).catch(async (error: unknown) => {
          await storage.remove(snapshotName(id));
          throw error;
        });
      }
      return { ...snapshot, checksum };
    }
  }
}
