import { CorruptError, isNotFound, UnsupportedError } from "../../errors.ts";
import { toIoError } from "../../fs/io.ts";
import { advice } from "../../hint.ts";
import type { Storage } from "../../storage/storage.ts";
import { adviceOf } from "../../util/advice-of.ts";
import { forEachParallel } from "../../util/parallel.ts";
import { type DocumentCodec, PLAIN_DOCUMENTS } from "../codec/document-codec.ts";
import { readSnapshot } from "../format/decode-snapshot.ts";
import { snapshotName } from "../format/names.ts";
import { blobsOfContent, type StoredContent } from "../snapshot.ts";
import type { DocumentCopy } from "./document-names.ts";

const PARALLEL_READS = 4;

/**
 * The blobs that snapshots name. Each document is read once, and what one named stays named here also
 * when it has been deleted since, which errs on the safe side.
 */
export class References {
  readonly #storage: Storage;
  readonly #documents: DocumentCodec;
  readonly #counted = new Set<string>();
  readonly #blobs = new Set<string>();

  constructor(storage: Storage, documents: DocumentCodec = PLAIN_DOCUMENTS) {
    this.#storage = storage;
    this.#documents = documents;
  }

  has(blob: string): boolean {
    return this.#blobs.has(blob);
  }

  /** What is added from now on is read, also what was read before. For documents that a rotation of keys may have replaced. */
  readAgain(): void {
    this.#counted.clear();
  }

  /** @throws CorruptError or UnsupportedError where a document cannot be read: what it names is not known. */
  async add(ids: Iterable<string>, signal?: AbortSignal): Promise<void> {
    const unread = [...ids].filter((id) => !this.#counted.has(id));
    await forEachParallel(unread, PARALLEL_READS, async (id) => {
      const content = await this.#read(id, signal);
      if (!content) return; // deleted since it was listed
      this.#count(id, content);
    });
  }

  /**
   * What copies of documents name counts too: they may say something else than the documents.
   *
   * @throws CorruptError or UnsupportedError naming one that cannot be read.
   */
  async addCopies(copies: Iterable<DocumentCopy>, signal?: AbortSignal): Promise<void> {
    const unread = [...copies].filter(({ name }) => !this.#counted.has(name));
    await forEachParallel(unread, PARALLEL_READS, async (copy) => {
      const content = await this.#readCopy(copy, signal);
      if (content) this.#count(copy.name, content);
    });
  }

  #count(what: string, content: StoredContent): void {
    for (const name of blobsOfContent(content).keys()) this.#blobs.add(name);
    this.#counted.add(what);
  }

  async #readCopy({ name, id }: DocumentCopy, signal?: AbortSignal): Promise<StoredContent | undefined> {
    const path = `${this.#storage.location}/${name}`;
    try {
      const { local } = this.#storage;
      // Where that can be, by its path: its name may be none that an object can have.
      const pieces = local ? local.readStray(name) : this.#storage.read(name, { signal });
      return await readSnapshot(this.#documents.pieces(pieces, id, path), { id, place: path });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      const isUnreadable = error instanceof CorruptError || error instanceof UnsupportedError;
      if (!isUnreadable) throw toIoError(error, "read", path);
      throw new CorruptError(
        advice`${adviceOf(error)} No blob was removed, since that copy of snapshot ${id}'s document may name some. If "verify" finds nothing wrong with the snapshot itself, move the copy away.`,
        { path, cause: error },
      );
    }
  }

  async #read(id: string, signal: AbortSignal | undefined): Promise<StoredContent | undefined> {
    const name = snapshotName(id);
    try {
      const place = `${this.#storage.location}/${name}`;
      const object = this.#storage.read(name, { signal });
      return await readSnapshot(this.#documents.pieces(object, id, place), { id, place });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw nothingRemoved(error, id, this.#storage.location);
    }
  }
}

/** The same error for who prunes: what it means, and what to do. */
export function nothingRemoved(error: unknown, id: string, repository: string): unknown {
  const why = advice`No blob was removed, since nobody knows what snapshot ${id} needs. Put its document back from a copy, or delete the snapshot: ${{ call: "delete", id, repository }}.`;
  if (error instanceof CorruptError) {
    return new CorruptError(advice`${adviceOf(error)} ${why}`, { path: error.path, cause: error });
  }
  if (error instanceof UnsupportedError)
    return new UnsupportedError(advice`${adviceOf(error)} ${why}`, { cause: error });
  return error;
}
