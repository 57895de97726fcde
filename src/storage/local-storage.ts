import { randomUUID } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  read,
  readSync,
  renameSync,
  unlinkSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { promisify, types } from "node:util";
import { IoError, NotFoundError } from "../errors.ts";
import { NewFile, syncDirectories, writeSmallSynced } from "../fs/durable.ts";
import { assertRoot, ifThere } from "../fs/held-root.ts";
import { errnoOf, io, isMissing, toIoError } from "../fs/io.ts";
import { nameNew } from "../fs/name-file.ts";
import { PROCESS_TOKEN } from "../fs/this-process.ts";
import { Directories } from "./directories.ts";
import { LocalFiles, lookAt, walkObjects } from "./local-files.ts";
import { assertObjectName, assertObjectPrefix, type StoredObject } from "./object-name.ts";
import { piecesOf } from "./pieces.ts";
import type { CallOptions, Content, ReadOptions, Storage, WriteOptions } from "./storage.ts";

const PIECE_BYTES = 1 << 20;

/** So many are read and written without another thread: to wait for one takes longer. */
const SHORT_BYTES = 1 << 16;

/** So many objects are looked at in one go, so that a long list does not hold the event loop. */
const STRETCH = 256;

const readFile = promisify(read);

/** No link is followed and no pipe waited for. Windows has neither. */
const PLAIN = (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/**
 * Objects as plain files below a local directory, which is made with the first of them, and never again. A file is written as
 * `.<process>.<uuid>.tmp` beside its place, synced, and then gets its name; the directory is synced before a call answers.
 * The directory itself may be a symbolic link; one below it is no object, and nothing is read or written through it.
 */
export class LocalStorage implements Storage {
  readonly directory: string;
  readonly local: LocalFiles;
  readonly keepsNoContent = true;
  readonly #directories: Directories;

  constructor(directory: string) {
    this.directory = resolve(directory);
    this.local = new LocalFiles(this.directory);
    this.#directories = new Directories(this.directory);
  }

  get location(): string {
    return this.directory;
  }

  async *read(name: string, options: ReadOptions = {}): AsyncGenerator<Uint8Array> {
    const { offset = 0, length = Number.POSITIVE_INFINITY, signal } = options;
    const path = this.#path(name);
    signal?.throwIfAborted();
    const { file, size } = openObject(path);
    this.#directories.saw();
    try {
      let position = offset;
      const end = Math.min(offset + length, size); // an object never changes
      const isShort = end - position <= SHORT_BYTES;
      while (position < end) {
        signal?.throwIfAborted();
        const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, end - position));
        const count = await io("read", path, () =>
          isShort
            ? readSync(file, piece, 0, piece.length, position)
            : readFile(file, piece, 0, piece.length, position).then(({ bytesRead }) => bytesRead),
        );
        if (count === 0) return;
        position += count;
        yield piece.subarray(0, count);
      }
    } finally {
      closeSync(file);
    }
  }

  async write(name: string, content: Content, options: WriteOptions = {}): Promise<void> {
    const path = this.#path(name);
    await this.#writeTemporary(path, content, options, (temporary) => renameSync(temporary, path));
  }

  async writeNew(name: string, content: Content, options: WriteOptions = {}): Promise<boolean> {
    const path = this.#path(name);
    let isNew = true;
    await this.#writeTemporary(path, content, options, async (temporary) => {
      isNew = await nameNew(temporary, path, options.signal);
      if (!isNew) assertObjectThere(this.directory, name);
    });
    return isNew;
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    assertObjectPrefix(prefix);
    this.#directories.refuseLinks(join(this.directory, `${prefix}x`));
    yield* walkObjects(this.directory, prefix);
  }

  async remove(name: string, options: CallOptions = {}): Promise<void> {
    const path = this.#path(name);
    if (!lookAt(this.directory, name)) return;
    try {
      unlinkSync(path);
    } catch (error) {
      if (!isMissing(error)) throw toIoError(error, "remove", path);
      // Where the root was away for a moment, it is there still.
      if (assertRoot(path) && lookAt(this.directory, name)) return this.remove(name, options);
      return;
    }
    if (options.mayBeLost) this.#directories.syncLater(path);
    else await syncDirectories([dirname(path)]);
  }

  async stat(name: string): Promise<StoredObject | undefined> {
    this.#path(name);
    return lookAt(this.directory, name);
  }

  /** A look costs less than a listing does. */
  async has(
    names: readonly string[],
    { signal }: CallOptions = {},
  ): Promise<ReadonlyMap<string, StoredObject>> {
    const there = new Map<string, StoredObject>();
    const seen = new Set<string>();
    for (const [index, name] of names.entries()) {
      if (index % STRETCH === 0) {
        if (index > 0) await new Promise((resume) => setImmediate(resume));
        signal?.throwIfAborted();
      }
      this.#path(name, seen);
      const found = lookAt(this.directory, name);
      if (found) there.set(name, found);
    }
    return there;
  }

  /** What a disk refuses it refuses again. */
  isTransient(): boolean {
    return false;
  }

  /** @param seen directories that were looked at in the same call. */
  #path(name: string, seen?: Set<string>): string {
    assertObjectName(name);
    const path = join(this.directory, name);
    this.#directories.refuseLinks(path, seen);
    return path;
  }

  async #writeTemporary(
    path: string,
    content: Content,
    { signal, mayBeLost }: WriteOptions,
    publish: (temporary: string) => void | Promise<void>,
  ): Promise<void> {
    signal?.throwIfAborted();
    this.#directories.make(path);
    const temporary = join(dirname(path), `.${PROCESS_TOKEN}.${randomUUID()}.tmp`);
    try {
      await writeSynced(temporary, path, content, signal);
      signal?.throwIfAborted();
      try {
        await publish(temporary);
      } catch (error) {
        signal?.throwIfAborted();
        throw toIoError(error, "write", path);
      }
    } finally {
      removeTemporary(temporary);
    }
    if (mayBeLost) this.#directories.syncLater(path);
    else await this.#directories.sync(path);
  }
}

