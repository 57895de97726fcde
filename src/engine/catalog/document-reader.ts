import { CorruptError, UnsupportedError } from "../../errors.ts";
import type { Storage } from "../../storage/storage.ts";
import { decodeSnapshot, decodeSummary } from "../format/decode-snapshot.ts";
import { snapshotName } from "../format/names.ts";
import { MOST_DOCUMENT_BYTES, readSmall } from "../read-small.ts";
import type { StoredContent, StoredSnapshot } from "../snapshot.ts";
import { loadKindsIn } from "../source-kind.ts";

/** What is kept of a document: its first line, or all of it. */
export type Kept = "summary" | "document";

/**
 * Where the documents of one repository are kept besides, nearer than its storage. They never change, so that it needs to
 * know nothing but their ids. It never fails: what it cannot keep, or has lost, is read from the storage.
 */
export interface DocumentCache {
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
  readonly bytes: Buffer;
  readonly content: StoredContent;
}

/** Most summaries fit; where one does not, the next read takes twice as much. */
const FIRST_READ_BYTES = 16 * 1024;
/** A first line of more is none: some 100,000 tables. */
const LONGEST_LINE_BYTES = 64 * 1024 * 1024;
const NEWLINE = 0x0a;

/** Reads the documents of snapshots, from the cache where they are known to be in the storage, else from there. */
export class DocumentReader {
  readonly #storage: Storage;
  readonly #cache: DocumentCache | undefined;

  constructor(storage: Storage, cache?: DocumentCache) {
    this.#storage = storage;
    this.#cache = cache;
  }

  /**
   * The summary of a snapshot that was just listed, by the first line of its document. Its checksum is not looked at.
   *
   * @throws CorruptError, UnsupportedError. @throws NotFoundError where there is no such document.
   */
  async summary(id: string, signal?: AbortSignal): Promise<StoredSnapshot> {
    return this.#cached(
      id,
      "summary",
      async (bytes) => {
        const line = bytes.toString("utf8");
        await loadKindsIn(line);
        return decodeSummary(line, id, this.#placeOf(id));
      },
      () => this.#firstLine(id, signal),
    ).then(({ value }) => value);
  }

  /** A whole document, every rule of the format checked. @throws as `summary` */
  async whole(id: string, signal: AbortSignal | undefined, known: Known): Promise<ReadDocument> {
    const read = () => readSmall(this.#storage, snapshotName(id), signal, MOST_DOCUMENT_BYTES);
    const decode = async (bytes: Buffer) => {
      await loadKindsIn(bytes.toString("utf8", 0, Math.max(0, bytes.indexOf(NEWLINE))));
      return decodeSnapshot(bytes, id, this.#placeOf(id));
    };
    const isThere = known.isListed || (this.#cache && (await this.#storage.stat(snapshotName(id))));
    if (!isThere) {
      const bytes = await read();
      return { bytes, content: await decode(bytes) };
    }
    const { bytes, value: content } = await this.#cached(id, "document", decode, read);
    return { bytes, content };
  }

  /** The snapshot was deleted. */
  async forget(id: string): Promise<void> {
    await this.#cache?.drop(id);
  }

  async #cached<T>(
    id: string,
    what: Kept,
    decode: (bytes: Buffer) => Promise<T>,
    read: () => Promise<Buffer>,
  ): Promise<{ readonly bytes: Buffer; readonly value: T }> {
    const kept = await this.#cache?.get(id, what);
    if (kept) {
      try {
        return { bytes: kept, value: await decode(kept) };
      } catch (error) {
        // What was kept is not what is wanted: the storage has it.
        if (!(error instanceof CorruptError || error instanceof UnsupportedError)) throw error;
      }
    }
    const bytes = await read();
    const value = await decode(bytes);
    await this.#cache?.put(id, what, bytes);
    return { bytes, value };
  }

  async #firstLine(id: string, signal: AbortSignal | undefined): Promise<Buffer> {
    const name = snapshotName(id);
    const pieces: Uint8Array[] = [];
    let offset = 0;
    for (let length = FIRST_READ_BYTES; offset < LONGEST_LINE_BYTES; length *= 2) {
      const before = offset;
      for await (const piece of this.#storage.read(name, { offset, length, signal })) {
        const end = piece.indexOf(NEWLINE);
        pieces.push(end < 0 ? piece : piece.subarray(0, end));
        offset += piece.length;
        if (end >= 0) return Buffer.concat(pieces);
      }
      if (offset === before) break;
    }
    const place = this.#placeOf(id);
    throw new CorruptError(`The snapshot document ${place} is damaged: it has no whole first line.`, {
      path: place,
    });
  }

  #placeOf(id: string): string {
    return `${this.#storage.location}/${snapshotName(id)}`;
  }
}
