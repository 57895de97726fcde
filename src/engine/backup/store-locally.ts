import { randomUUID } from "node:crypto";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { CorruptError } from "../../errors.ts";
import { syncTogether } from "../../fs/durable.ts";
import { isOfSystem, isVanished, stillThere, toIoError, toReadError } from "../../fs/io.ts";
import { PROCESS_TOKEN } from "../../fs/this-process.ts";
import { type CopyResult, type CopyTask, SMALL_BYTES } from "../../fs/workers/file-tasks.ts";
import { runTasks, THREADS } from "../../fs/workers/pool.ts";
import type { LocalFiles } from "../../storage/local-files.ts";
import { BLOBS, blobName } from "../format/names.ts";
import type { Piece } from "../snapshot.ts";
import type { Entry } from "../source-contract.ts";

/** An entry that is a local file. */
type LocalEntry = Entry & { readonly file: string; readonly size: number };

/** So many small files are put on the disk together; then they have their names, and serve the next run, too. */
const MANY = 64;
const STRETCH = 4096;

/**
 * Copies files into a directory of this run, by worker threads. A copy gets its name when it is on the disk: what was
 * named before an interruption is found by the next run.
 */
export async function storeLocally(local: LocalFiles, request: StoreRequest): Promise<StoredBlobs> {
  if (request.files.length === 0) return { files: new Map(), sizes: new Map(), storedBytes: 0 };
  const hidden = `${BLOBS}.${PROCESS_TOKEN}.${randomUUID()}.tmp`;
  return local.gather(hidden, (temporary) => new LocalRun(local, temporary, request).store());
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
  readonly #local: LocalFiles;
  readonly #temporary: string;
  readonly #request: StoreRequest;
  readonly #stored = new Map<Entry, StoredFile>();
  #storedBytes = 0;
  /** Of blobs, to be synced. */
  readonly #folders = new Set([BLOBS, ""]);
  #count = 0;

  constructor(local: LocalFiles, temporary: string, request: StoreRequest) {
    this.#local = local;
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
    await this.#local.sync(this.#folders);
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
        unlessAt: maybeThere(file) ? this.#local.pathOf(BLOBS) : undefined,
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
      const gone = isVanished(error) ? tasks.find(({ source }) => !stillThere(source)) : undefined;
      if (gone) throw toReadError(error, gone.source);
      throw isOfSystem(error) ? toIoError(error, "back up into", this.#local.root) : error;
    }
  }

  /** A blob that is there already stays, unless it has not even the right size. */
  #name({ file, temporary, result: { sha256, bytes, copied } }: Copy): void {
    const name = blobName(sha256);
    const isNew = copied && this.#local.adopt(temporary, name, bytes);
    this.#folders.add(dirname(name)); // also where it was found: who named it may not have synced it yet
    if (isNew) this.#storedBytes += bytes;
    this.#stored.set(file, { sha256, size: bytes, isNew });
  }
}

function assertSize(file: LocalEntry, bytes: number): void {
  if (bytes === file.size) return;
  throw new CorruptError(
    `${file.file} had ${file.size} bytes when it was captured, and ${bytes} when it was read. It must not change while it is backed up: find out which program changes it.`,
    { path: file.file },
  );
}

export interface StoreRequest {
  readonly files: readonly Entry[];
  /** Hash before copying, since the content may well be there. */
  readonly maybeThere: (entry: Entry) => boolean;
  /** Pieces of a content that are in the repository already. */
  readonly piecesOf: (sha256: string, size: number) => readonly Piece[] | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onStored: (entry: Entry, bytes: number) => void;
}

/** A file whose content is in the repository. */
export interface StoredFile {
  readonly sha256: string;
  readonly size: number;
  /** Undefined: one blob whose name is the digest. */
  readonly pieces?: readonly Piece[] | undefined;
  /** Whether the repository did not have it. */
  readonly isNew: boolean;
}

export interface StoredBlobs {
  readonly files: ReadonlyMap<Entry, StoredFile>;
  /** Bytes of plain content of the blobs in which files of this run have pieces. */
  readonly sizes: ReadonlyMap<string, number>;
  /** Of the objects that were written. */
  readonly storedBytes: number;
}
