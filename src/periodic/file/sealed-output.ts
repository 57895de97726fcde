import { createHash, randomUUID } from "node:crypto";
import { type FileHandle, open, stat, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { IoError, ValidationError } from "../../errors.ts";
import { syncDirectory } from "../../fs/durable.ts";
import { errnoOf, io, isMissing } from "../../fs/io.ts";
import { nameNew } from "../../fs/name-file.ts";
import { takeOwner } from "../../fs/take-owner.ts";
import { PROCESS_TOKEN } from "../../fs/this-process.ts";

/** Buffers of one system call; Linux takes 1,024. */
const MAX_BUFFERS = 512;

/** Bytes that are written before the disk is asked to begin with them. */
const SYNC_BYTES = 64 * 1024 * 1024;

/**
 * A file that is written from front to back and hashed on the way, and that gets its name only when it is
 * whole and on the disk. Until then it is `.<name>.<process>.<random>.tmp` beside it.
 */
export class SealedOutput {
  readonly path: string;
  readonly #temporary: string;
  readonly #file: FileHandle;
  readonly #hash = createHash("sha256");
  #pending: Uint8Array[] = [];
  /** What was flushed last; at most one write is under way. */
  #writing: Promise<void> = Promise.resolve();
  /** Bytes written that no sync has begun for, and the sync under way. */
  #unsynced = 0;
  #syncing: Promise<void> | undefined;
  #position = 0;

  private constructor(path: string, temporary: string, file: FileHandle) {
    this.path = path;
    this.#temporary = temporary;
    this.#file = file;
  }

  /** @throws ValidationError where the name is taken. */
  static async create(path: string): Promise<SealedOutput> {
    if (await exists(path)) throw taken(path);
    const temporary = join(
      dirname(path),
      `.${basename(path)}.${PROCESS_TOKEN}.${randomUUID().slice(0, 8)}.tmp`,
    );
    const file = await io("create", path, () => open(temporary, "wx"));
    takeOwner(temporary);
    return new SealedOutput(path, temporary, file);
  }

  /** Bytes so far, those not yet written too. */
  get position(): number {
    return this.#position;
  }

  /** Takes bytes, which must not change until the `flush` after the next is over. */
  push(bytes: Uint8Array): void {
    if (bytes.byteLength === 0) return;
    this.#pending.push(bytes);
    this.#position += bytes.byteLength;
  }

  /**
   * Begins to write what was pushed, when what was flushed before it is written: the caller makes the next
   * bytes meanwhile, and memory holds two flushes at most. An error of the system comes out of the next call.
   */
  async flush(): Promise<void> {
    const chunks = this.#pending;
    this.#pending = [];
    await this.#writing;
    this.#writing = this.#write(chunks);
    this.#writing.catch(() => undefined); // whoever waits for it next has the error
    for (const chunk of chunks) this.#hash.update(chunk);
  }

  async #write(chunks: readonly Uint8Array[]): Promise<void> {
    await io("write", this.path, async () => {
      for (let from = 0; from < chunks.length; from += MAX_BUFFERS) {
        let rest = chunks.slice(from, from + MAX_BUFFERS);
        while (rest.length > 0) {
          const { bytesWritten } = await this.#file.writev(rest);
          this.#unsynced += bytesWritten;
          rest = without(rest, bytesWritten);
        }
      }
    });
    if (this.#unsynced >= SYNC_BYTES) this.#syncBehind();
  }

  /**
   * Has the disk begin early, so that the sync at the end finds little left to do. A failure is kept: a system
   * tells of it once, and the next sync would say that all is well.
   */
  #syncBehind(): void {
    if (this.#syncing !== undefined) return;
    this.#unsynced = 0;
    this.#syncing = io("sync", this.path, () => this.#file.datasync());
    this.#syncing.then(
      () => {
        this.#syncing = undefined;
      },
      () => undefined,
    );
  }

  /** Resolves when nothing is under way, whatever came of it. */
  async #idle(): Promise<void> {
    await Promise.allSettled([this.#writing, this.#syncing]);
  }

  /**
   * Ends the file with what `trailer` makes of the SHA-256 of everything before it, syncs it, and gives it
   * its name, unless that was taken meanwhile.
   */
  async publish(trailer: (digest: Buffer) => Uint8Array): Promise<{ sha256: string; bytes: number }> {
    await this.flush();
    await this.#writing;
    const digest = this.#hash.digest();
    const end = trailer(digest);
    await this.#write([end]);
    await this.#syncing;
    await io("sync", this.path, () => this.#file.sync());
    await io("close", this.path, () => this.#file.close());
    const named = await io("name", this.path, () => nameNew(this.#temporary, this.path));
    if (!named) throw taken(this.path);
    await io("name", this.path, () => unlinkIfThere(this.#temporary));
    await syncDirectory(dirname(this.path));
    return { sha256: digest.toString("hex"), bytes: this.#position + end.byteLength };
  }

  /** Leaves nothing. Can be called at any time, also after a failure. */
  async discard(): Promise<void> {
    this.#pending = [];
    await this.#idle();
    await io("close", this.path, async () => {
      try {
        await this.#file.close();
      } finally {
        await unlinkIfThere(this.#temporary);
      }
    });
  }
}

function without(chunks: Uint8Array[], written: number): Uint8Array[] {
  let left = written;
  let index = 0;
  for (; index < chunks.length; index++) {
    const size = chunks[index]?.byteLength ?? 0;
    if (left < size) break;
    left -= size;
  }
  const [first, ...others] = chunks.slice(index);
  return first === undefined ? [] : [first.subarray(left), ...others];
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw new IoError(`Could not look at ${path}.`, { cause: error, path, errno: errnoOf(error) });
  }
}

async function unlinkIfThere(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

function taken(path: string): ValidationError {
  return new ValidationError(`${path} exists already; a backup file never replaces another.`);
}
