import { randomUUID } from "node:crypto";
import { existsSync, renameSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { CorruptError } from "../../errors.ts";
import { syncDirectories } from "../../fs/durable.ts";
import { errnoOf, isMissing, isVanished, toIoError, toReadError } from "../../fs/io.ts";
import { makeDirectory } from "../../fs/make-directory.ts";
import { PROCESS_TOKEN } from "../../fs/process-token.ts";
import { syncTogether } from "../../fs/sync-together.ts";
import { type CopyResult, type CopyTask, SMALL_BYTES } from "../../fs/workers/copy-task.ts";
import { runTasks, THREADS } from "../../fs/workers/pool.ts";
import type { LocalDirectory } from "../blobs/blob-store.ts";
import { blobName } from "../format/names.ts";
import type { Entry } from "../source-contract.ts";
import type { StoredBlobs, StoredFile, StoreRequest } from "./write-blobs.ts";

/** An entry that is a local file. */
type LocalEntry = Entry & { readonly file: string; readonly size: number };

/** So many small files are put on the disk together; then they have their names, and serve the next run, too. */
const MANY = 64;
const STRETCH = 4096;

/**
 * Copies files into a directory of this run, by worker threads. A copy gets its name when it is on the disk: what was
 * named before an interruption is found by the next run.
 */
export async function storeLocally(storage: LocalDirectory, request: StoreRequest): Promise<StoredBlobs> {
  if (request.files.length === 0) return { files: new Map(), sizes: new Map(), storedBytes: 0 };
  const blobs = join(storage.directory, "blobs");
  const temporary = join(blobs, `.${PROCESS_TOKEN}.${randomUUID()}.tmp`);
  makeDirectory(temporary, storage.directory);
  try {
    return await new LocalRun(blobs, temporary, request).store();
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

function isLocal(entry: Entry): entry is LocalEntry {
  return entry.file !== undefined && entry.size !== undefined;
}

interface Copy {
  readonly file: LocalEntry;
  readonly temporary: string;
  readonly result: CopyResult;
}

class LocalRun {
  readonly #blobs: string;
  readonly #temporary: string;
  readonly #request: StoreRequest;
  readonly #stored = new Map<Entry, StoredFile>();
  #storedBytes = 0;
  readonly #directories = new Set<string>();
  #count = 0;

  constructor(blobs: string, temporary: string, request: StoreRequest) {
    this.#blobs = blobs;
    this.#temporary = temporary;
    this.#request = request;
  }

  async store(): Promise<StoredBlobs> {
    const files = this.#request.files.filter(isLocal);
    const small = files.filter((file) => file.size <= SMALL_BYTES);
    const together = small.length >= MANY;
    const alone = together ? files.filter((file) => file.size > SMALL_BYTES) : files;
    await this.#copy(alone, true, (copy) => this.#name(copy));
    for (let index = 0; together && index < small.length; index += STRETCH) {
      const copies: Copy[] = [];
      await this.#copy(small.slice(index, index + STRETCH), false, (copy) => void copies.push(copy));
      const written = copies.filter((copy) => copy.result.copied).map((copy) => copy.temporary);
      if (written.length > 0) await syncTogether(this.#temporary, written);
      for (const copy of copies) this.#name(copy);
    }
    await syncDirectories([...this.#directories, this.#blobs, dirname(this.#blobs)]);
    return { files: this.#stored, sizes: new Map(), storedBytes: this.#storedBytes };
  }

  async #copy(files: readonly LocalEntry[], sync: boolean, onCopied: (copy: Copy) => void): Promise<void> {
    const { maybeThere, signal, onStored } = this.#request;
    const inputs = files.map((file) => ({
      file,
      task: {
        source: file.file,
        size: file.size,
        target: join(this.#temporary, String(this.#count++)),
        unlessAt: maybeThere(file) ? this.#blobs : undefined,
        sync,
      },
    }));
    const fileOf = new Map(inputs.map(({ task, file }) => [task.target, file]));
    const tasks = inputs.map(({ task }) => task);
    const onDone = (task: CopyTask, result: CopyResult) => {
      const file = fileOf.get(task.target) as LocalEntry;
      assertSize(file, result.bytes);
      onCopied({ file, temporary: task.target, result });
      onStored(file, result.bytes);
    };
    // Without a sync no thread waits: more than the processors would only cost memory, 20 MB each.
    const parallel = sync ? THREADS : Math.min(THREADS, availableParallelism());
    try {
      await runTasks("copy", tasks, { bytesOf: ({ size }) => size, onDone, parallel, signal });
    } catch (error) {
      const gone = isVanished(error) ? tasks.find(({ source }) => !existsSync(source)) : undefined;
      if (gone) throw toReadError(error, gone.source);
      throw errnoOf(error) ? toIoError(error, "back up into", dirname(this.#blobs)) : error;
    }
  }

  /** A blob that is there already stays, unless it has not even the right size. */
  #name({ file, temporary, result: { sha256, bytes, copied } }: Copy): void {
    const path = join(dirname(this.#blobs), blobName(sha256));
    const isNew = copied && statSync(path, { throwIfNoEntry: false })?.size !== bytes;
    if (isNew) rename(temporary, path, dirname(this.#blobs));
    this.#directories.add(dirname(path)); // also where it was found: who named it may not have synced it yet
    if (isNew) this.#storedBytes += bytes;
    this.#stored.set(file, { sha256, size: bytes, isNew });
  }
}

function rename(from: string, to: string, root: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (!isMissing(error)) throw toIoError(error, "write", to);
    makeDirectory(dirname(to), root);
    try {
      renameSync(from, to);
    } catch (failure) {
      throw toIoError(failure, "write", to);
    }
  }
}

function assertSize(file: LocalEntry, bytes: number): void {
  if (bytes === file.size) return;
  throw new CorruptError(
    `${file.file} had ${file.size} bytes when it was captured, and ${bytes} when it was read. Nobody is to change it: who does?`,
    { path: file.file },
  );
}
