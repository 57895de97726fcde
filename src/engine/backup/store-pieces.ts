import { createHash } from "node:crypto";
import { CorruptError, isNotFound } from "../../errors.ts";
import { isError, toReadError } from "../../fs/io.ts";
import { readBlocks } from "../../fs/read-blocks.ts";
import { readSmallFile, readSmallFileInto } from "../../fs/read-small-file.ts";
import type { StoredObject } from "../../storage/object-name.ts";
import { digested, digestOf } from "../blobs/blob-codec.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import { type CutOptions, cutContent } from "../cut-content.ts";
import { BLOBS, blobName, parseBlobName } from "../format/names.ts";
import { BLOB_BYTES } from "../snapshot.ts";
import type { Entry } from "../source-contract.ts";
import { Bundle } from "./bundle.ts";
import type { StoredBlobs, StoredFile, StoreRequest } from "./store-locally.ts";

/** Files of less share blobs. */
const SMALL_BYTES = 4 << 20;

/** A file that is cut by content has so many pieces at least, or it shares a blob. */
const LEAST_PIECES = 4;

const PARALLEL_WRITES = 4;

/** Small local files are read in one go up to this size, and so many of them before writes under way have their turn. */
const AT_ONCE_BYTES = 256 * 1024;
const READS_IN_A_ROW = 128;

/** As many names are listed at once where the repository may hold nothing else. */
const ONE_PAGE = 1000;

/**
 * Reads files one after the other, and writes their bytes as blobs, several at a time: large files cut, small ones in
 * bundles, in the order of their paths. Holds six blobs in memory at most.
 */
export async function storePieces(blobs: BlobStore, request: StoreRequest): Promise<StoredBlobs> {
  const run = new PieceRun(blobs, request);
  try {
    return await run.store();
  } catch (error) {
    await run.writesEnded();
    throw error;
  }
}

/** A blob of which all is a piece of a file, and that is in the repository. */
interface WrittenPiece {
  readonly name: string;
  /** Of the plain content. */
  readonly sha256: string;
  readonly bytes: number;
  /** Whether this piece was the first that needed it, and it was not there. */
  readonly isNew: boolean;
}

/** A file that was read, whose pieces may still be on their way. */
interface BegunFile {
  /** Undefined: that of its only piece. */
  readonly sha256: string | undefined;
  readonly size: number;
  readonly writing: readonly Promise<WrittenPiece>[];
}

class PieceRun {
  readonly #blobs: BlobStore;
  readonly #request: StoreRequest;
  readonly #files = new Map<Entry, StoredFile>();
  readonly #sizes = new Map<string, number>();
  /** Of blobs that this run has found or written: whether they are new. */
  readonly #isNew = new Map<string, Promise<boolean>>();
  readonly #byContent = new Map<string, Omit<StoredFile, "isNew">>();
  readonly #ending: Promise<void>[] = [];
  readonly #writing = new Set<Promise<unknown>>();
  readonly #failure: { error?: unknown } = {};
  #there: Promise<(name: string, bytes: number) => Promise<boolean>> | undefined;
  #bundle = new Bundle();
  #storedBytes = 0;
  #readsInARow = 0;

  constructor(blobs: BlobStore, request: StoreRequest) {
    this.#blobs = blobs;
    this.#request = request;
  }

