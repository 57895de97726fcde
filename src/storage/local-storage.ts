import { randomUUID } from "node:crypto";
import { lstatSync } from "node:fs";
import { constants, type FileHandle, open, rename, unlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { IoError, NotFoundError } from "../errors.ts";
import { syncDirectories } from "../fs/durable.ts";
import { assertRoot, ifThereLater } from "../fs/held-root.ts";
import { errnoOf, io, isMissing, toIoError } from "../fs/io.ts";
import { nameNew } from "../fs/name-file.ts";
import { takeOwner } from "../fs/take-owner.ts";
import { PROCESS_TOKEN } from "../fs/this-process.ts";
import { Directories } from "./directories.ts";
import { LocalFiles } from "./local-files.ts";
import { lookAtEach } from "./look-for.ts";
import { assertObjectName, assertObjectPrefix, type StoredObject } from "./object-name.ts";
import { piecesOf } from "./pieces.ts";
import type { CallOptions, Content, ReadOptions, Storage, WriteOptions } from "./storage.ts";
import { lookAt, walkObjects } from "./walk.ts";

const PIECE_BYTES = 1 << 20;

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
    const { file, size } = await openObject(path);
    this.#directories.saw();
    try {
      let position = offset;
      const end = Math.min(offset + length, size); // an object never changes
      while (position < end) {
        signal?.throwIfAborted();
        const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, end - position));
        const { bytesRead } = await io("read", path, () => file.read(piece, 0, piece.length, position));
        if (bytesRead === 0) return;
        position += bytesRead;
        yield piece.subarray(0, bytesRead);
      }
    } finally {
      await file.close();
    }
  }

  async write(name: string, content: Content, options: WriteOptions = {}): Promise<void> {
    const path = this.#path(name);
    await this.#writeTemporary(path, content, options, (temporary) => rename(temporary, path));
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

  async remove(name: string): Promise<void> {
    const path = this.#path(name);
    if (!lookAt(this.directory, name)) return;
    try {
      await unlink(path);
    } catch (error) {
      if (!isMissing(error)) throw toIoError(error, "remove", path);
      // Where the root was away for a moment, it is there still.
      if (assertRoot(path) && lookAt(this.directory, name)) return this.remove(name);
      return;
    }
    await syncDirectories([dirname(path)]);
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
    await lookAtEach(names, there, (name) => this.stat(name), signal);
    return there;
  }

  /** What a disk refuses it refuses again. */
  isTransient(): boolean {
    return false;
  }

  #path(name: string): string {
    assertObjectName(name);
    const path = join(this.directory, name);
    this.#directories.refuseLinks(path);
    return path;
  }

  async #writeTemporary(
    path: string,
    content: Content,
    { signal }: WriteOptions,
    publish: (temporary: string) => Promise<void>,
  ): Promise<void> {
    signal?.throwIfAborted();
    this.#directories.make(path);
    const temporary = join(dirname(path), `.${PROCESS_TOKEN}.${randomUUID()}.tmp`);
    try {
      const file = await io("write", path, () => open(temporary, "wx"));
      takeOwner(temporary);
      try {
        for await (const piece of piecesOf(content, signal)) await writeWhole(file, path, piece);
        await io("sync", path, () => file.sync());
      } finally {
        await io("write", path, () => file.close());
      }
      signal?.throwIfAborted();
      await publish(temporary).catch((error) => {
        signal?.throwIfAborted();
        throw toIoError(error, "write", path);
      });
    } finally {
      await removeTemporary(temporary);
    }
    await this.#directories.sync(path);
  }
}

async function openObject(path: string): Promise<{ readonly file: FileHandle; readonly size: number }> {
  const file = await ifThereLater(path, () => open(path, constants.O_RDONLY | PLAIN)).catch((error) => {
    throw errnoOf(error) === "ELOOP" ? missing(path, error) : toIoError(error, "read", path);
  });
  if (!file) throw missing(path);
  const stats = await file.stat();
  if (stats.isFile()) return { file, size: stats.size };
  await file.close();
  throw missing(path);
}

/** A directory or a link takes a name, too, and is no object. One that was removed meanwhile was there. */
function assertObjectThere(root: string, name: string): void {
  const path = join(root, name);
  if (lookAt(root, name) || !lstatSync(path, { throwIfNoEntry: false })) return;
  throw new IoError(`Could not write ${path}: what has the name is no plain file (EEXIST).`, {
    path,
    errno: "EEXIST",
  });
}

function missing(path: string, cause?: unknown): NotFoundError {
  return new NotFoundError(`Could not read ${path}: there is no such file (ENOENT).`, { path, cause });
}

async function writeWhole(file: FileHandle, path: string, piece: Uint8Array): Promise<void> {
  for (let rest = piece; rest.length > 0; ) {
    const { bytesWritten } = await io("write", path, () => file.write(rest));
    rest = rest.subarray(bytesWritten);
  }
}

async function removeTemporary(temporary: string): Promise<void> {
  try {
    await unlink(temporary);
  } catch (error) {
    if (!isMissing(error)) return; // its name begins with a dot: nobody reads it, and prune removes it
  }
}
