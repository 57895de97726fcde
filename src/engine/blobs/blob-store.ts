import { createHash } from "node:crypto";
import type { LocalFiles } from "../../storage/local-files.ts";
import { objectsThere } from "../../storage/look-for.ts";
import type { StoredObject } from "../../storage/object-name.ts";
import type { Storage } from "../../storage/storage.ts";
import { freePiece } from "../../util/free-memory.ts";
import { giveMemory } from "../../util/spare-memory.ts";
import { encodedBytesAtMost } from "../codec/blob-head.ts";
import { type DocumentCodec, PLAIN_DOCUMENTS } from "../codec/document-codec.ts";
import { blobName } from "../format/names.ts";
import { keepLocked } from "../keep-locked.ts";
import { MOST_BYTES, readRange, readSmall } from "../read-small.ts";
import type { Piece, StoredEntry } from "../snapshot.ts";
import { type BlobCodec, PLAIN } from "./blob-codec.ts";
import { type BlobUse, longerThan, missingBlob } from "./blob-errors.ts";

/** The keys of an encrypted repository, which others may rotate. */
export interface Encryption {
  /** By the key that is the current one now. */
  blobs(): BlobCodec;
  documents(): DocumentCodec;
  /** Looks whether keys were rotated. */
  refresh(): Promise<void>;
  /** Whether objects of an epoch may be there, as far as the repository knows now. */
  isNeeded(epoch: number): Promise<boolean>;
}

/** What is read: a file of a snapshot, and the table that it is of, for messages. */
export type FileToRead = Pick<StoredEntry, "path" | "size" | "sha256" | "pieces"> & Pick<BlobUse, "table">;

/** What a file needs of a blob. */
export interface BlobNeed extends Piece {
  /** Whether the blob is the whole file. */
  readonly isWhole: boolean;
}

export function needsOf(file: Pick<StoredEntry, "sha256" | "size" | "pieces">): readonly BlobNeed[] {
  const { sha256, size, pieces } = file;
  if (!pieces) return [{ blob: sha256, offset: 0, bytes: size, isWhole: true }];
  return pieces.map((piece) => ({ ...piece, isWhole: false }));
}

/** The blobs of a repository. */
export class BlobStore {
  readonly storage: Storage;
  readonly codec: BlobCodec;
  readonly documents: DocumentCodec;
  readonly #encryption: Encryption | undefined;

  /** @param encryption where it is encrypted; in place of `codec`. */
  constructor(storage: Storage, codec: BlobCodec = PLAIN, encryption?: Encryption) {
    this.storage = storage;
    this.codec = encryption?.blobs() ?? codec;
    this.documents = encryption?.documents() ?? PLAIN_DOCUMENTS;
    this.#encryption = encryption;
  }