  async store(): Promise<StoredBlobs> {
    for (const entry of this.#request.files.toSorted((a, b) => (a.path < b.path ? -1 : 1))) {
      this.#request.signal?.throwIfAborted();
      await this.#storeUnlessGone(entry);
      if ("error" in this.#failure) throw this.#failure.error;
    }
    await this.#closeBundle();
    await this.writesEnded();
    await Promise.all(this.#ending);
    if ("error" in this.#failure) throw this.#failure.error;
    return { files: this.#files, sizes: this.#sizes, storedBytes: this.#storedBytes };
  }

  /** Waits for the writes under way. */
  async writesEnded(): Promise<void> {
    await Promise.allSettled(this.#writing);
  }

  /** What small files are read into that are too large for one go; the next one is, when a bundle has this one. */
  #memory: Buffer | undefined;

  async #storeUnlessGone(entry: Entry): Promise<void> {
    try {
      const content = await this.#wholeOf(entry);
      if (content) await this.#storeSmall(entry, content);
      else await this.#storeLarge(entry);
    } catch (error) {
      if (!entry.mayVanish || !isNotFound(error)) throw error;
    }
  }

  async #wholeOf(entry: Entry): Promise<Buffer | undefined> {
    const { size, file } = entry;
    if (size === undefined || size >= smallBytes(entry)) return undefined;
    if (!entry.whole && (file === undefined || entry.changesInPlace)) {
      return readWhole(entry, size, this.#request.signal);
    }
    if (!entry.whole && size > AT_ONCE_BYTES) {
      this.#memory ??= Buffer.allocUnsafeSlow(SMALL_BYTES);
      return readInto(this.#memory, entry, file as string, size, this.#request.signal);
    }
    if (++this.#readsInARow % READS_IN_A_ROW === 0) await new Promise((resolve) => setImmediate(resolve));
    return entry.whole ? entry.whole() : readAtOnce(entry, file as string, size);
  }

  async #storeSmall(entry: Entry, content: Buffer): Promise<void> {
    const sha256 = digestOf(content);
    const known = this.#known(sha256, content.length);
    if (known) return this.#done(entry, known);
    if (!this.#bundle.hasRoomFor(sha256, content.length)) await this.#closeBundle();
    this.#bundle.add(entry, sha256, content);
  }

  async #closeBundle(): Promise<void> {
    const bundle = this.#bundle;
    this.#bundle = new Bundle();
    const { files, length, only } = bundle;
    if (files.length === 0) return;
    const { content, sha256: digest } =
      only === undefined ? await digested(bundle.take()) : { content: bundle.take(), sha256: only };
    const name = this.#blobs.codec.nameOf(digest);
    const isAlone = name === only;
    if (!isAlone) this.#sizes.set(name, length);
    const stored = files.map(({ entry, sha256, offset, bytes: size }) => {
      const pieces = isAlone ? undefined : size === 0 ? [] : [{ blob: name, offset, bytes: size }];
      return { entry, file: { sha256, size, pieces } };
    });
    for (const { file } of stored) this.#byContent.set(file.sha256, file);
    const writing = length > 0 || isAlone ? this.#begin(content, digest) : undefined;
    this.#whenEnded(async () => {
      const isNew = (await writing)?.isNew ?? false;
      for (const { entry, file } of stored) this.#done(entry, { ...file, isNew });
    });
    await this.#slot();
  }

  async #storeLarge(entry: Entry): Promise<void> {
    for (;;) {
      const stored = await this.#storeContent(entry);
      if (!stored) return;
      if (entry.settle?.() === "again") continue;
      this.#whenEnded(async () => this.#keep(entry, stored, await Promise.all(stored.writing)));
      return;
    }
  }

  /** Undefined where a write has failed. */
  async #storeContent(entry: Entry): Promise<BegunFile | undefined> {
    const { signal } = this.#request;
    const { codec } = this.#blobs;
    const hash = createHash("sha256");
    const writing: Promise<WrittenPiece>[] = [];
    let [size, isOne] = [0, false];
    const cut = entry.changesInPlace
      ? cutContent(readEntry(entry, signal), { ...sizesOf(entry), seed: codec.gear })
      : blocksOf(entry, signal);
    for await (const content of cut) {
      if (content.length === 0 && codec.epoch > 0) continue; // no piece says as much, and needs no blob
      size += content.length;
      // One piece is hashed once, for itself and for the file, and by another thread; of several the first is.
      const isFirst = writing.length === 0;
      isOne = isFirst && !entry.changesInPlace && content.length < BLOB_BYTES;
      if (!isOne) hash.update(content);
      writing.push(this.#begin(content, isFirst && !isOne ? hash.copy().digest("hex") : undefined));
      await this.#slot();
      if ("error" in this.#failure) return undefined;
    }
    if (entry.size !== undefined && size !== entry.size && !entry.settle) throw changed(entry, size);
    return { size, writing, sha256: isOne ? undefined : hash.digest("hex") };
  }

  #known(sha256: string, size: number): StoredFile | undefined {
    const found = this.#byContent.get(sha256);
    if (found) return { ...found, isNew: false };
    const pieces = this.#request.piecesOf(sha256, size);
    if (!pieces) return undefined;
    const isAlone = pieces.length === 1 && pieces[0]?.blob === sha256;
    return { sha256, size, pieces: isAlone ? undefined : pieces, isNew: false };
  }

  /** What of a large file its pieces tell when they are there. */
  #keep(entry: Entry, begun: BegunFile, written: readonly WrittenPiece[]): void {
    const { size } = begun;
    const sha256 = begun.sha256 ?? (written[0] as WrittenPiece).sha256;
    const pieces = written.map(({ name, bytes }) => ({ blob: name, offset: 0, bytes }));
    const isAlone = pieces.length === 1 && pieces[0]?.blob === sha256;
    if (!isAlone) for (const { blob, bytes } of pieces) this.#sizes.set(blob, bytes);
    const file = { sha256, size, pieces: isAlone ? undefined : pieces };
    this.#byContent.set(sha256, file);
    this.#done(entry, { ...file, isNew: written.some(({ isNew }) => isNew) });
  }

  /** What is to be done when writes under way have ended, unless one has failed. */
  #whenEnded(task: () => Promise<void>): void {
    const ending = task().catch((error: unknown) => this.#fail(error));
    this.#ending.push(ending);
  }

  #fail(error: unknown): void {
    if (!("error" in this.#failure)) this.#failure.error = error;
  }

  #done(entry: Entry, file: StoredFile): void {
    this.#files.set(entry, file);
    this.#request.onStored(entry, file.size);
  }

  /**
   * Has a blob hashed, encoded and written, where it is not there. Of one name only the first is.
   *
   * @param content nobody else's. @param digest of it, where that is known.
   */
  #begin(content: Buffer, digest: string | undefined): Promise<WrittenPiece> {
    const writing = this.#write(content, digest);
    const settled: Promise<unknown> = writing
      .catch((error: unknown) => this.#fail(error))
      .finally(() => this.#writing.delete(settled));
    this.#writing.add(settled);
    return writing;
  }

  async #write(bytes: Buffer, digest: string | undefined): Promise<WrittenPiece> {
    const { length } = bytes;
    const { content, sha256 } =
      digest === undefined ? await digested(bytes) : { content: bytes, sha256: digest };
    const name = this.#blobs.codec.nameOf(sha256);
    const isFirst = !this.#isNew.has(name);
    const writing = this.#isNew.get(name) ?? this.#writeUnlessThere(name, content);
    this.#isNew.set(name, writing);
    const isNew = await writing;
    return { name, sha256, bytes: length, isNew: isFirst && isNew };
  }

  async #writeUnlessThere(name: string, content: Buffer): Promise<boolean> {
    this.#there ??= this.#lookAround();
    const isThere = await this.#there;
    if (await isThere(name, content.length)) return false;
    const stored = await this.#blobs.write(name, content, this.#request.signal);
    this.#storedBytes += stored; // not in one: others are written meanwhile
    return true;
  }

