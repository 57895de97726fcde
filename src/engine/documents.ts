import { isNotFound } from "../errors.ts";
import type { StoredObject } from "../storage/object-name.ts";
import type { CallOptions, Storage, WriteOptions } from "../storage/storage.ts";
import { MOST_BYTES, readSmall } from "./read-small.ts";

/**
 * A kind of small objects of a repository: what they are called, and how they are written and read. Each stands in the file
 * that knows what its documents say.
 *
 * @typeParam K what tells one of them from the others. @typeParam T what one says. @typeParam W what one is made of. Default: the same.
 */
export interface DocumentKind<K, T, W = T> {
  /** All names of the kind begin so; others may, too. */
  readonly prefix: string;
  nameOf(key: K): string;
  /** What a name says; undefined for any other name. */
  keyOf(name: string): K | undefined;
  encode(made: W, key: K): Buffer;
  /** Holds it to its format, and to its key. @param place for messages. @throws CorruptError, UnsupportedError */
  decode(bytes: Buffer, key: K, place: string): T | Promise<T>;
  /** The id that one is sealed by where the repository is encrypted. Without it all are as they are, for everybody. */
  sealedAs?(key: K): string;
  /** Bytes that one can have. Default 32 MiB. */
  readonly mostBytes?: number | undefined;
}

/** How documents are sealed in an encrypted repository; what `DocumentCodec` does for those of snapshots, too. */
export interface Sealing {
  seal(document: Buffer, id: string): Buffer;
  /** @throws CorruptError where it is not what was sealed by this id. */
  open(object: Buffer, id: string, place: string): Promise<Buffer>;
  /** By which epoch's key an object is sealed. @throws CorruptError where it is not. */
  epochOf(object: Buffer, place: string): number;
}

/** One that was listed. */
export interface ListedDocument<K> extends StoredObject {
  readonly key: K;
}

/** The documents of one kind in a repository. */
export class Documents<K, T, W = T> {
  readonly #kind: DocumentKind<K, T, W>;
  readonly #storage: Storage;
  readonly #sealing: Sealing | undefined;

  /** @param sealing for a kind that is sealed. Default: the repository is not encrypted. */
  constructor(kind: DocumentKind<K, T, W>, storage: Storage, sealing?: Sealing) {
    this.#kind = kind;
    this.#storage = storage;
    this.#sealing = sealing;
  }

  /** Of a document, for messages. */
  placeOf(key: K): string {
    return `${this.#storage.location}/${this.#kind.nameOf(key)}`;
  }

  /** @throws NotFoundError where there is none. @throws CorruptError, UnsupportedError, IoError */
  async read(key: K, signal?: AbortSignal): Promise<T> {
    return this.open(await this.object(key, signal), key);
  }

  /** The same; undefined where there is none. */
  find(key: K, signal?: AbortSignal): Promise<T | undefined> {
    return unlessMissing(this.read(key, signal));
  }

  /** The object as it is in the storage. @throws NotFoundError; CorruptError where it has more bytes than one can have */
  object(key: K, signal?: AbortSignal): Promise<Buffer> {
    const { mostBytes = MOST_BYTES } = this.#kind;
    return readSmall(this.#storage, this.#kind.nameOf(key), signal, mostBytes);
  }

  /** What an object says that was read elsewhere. @param place default: its own. @throws CorruptError, UnsupportedError */
  async open(object: Buffer, key: K, place = this.placeOf(key)): Promise<T> {
    return this.#kind.decode(await this.#unsealed(object, key, place), key, place);
  }

  /** Makes it, unless there is one: then `false`. @throws IoError */
  writeNew(key: K, made: W, options?: WriteOptions): Promise<boolean> {
    return this.#storage.writeNew(this.#kind.nameOf(key), this.#objectOf(made, key), options);
  }

  /** Makes it, in the place of any that there is. @throws IoError */
  write(key: K, made: W, options?: WriteOptions): Promise<void> {
    return this.#storage.write(this.#kind.nameOf(key), this.#objectOf(made, key), options);
  }

  /** One that is not there is success. @throws IoError */
  remove(key: K, options?: CallOptions): Promise<void> {
    return this.#storage.remove(this.#kind.nameOf(key), options);
  }

  /** Those that there are, in any order; other names are passed over. @param prefix of their names. Default: all of the kind. */
  async *list(signal?: AbortSignal, prefix = this.#kind.prefix): AsyncGenerator<ListedDocument<K>> {
    for await (const object of this.#storage.list(prefix, { signal })) {
      signal?.throwIfAborted();
      const key = this.#kind.keyOf(object.name);
      if (key !== undefined) yield { ...object, key };
    }
  }

  /**
   * Seals it by the newest key, in its own place; one that is sealed so stays as it is.
   *
   * @param epoch the newest. @throws as `read`
   */
  async seal(key: K, epoch: number, options: WriteOptions = {}): Promise<void> {
    const object = await this.object(key, options.signal);
    const id = this.#kind.sealedAs?.(key);
    if (!this.#sealing || id === undefined || this.#sealing.epochOf(object, this.placeOf(key)) === epoch)
      return;
    const bytes = await this.#sealing.open(object, id, this.placeOf(key));
    await this.#storage.write(this.#kind.nameOf(key), this.#sealing.seal(bytes, id), options);
  }

  #objectOf(made: W, key: K): Buffer {
    const bytes = this.#kind.encode(made, key);
    const id = this.#kind.sealedAs?.(key);
    return id === undefined ? bytes : (this.#sealing?.seal(bytes, id) ?? bytes);
  }

  async #unsealed(object: Buffer, key: K, place: string): Promise<Buffer> {
    const id = this.#kind.sealedAs?.(key);
    return id === undefined ? object : (this.#sealing?.open(object, id, place) ?? object);
  }
}

async function unlessMissing<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}