  /**
   * The same by the keys that the repository has now. For who has just taken a lease to write: the keys may have been
   * rotated, and what is written must not be encrypted by one that is not needed any more.
   *
   * @throws ValidationError where the caller's keys open the new ones no more.
   */
  async renewed(): Promise<BlobStore> {
    if (!this.#encryption) return this;
    await this.#encryption.refresh();
    return new BlobStore(this.storage, this.codec, this.#encryption);
  }

  /** Whether what was written by this store can be read by all who have a key. @throws as `renewed` */
  async isCurrent(): Promise<boolean> {
    return (await this.#encryption?.isNeeded(this.codec.epoch)) ?? true;
  }

  /** Where blobs are plain files of their content: these can be copied and linked. */
  get local(): LocalFiles | undefined {
    return this.codec.name === "plain" ? this.storage.local : undefined;
  }

  /** The plain file that holds the whole content; undefined where there is none. */
  fileOf({ sha256, pieces }: Pick<StoredEntry, "sha256" | "pieces">): string | undefined {
    return pieces ? undefined : this.local?.pathOf(blobName(sha256));
  }

  /** The name of a blob's object with the storage's place, for messages. */
  placeOf(name: string): string {
    return `${this.storage.location}/${blobName(name)}`;
  }

  /** Whether an object can be that of a blob of so many bytes. */
  fits(object: Pick<StoredObject, "size"> | undefined, bytes: number): boolean {
    return object !== undefined && (this.codec.name === "plain" ? object.size === bytes : object.size > 0);
  }

  /** Whether an object of so many bytes can have what a file needs of a blob. */
  holds(size: number | undefined, { isWhole, offset, bytes }: BlobNeed): boolean {
    if (size === undefined) return false;
    if (this.codec.name !== "plain") return size > 0;
    return isWhole ? size === bytes : size >= offset + bytes;
  }

  /** Names of those that are not there, or cannot be whole. */
  async missing(blobs: ReadonlyMap<string, number>, signal?: AbortSignal): Promise<string[]> {
    const there = await objectsThere(this.storage, [...blobs.keys()].map(blobName), { signal });
    return [...blobs].flatMap(([name, bytes]) => (this.fits(there.get(blobName(name)), bytes) ? [] : [name]));
  }

  /** Where the storage locks objects: before a snapshot that needs these is published. @throws IoError, UnsupportedError */
  keepLocked(blobs: Iterable<string>, signal?: AbortSignal): Promise<void> {
    return keepLocked(this.storage, blobs, signal);
  }

  /**
   * Writes a blob's object. Answers with its bytes.
   *
   * @param content nobody else's: its memory is given away.
   */
  async write(name: string, content: Buffer, signal?: AbortSignal): Promise<number> {
    const object = await this.codec.encode(content, name);
    const sha256 = this.codec.name === "plain" ? name : undefined;
    const { length } = object;
    await this.storage.write(blobName(name), object, { signal, sha256, lock: true });
    if (this.storage.keepsNoContent) giveMemory(object);
    return length;
  }

  /**
   * The content of a whole blob that was cut so as to fit into memory.
   *
   * @param bytes of its content, where that is known: then its object is held once in memory.
   * @throws CorruptError where it is not what its name says. @throws IoError
   */
  async readBlob(name: string, signal?: AbortSignal, bytes = MOST_BYTES): Promise<Buffer> {
    const object = await this.#readObject(name, encodedBytesAtMost(bytes), signal);
    return this.codec.decode(object, name, this.placeOf(name));
  }

  /**
   * Reads a whole blob: bytes of its object, and the name that its content has, which is another one where a plain blob is
   * damaged.
   *
   * @param bytes that the object has, as the store says: it may go on for ever
   * @throws CorruptError where an encoded one is damaged, or a plain one has more. @throws IoError
   */
  async digest(name: string, bytes: number, signal?: AbortSignal): Promise<{ size: number; sha256: string }> {
    if (this.codec.name !== "plain") {
      const object = await this.#readObject(name, bytes, signal);
      const size = object.length;
      giveMemory(await this.codec.decode(object, name, this.placeOf(name)));
      return { size, sha256: name };
    }
    const hash = createHash("sha256");
    let size = 0;
    for await (const stretch of this.storage.read(blobName(name), { length: bytes + 1, signal })) {
      size += stretch.length;
      if (size > bytes) throw longerThan(this.placeOf(name), bytes);
      hash.update(stretch);
      if (this.storage.keepsNoPieces) freePiece(stretch);
    }
    return { size, sha256: hash.digest("hex") };
  }

  /** The whole of an object that is said to have so many bytes. It is held once in memory, where it fits there. */
  #readObject(name: string, bytes: number, signal: AbortSignal | undefined): Promise<Buffer> {
    if (bytes >= MOST_BYTES) return readSmall(this.storage, blobName(name), signal); // tells that it has too many
    return readRange(this.storage, blobName(name), signal)(0, bytes + 1);
  }

  /** A stretch of a blob; fewer bytes where the blob ends. Of a plain one nothing is checked. @throws IoError, CorruptError */
  async readPiece(piece: Piece, signal?: AbortSignal): Promise<Buffer> {
    const read = readRange(this.storage, blobName(piece.blob), signal);
    return this.codec.readPiece(read, piece, this.placeOf(piece.blob));
  }

  /**
   * The content of a file as it comes; whoever reads it compares its digest.
   *
   * @throws CorruptError naming file and blob where one is missing, or an encoded one is damaged. @throws IoError
   */
  async *read(file: FileToRead, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const { pieces } = file;
    try {
      if (!pieces) {
        if (this.codec.name === "plain") yield* this.storage.read(blobName(file.sha256), { signal });
        else yield await this.readBlob(file.sha256, signal, file.size);
        return;
      }
      for (const piece of pieces) yield await this.readPiece(piece, signal);
    } catch (error) {
      signal?.throwIfAborted();
      throw missingBlob(error, this.storage, file);
    }
  }

  /** A stretch of a file; of a plain blob nothing is checked. @throws as `read` */
  async readStretch(file: FileToRead, from: number, bytes: number, signal?: AbortSignal): Promise<Buffer> {
    const stretches: Buffer[] = [];
    let start = 0;
    for (const { blob, offset, bytes: length } of needsOf(file)) {
      const [first, end] = [Math.max(from - start, 0), Math.min(from + bytes - start, length)];
      start += length;
      if (first >= end) continue;
      const piece = { blob, offset: offset + first, bytes: end - first };
      stretches.push(
        await this.readPiece(piece, signal).catch((error: unknown) => {
          signal?.throwIfAborted();
          throw missingBlob(error, this.storage, file);
        }),
      );
    }
    return Buffer.concat(stretches);
  }

  /** The whole of a file that fits into memory, as `read`. */
  async readWhole(file: FileToRead, signal?: AbortSignal): Promise<Buffer> {
    const stretches: Uint8Array[] = [];
    for await (const stretch of this.read(file, signal)) stretches.push(stretch);
    return Buffer.concat(stretches);
  }
}