  /** Waits until another blob may be in memory. */
  async #slot(): Promise<void> {
    while (this.#writing.size >= PARALLEL_WRITES) await Promise.race(this.#writing);
  }

  /**
   * A repository that holds little is listed once; in another one each name is asked for. What has not the size is
   * written again.
   */
  async #lookAround(): Promise<(name: string, bytes: number) => Promise<boolean>> {
    const { storage } = this.#blobs;
    const found = new Map<string, StoredObject>();
    let isAll = true;
    for await (const object of storage.list(BLOBS)) {
      const blob = parseBlobName(object.name);
      if (blob !== undefined) found.set(blob, object);
      if (found.size < ONE_PAGE) continue;
      isAll = false;
      break;
    }
    if (isAll) return async (name, bytes) => this.#blobs.fits(found.get(name), bytes);
    return async (name, bytes) => this.#blobs.fits(await storage.stat(blobName(name)), bytes);
  }
}

async function readWhole(entry: Entry, size: number, signal: AbortSignal | undefined): Promise<Buffer> {
  const stretches: Uint8Array[] = [];
  let bytes = 0;
  for await (const stretch of readEntry(entry, signal)) {
    bytes += stretch.length;
    if (bytes > size) throw changed(entry, bytes);
    stretches.push(stretch);
  }
  if (bytes !== size) throw changed(entry, bytes);
  return stretches.length === 1 && Buffer.isBuffer(stretches[0])
    ? stretches[0]
    : Buffer.concat(stretches, bytes);
}

