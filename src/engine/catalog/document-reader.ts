import { CorruptError, UnsupportedError } from "../../errors.ts";
import type { Storage } from "../../storage/storage.ts";
import { type DocumentCodec, PLAIN_DOCUMENTS } from "../codec/document-codec.ts";
import { Documents } from "../documents.ts";
import { decodeSummary, readSnapshot } from "../format/decode-snapshot.ts";
import { snapshotName } from "../format/names.ts";
import { SNAPSHOT_DOCUMENTS } from "../format/snapshot-document.ts";
import { readRange } from "../read-small.ts";
import type { StoredContent, StoredSnapshot } from "../snapshot.ts";
import { loadKindsIn } from "../source-kind.ts";

/** What is kept of a document: its first line, or all of it. */
export type Kept = "summary" | "document";

/**
 * Where the documents of one repository are kept besides, nearer than its storage. They never change, so that it needs to
 * know nothing but their ids. It never fails: what it cannot keep, or has lost, is read from the storage.
 */
export interface DocumentCache {
  /** Of an object that it keeps; what is larger is not kept. */
  readonly mostBytes: number;
  /** The bytes that were kept; undefined where there are none, or not those. */
  get(id: string, what: Kept): Promise<Buffer | undefined>;
  put(id: string, what: Kept, bytes: Uint8Array): Promise<void>;
  /** The snapshot is no more. */
  drop(id: string): Promise<void>;
}

/** What the caller knows of a document. */
export interface Known {
  /** Whether it was just listed; where it was not, a cache may answer only when the storage has said that it is there. */
  readonly isListed?: boolean | undefined;
}

export interface ReadDocument {
  /** Of the document, not of its object. */
  readonly bytes: Buffer;
  readonly content: StoredContent;
}

type Pieces = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** The pieces of an object, which are held while they are read: all, or where they are more than so many bytes, none. */
class Held {
  readonly #source: AsyncIterable<Uint8Array>;
  readonly #most: number;
  #held: Uint8Array[] = [];
  #bytes = 0;

  constructor(source: AsyncIterable<Uint8Array>, most: number) {
    this.#source = source;
    this.#most = most;
  }

  async *pieces(): AsyncGenerator<Uint8Array> {
    for await (const piece of this.#source) {
      this.#bytes += piece.length;
      if (this.#bytes <= this.#most) this.#held.push(piece);
      else this.#held = [];
      yield piece;
    }
  }

  /** When all was read; undefined where it is larger. */
  object(): Buffer | undefined {
    return this.#bytes <= this.#most ? Buffer.concat(this.#held, this.#bytes) : undefined;
  }
}

/** Reads the documents of snapshots, from the cache where they are known to be in the storage, else from there. */
export class DocumentReader {
  readonly #storage: Storage;
  readonly #cache: DocumentCache | undefined;
  readonly #codec: DocumentCodec;
  readonly #documents: Documents<string, StoredContent, Buffer>;

  constructor(storage: Storage, cache?: DocumentCache, codec = PLAIN_DOCUMENTS) {
    this.#storage = storage;
    this.#cache = cache;
    this.#codec = codec;
    this.#documents = new Documents(SNAPSHOT_DOCUMENTS, storage, codec);
  }

  /**
   * The summary of a snapshot that was just listed, by the first line of its document. Its checksum is not looked at.
   *
   * @throws CorruptError, UnsupportedError. @throws NotFoundError where there is no such document.
   */
  async summary(id: string, signal?: AbortSignal): Promise<StoredSnapshot> {
    const place = this.#placeOf(id);
    return this.#cached(
      id,
      "summary",
      async (bytes) => {
        const line = (await this.#codec.firstLine(bytes, id, place)).toString("utf8");
        await loadKindsIn(line);
        return decodeSummary(line, id, place);
      },
      () => this.#codec.readBeginning(readRange(this.#storage, snapshotName(id), signal), id, place),
    );
  }

  /** A whole document, every rule of the format checked. @throws as `summary` */
  async whole(id: string, signal: AbortSignal | undefined, known: Known): Promise<ReadDocument> {
    const read = () => this.#documents.object(id, signal);
    const decode = async (object: Buffer) => {
      const bytes = await this.#codec.open(object, id, this.#placeOf(id));
      return { bytes, content: await readSnapshot([bytes], { id, place: this.#placeOf(id) }) };
    };
    const isThere = known.isListed || (this.#cache && (await this.#storage.stat(snapshotName(id))));
    return isThere ? this.#cached(id, "document", decode, read) : decode(await read());
  }

  /** A snapshot was written: who takes the next one begins with it. @param object of the document */
  async keep(id: string, object: Uint8Array): Promise<void> {
    await this.#cache?.put(id, "document", object);
  }

  /** What a document says. A long one is never in memory as a whole, unless a cache keeps its object. @throws as `whole` */
  async content(id: string, signal: AbortSignal | undefined, known: Known): Promise<StoredContent> {
    const place = this.#placeOf(id);
    const decode = async (object: Pieces) =>
      readSnapshot(this.#codec.pieces(object, id, place), { id, place });
    const isThere = this.#cache && (known.isListed || (await this.#storage.stat(snapshotName(id))));
    const kept = isThere ? await this.#kept(id, "document", (object) => decode([object])) : undefined;
    if (kept) return kept.value;
    const held = new Held(this.#storage.read(snapshotName(id), { signal }), this.#cache?.mostBytes ?? 0);
    const content = await decode(held.pieces());
    const object = held.object();
    if (object) await this.#cache?.put(id, "document", object);
    return content;
  }

  /** The snapshot was deleted. */
  async forget(id: string): Promise<void> {
    await this.#cache?.drop(id);
  }

  /** What is kept is what the storage has: of an encrypted repository nothing can be read in a cache. */
  async #cached<T>(
    id: string,
    what: Kept,
    decode: (bytes: Buffer) => Promise<T>,
    read: () => Promise<Buffer>,
  ): Promise<T> {
    const kept = await this.#kept(id, what, decode);
    if (kept) return kept.value;
    const bytes = await read();
    const value = await decode(bytes);
    await this.#cache?.put(id, what, bytes);
    return value;
  }

  async #kept<T>(
    id: string,
    what: Kept,
    decode: (bytes: Buffer) => Promise<T>,
  ): Promise<{ value: T } | undefined> {
    const kept = await this.#cache?.get(id, what);
    if (!kept) return undefined;
    try {
      return { value: await decode(kept) };
    } catch (error) {
      // What was kept is not what is wanted: the storage has it.
      if (!(error instanceof CorruptError || error instanceof UnsupportedError)) throw error;
      return undefined;
    }
  }

  #placeOf(id: string): string {
    return this.#documents.placeOf(id);
  }
}
