import { createHash } from "node:crypto";
import type { BlobStore } from "../blobs/blob-store.ts";
import { blobName } from "../format/names.ts";
import {
  BLOB_BYTES,
  blobsOfContent,
  type Piece,
  piecesOfEntry,
  type StoredContent,
  type StoredEntry,
} from "../snapshot.ts";
import { blobFailure, damagedSource } from "./source-failure.ts";

/** Reads the entries of one snapshot, each held to its SHA-256. A blob that several entries have pieces of is read once. */
export class SourceReader {
  readonly #blobs: BlobStore;
  readonly #content: StoredContent;
  readonly #sizes: ReadonlyMap<string, number>;
  readonly #most: number;
  /** The last ones that were read. */
  readonly #recent = new Map<string, Promise<Buffer>>();

  /** @param most blobs that are kept in memory, of up to 16 MiB each. */
  constructor(blobs: BlobStore, content: StoredContent, most: number) {
    this.#blobs = blobs;
    this.#content = content;
    this.#sizes = blobsOfContent(content);
    this.#most = most;
  }

  /**
   * The content of an entry as it comes. What is wrong with it is told before the last byte was believed: the error
   * comes in place of the end.
   *
   * @throws SourceFailure where it is missing, damaged or cannot be read. @throws IoError
   */
  async *read(entry: StoredEntry, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const hash = createHash("sha256");
    let bytes = 0;
    for (const piece of piecesOfEntry(entry)) {
      for await (const stretch of this.#readPiece(piece, entry, signal)) {
        bytes += stretch.length;
        hash.update(stretch);
        yield stretch;
      }
    }
    if (bytes === entry.size && hash.digest("hex") === entry.sha256) return;
    const [first] = piecesOfEntry(entry);
    const how =
      bytes === entry.size
        ? "is damaged: its content differs from the snapshot"
        : `is damaged: it gives ${bytes} bytes in place of ${entry.size}`;
    throw damagedSource(this.#blobs, first?.blob ?? entry.sha256, this.#content, how);
  }

  async *#readPiece(
    { blob, offset, bytes }: Piece,
    entry: StoredEntry,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Uint8Array> {
    const isStream = !entry.pieces || (this.#sizes.get(blob) ?? 0) > BLOB_BYTES;
    try {
      if (isStream && this.#blobs.codec.name === "plain") {
        yield* this.#blobs.storage.read(blobName(blob), { offset, length: bytes, signal });
      } else {
        const content = entry.pieces
          ? await this.#blob(blob, signal)
          : await this.#blobs.readBlob(blob, signal);
        yield content.subarray(offset, offset + bytes);
      }
    } catch (error) {
      signal?.throwIfAborted();
      throw blobFailure(error, this.#blobs, blob, this.#content);
    }
  }

  #blob(name: string, signal: AbortSignal | undefined): Promise<Buffer> {
    const reading = this.#recent.get(name) ?? this.#blobs.readBlob(name, signal);
    reading.catch(() => undefined); // whoever waits for it is told
    this.#recent.delete(name);
    this.#recent.set(name, reading);
    for (const oldest of this.#recent.keys()) {
      if (this.#recent.size <= this.#most) break;
      this.#recent.delete(oldest);
    }
    return reading;
  }
}
