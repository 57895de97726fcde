import { createHash, type Hash } from "node:crypto";
import { CorruptError, isNotFound } from "../../errors.ts";
import { isError, toReadError } from "../../fs/io.ts";
import { readBlocks } from "../../fs/read-blocks.ts";
import type { StoredObject } from "../../storage/storage.ts";
import { freeMemory } from "../../util/free-memory.ts";
import { digestOf } from "../blobs/blob-codec.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import { type CutOptions, cutContent } from "../cut-content.ts";
import { BLOBS, blobName, parseBlobName } from "../format/names.ts";
import { BLOB_BYTES, type Piece } from "../snapshot.ts";
import type { Entry } from "../source-contract.ts";
import type { StoredBlobs, StoredFile, StoreRequest } from "./write-blobs.ts";

/** Files of less share blobs. */
const SMALL_BYTES = 4 << 20;

/** A file that is cut by content has so many pieces at least, or it shares a blob. */
const LEAST_PIECES = 4;

const PARALLEL_WRITES = 4;

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
    await run.settle();
    throw error;
  }
}

/** Small files that lie behind one another in one blob. */
interface Bundle {
  readonly contents: Buffer[];
  readonly files: SmallFile[];
  readonly byContent: Map<string, SmallFile>;
  bytes: number;
}

interface SmallFile {
  readonly entry: Entry;
  readonly sha256: string;
  readonly offset: number;
  readonly bytes: number;
}