async function readInto(
  memory: Buffer,
  entry: Entry,
  file: string,
  size: number,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  let content: Buffer;
  try {
    content = await readSmallFileInto(memory, file, size, signal);
  } catch (error) {
    signal?.throwIfAborted();
    throw toReadError(error, file);
  }
  if (content.length !== size) throw changed(entry, content.length);
  return content;
}

function readAtOnce(entry: Entry, file: string, size: number): Buffer {
  let content: Buffer;
  try {
    content = readSmallFile(file, size);
  } catch (error) {
    throw toReadError(error, file);
  }
  if (content.length !== size) throw changed(entry, content.length);
  return content;
}

function smallBytes({ changesInPlace, pieceBytes }: Entry): number {
  return changesInPlace && pieceBytes !== undefined
    ? Math.min(SMALL_BYTES, LEAST_PIECES * pieceBytes)
    : SMALL_BYTES;
}

function sizesOf({ pieceBytes: normal }: Entry): CutOptions {
  return normal === undefined ? {} : { normal, min: normal / 2, max: normal * 8 };
}

/** The content in blocks of the size of a blob; each is memory of its own. */
async function* blocksOf(entry: Entry, signal: AbortSignal | undefined): AsyncGenerator<Buffer> {
  const { file, size } = entry;
  if (file !== undefined) {
    yield* asRead(entry, readBlocks(file, { blockBytes: BLOB_BYTES, signal }), signal);
    return;
  }
  let block = Buffer.allocUnsafeSlow(Math.min(BLOB_BYTES, Math.max(size ?? BLOB_BYTES, 1)));
  let length = 0;
  for await (const stretch of readEntry(entry, signal)) {
    for (let from = 0; from < stretch.length; ) {
      if (length === block.length) {
        yield block;
        block = Buffer.allocUnsafeSlow(BLOB_BYTES);
        length = 0;
      }
      const count = Math.min(block.length - length, stretch.length - from);
      block.set(stretch.subarray(from, from + count), length);
      length += count;
      from += count;
    }
  }
  yield block.subarray(0, length);
}

function readEntry(entry: Entry, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  return asRead(entry, entry.open({ signal }), signal);
}

/** With errors that say what was read. */
async function* asRead<Bytes extends Uint8Array>(
  entry: Entry,
  content: AsyncIterable<Bytes>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Bytes> {
  try {
    yield* content;
  } catch (error) {
    signal?.throwIfAborted();
    throw isError(error) && "code" in error ? toReadError(error, entry.file ?? entry.path) : error;
  }
}

function changed(entry: Entry, bytes: number): CorruptError {
  const place = entry.file ?? entry.path;
  return new CorruptError(
    `${place} had ${entry.size} bytes when it was captured, and ${bytes} when it was read. It must not change while it is backed up: find out which program changes it.`,
    { path: place },
  );
}
