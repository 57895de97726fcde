import type { LocalFiles } from "./local-files.ts";
import type { StoredObject } from "./object-name.ts";

export interface ReadOptions {
  /** The first byte wanted, counted from 0. Default 0. */
  readonly offset?: number | undefined;
  /** How many bytes at most; fewer come where the object ends. Default: to the end. */
  readonly length?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface WriteOptions {
  /** The SHA-256 of the content in hexadecimal digits, where it is known: a store that can holds the content to it. */
  readonly sha256?: string | undefined;
  /** Whether the name was made at random, so that nobody has it: a storage may try its store with this object. Default false. */
  readonly isRandom?: boolean | undefined;
  /** Whether a snapshot needs the object: a storage that locks objects locks it. Default false. */
  readonly lock?: boolean | undefined;
  /** As for `CallOptions`: the object is whole or not there, or what it was before. Default false. */
  readonly mayBeLost?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Of short calls: a storage need not look at the signal in the midst of one, but ends with it any wait before. */
export interface CallOptions {
  /** Of `remove`: whether a power cut within some seconds may undo it, so that a disk need not be waited for. Default false. */
  readonly mayBeLost?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Of a storage whose objects can be kept from being taken away for a time. */
export interface StorageLock {
  /** Has objects locked for as long as if they were written now. @throws UnsupportedError where the store does not keep locks. */
  extend(names: Iterable<string>, options?: CallOptions): Promise<void>;
  /** Until when an object is locked; undefined where it is not, or not any more. @throws NotFoundError */
  until(name: string, options?: CallOptions): Promise<Date | undefined>;
}

export interface StorageLimits {
  /** Calls at once, but for listings. Default: as many as the work would make. */
  readonly connections?: number | undefined;
}

/** What is written: bytes at once, or pieces as they come. */
export type Content = Uint8Array | AsyncIterable<Uint8Array>;

/**
 * Where a repository keeps its objects. A name is relative, with forward slashes, as `assertObjectName` says.
 * Every backend keeps these promises, which `lancedb-backup/storage-conformance` holds it to:
 *
 * - An object appears whole or not at all, and a reader sees one content or the other, never a mixture.
 * - What a call has answered for survives a power cut, but for what was done with `mayBeLost`.
 * - Everything that the backend refuses is an `IoError` with the object's place in `path`; of an object that is not
 *   there it is a `NotFoundError`, and of nothing else. A name that leaves the storage is a `ValidationError`.
 * - An abort signal ends a call with its reason, also while it waits for the next piece of what is to be written, and
 *   leaves no object half-written. What a source of pieces throws comes out unchanged.
 */
export interface Storage {
  /** For messages: a path or an address. */
  readonly location: string;

  /** Where the objects are plain files of this machine: what else can be done with them. */
  readonly local?: LocalFiles | undefined;

  /**
   * The bytes of an object, in pieces of any size. Reads nothing before the first piece is asked for.
   *
   * @throws NotFoundError where there is no such object.
   */
  read(name: string, options?: ReadOptions): AsyncIterable<Uint8Array>;

  /** Writes an object, in place of any that has the name. Can be done twice. */
  write(name: string, content: Content, options?: WriteOptions): Promise<void>;

  /**
   * Writes an object unless there is one of that name: then `false`, and nothing is changed. Of several at once,
   * one alone gets `true`. After an error it may have been written. The layer that makes calls again looks then whether
   * what is there is what was to be written: so content is to tell its writer from every other, by an id or the like.
   */
  writeNew(name: string, content: Content, options?: WriteOptions): Promise<boolean>;

  /**
   * The objects whose names begin with `prefix`, in any order. One that comes or goes meanwhile may be listed or
   * not; every other is listed once. What a backend keeps for itself is not listed.
   */
  list(prefix: string, options?: CallOptions): AsyncIterable<StoredObject>;

  /** Takes an object away, for good. Can be done twice: one that is not there is success. */
  remove(name: string, options?: CallOptions): Promise<void>;

  /** Undefined where there is no such object. */
  stat(name: string, options?: CallOptions): Promise<StoredObject | undefined>;

  /**
   * Those of the objects that are there, by their names. Without it they are looked at one by one, or found by a listing
   * where that takes fewer requests.
   */
  has?(names: readonly string[], options?: CallOptions): Promise<ReadonlyMap<string, StoredObject>>;

  /**
   * Whether a call that this storage has thrown `error` from may succeed when it is made again: a store was busy, or a connection
   * broke. What was asked for may have been done. Without it no error is taken for such a one, and no call is made again.
   */
  isTransient?(error: unknown): boolean;

  /** Where objects that are written with `lock` are locked. `remove` of one hides it at most. */
  readonly lock?: StorageLock | undefined;

  /**
   * Whether bytes are not looked at any more when `write` has written them: their memory is then used for others. Without it they
   * are left alone.
   */
  readonly keepsNoContent?: boolean | undefined;

  /**
   * Whether each piece that `read` gives is memory that the storage does not look at again: its memory is then given back as soon as
   * it was used. Without it pieces are left to the collector.
   */
  readonly keepsNoPieces?: boolean | undefined;

  /** What the store bears. */
  readonly limits?: StorageLimits | undefined;

  /**
   * Finds out whether objects may be written, and changes none: it asks for one to be made that is there. Without it that
   * is known when something is written.
   *
   * @param name of an object that is there.
   * @throws IoError where nothing may be written.
   */
  assertWritable?(name: string, options?: CallOptions): Promise<void>;

  /**
   * For a backend that refuses to write where its store does not keep one writer from making what another has made: somebody
   * has accepted that. From now on `writeNew` looks first and then writes, and of several at once more than one may get `true`.
   */
  acceptNoExclusion?(): void;
}