function openObject(path: string): { readonly file: number; readonly size: number } {
  let file: number | undefined;
  try {
    file = ifThere(path, () => openSync(path, constants.O_RDONLY | PLAIN));
  } catch (error) {
    throw errnoOf(error) === "ELOOP" ? missing(path, error) : toIoError(error, "read", path);
  }
  if (file === undefined) throw missing(path);
  try {
    const stats = fstatSync(file);
    if (!stats.isFile()) throw missing(path);
    return { file, size: stats.size };
  } catch (error) {
    closeSync(file);
    throw toIoError(error, "read", path);
  }
}

/** A directory or a link takes a name, too, and is no object. One that was removed meanwhile was there. */
function assertObjectThere(root: string, name: string): void {
  const path = join(root, name);
  if (lookAt(root, name) || !lstatSync(path, { throwIfNoEntry: false })) return;
  throw new IoError(
    `Could not write ${path}: there is something of that name that is not a regular file (EEXIST).`,
    {
      path,
      errno: "EEXIST",
    },
  );
}

function missing(path: string, cause?: unknown): NotFoundError {
  return new NotFoundError(`Could not read ${path}: there is no such file (ENOENT).`, { path, cause });
}

/** Writes a file and waits until its content is on the disk. @param path what it is for, for messages. */
async function writeSynced(
  temporary: string,
  path: string,
  content: Content,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (types.isUint8Array(content) && content.length <= SHORT_BYTES)
    return io("write", path, () => writeSmallSynced(temporary, content));
  const file = await io("write", path, () => NewFile.create(temporary));
  try {
    for await (const piece of piecesOf(content, signal)) await io("write", path, () => file.write(piece));
    await io("sync", path, () => file.sync());
  } finally {
    await io("write", path, () => file[Symbol.asyncDispose]());
  }
}

function removeTemporary(temporary: string): void {
  try {
    unlinkSync(temporary);
  } catch (error) {
    if (!isMissing(error)) return; // its name begins with a dot: nobody reads it, and prune removes it
  }
}