function newBundle(): Bundle {
  return { contents: [], files: [], byContent: new Map(), bytes: 0 };
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
  #there: ((name: string, bytes: number) => Promise<boolean>) | undefined;
  #bundle = newBundle();
  #storedBytes = 0;

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
    await this.settle();
    if ("error" in this.#failure) throw this.#failure.error;
    await Promise.all(this.#ending);
    return { files: this.#files, sizes: this.#sizes, storedBytes: this.#storedBytes };
  }

  /** Waits for the writes under way. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#writing);
  }

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
    if (entry.size === undefined || entry.size >= smallBytes(entry)) return undefined;
    return entry.whole ? entry.whole() : readWhole(entry, entry.size, this.#request.signal);
  }

  async #storeSmall(entry: Entry, content: Buffer): Promise<void> {
    const sha256 = digestOf(content);
    const bytes = content.length;
    const known = this.#known(sha256, bytes);
    if (known) return this.#done(entry, known);
    const twin = this.#bundle.byContent.get(sha256);
    if (twin) {
      this.#bundle.files.push({ ...twin, entry });
      return;
    }
    if (this.#bundle.bytes + bytes > BLOB_BYTES) await this.#closeBundle();
    const bundle = this.#bundle;
    const file = { entry, sha256, offset: bundle.bytes, bytes };
    bundle.files.push(file);
    bundle.byContent.set(sha256, file);
    bundle.contents.push(content);
    bundle.bytes += bytes;
  }

  async #closeBundle(): Promise<void> {
    const { contents, files, bytes } = this.#bundle;
    this.#bundle = newBundle();
    if (files.length === 0) return;
    const content = contents.length === 1 ? (contents[0] as Buffer) : Buffer.concat(contents, bytes);
    const digest = digestOf(content);
    const name = this.#blobs.codec.nameOf(digest);
    const isAlone = name === digest && files.every((file) => file.sha256 === name);
    if (!isAlone) this.#sizes.set(name, bytes);
    const stored = files.map(({ entry, sha256, offset, bytes: size }) => {
      const pieces = isAlone ? undefined : size === 0 ? [] : [{ blob: name, offset, bytes: size }];
      return { entry, file: { sha256, size, pieces } };
    });
    this.#keep(stored, bytes > 0 || isAlone ? [this.#write(name, content)] : []);
    await this.#slot();
  }

  async #storeLarge(entry: Entry): Promise<void> {
    for (;;) {
      const stored = await this.#storeContent(entry);
      if (!stored) return;
      if (entry.settle?.() === "again") continue;
      const { file, pieces, news } = stored;
      if (file.pieces) for (const { blob, bytes } of pieces) this.#sizes.set(blob, bytes);
      this.#keep([{ entry, file }], news);
      return;
    }
  }

  /** Undefined where a write has failed. */
  async #storeContent(entry: Entry) {
    const hash = createHash("sha256");
    const { codec } = this.#blobs;
    const pieces: Piece[] = [];
    const news: Promise<boolean>[] = [];
    let size = 0;
    const cut = entry.changesInPlace
      ? cutContent(hashed(readEntry(entry, this.#request.signal), hash), {
          ...sizesOf(entry),
          seed: codec.gear,
        })
      : hashed(blocksOf(entry, this.#request.signal), hash);
    const isOwn = !entry.changesInPlace; // pieces that were cut by content may share memory
    for await (const content of cut) {
      if (content.length === 0 && codec.epoch > 0) continue; // no piece says as much, and needs no blob
      const name = codec.nameOf(digestOf(content));
      pieces.push({ blob: name, offset: 0, bytes: content.length });
      size += content.length;
      news.push(this.#write(name, content, isOwn));
      await this.#slot();
      if ("error" in this.#failure) return undefined;
    }
    if (entry.size !== undefined && size !== entry.size && !entry.settle) throw changed(entry, size);
    const sha256 = hash.digest("hex");
    const isAlone = pieces.length === 1 && pieces[0]?.blob === sha256;
    return { file: { sha256, size, pieces: isAlone ? undefined : pieces }, pieces, news };
  }

  #known(sha256: string, size: number): StoredFile | undefined {
    const found = this.#byContent.get(sha256);
    if (found) return { ...found, isNew: false };
    const pieces = this.#request.piecesOf(sha256, size);
    if (!pieces) return undefined;
    const isAlone = pieces.length === 1 && pieces[0]?.blob === sha256;
    return { sha256, size, pieces: isAlone ? undefined : pieces, isNew: false };
  }

  /** Files whose content can be used again from now on, and is in the repository when these writes have ended. */
  #keep(
    stored: readonly { readonly entry: Entry; readonly file: Omit<StoredFile, "isNew"> }[],
    writes: readonly Promise<boolean>[],
  ): void {
    for (const { file } of stored) this.#byContent.set(file.sha256, file);
    const done = Promise.all(writes).then((news) => {
      for (const { entry, file } of stored) this.#done(entry, { ...file, isNew: news.includes(true) });
    });
    this.#ending.push(done);
  }

  #done(entry: Entry, file: StoredFile): void {
    this.#files.set(entry, file);
    this.#request.onStored(entry, file.size);
  }

  /** Whether it was new. Of one name only the first is written. @param isOwn the content's memory is nobody else's */
  #write(name: string, content: Buffer, isOwn = false): Promise<boolean> {
    const before = this.#isNew.get(name);
    if (before) return Promise.resolve(false);
    const writing = this.#writeUnlessThere(name, content, isOwn).catch((error: unknown) => {
      if (!("error" in this.#failure)) this.#failure.error = error;
      return false;
    });
    this.#isNew.set(name, writing);
    this.#writing.add(writing);
    void writing.finally(() => this.#writing.delete(writing));
    return writing;
  }

  async #writeUnlessThere(name: string, content: Buffer, isOwn: boolean): Promise<boolean> {
    this.#there ??= await this.#lookAround();
    if (await this.#there(name, content.length)) return false;
    const stored = await this.#blobs.write(name, content, {
      signal: this.#request.signal,
      onEncoded: isOwn ? () => freeMemory(content) : undefined,
    });
    this.#storedBytes += stored;
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

async function* hashed<Bytes extends Uint8Array>(
  content: AsyncIterable<Bytes>,
  hash: Hash,
): AsyncGenerator<Bytes> {
  for await (const stretch of content) {
    hash.update(stretch);
    yield stretch;
  }
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
    `${place} had ${entry.size} bytes when it was captured, and ${bytes} when it was read. Nobody is to change it: who does?`,
    { path: place },
  );
}
