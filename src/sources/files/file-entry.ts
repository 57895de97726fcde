import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from "node:fs";
import type { EntryAttributes } from "../../engine/snapshot.ts";
import type { Entry } from "../../engine/source-contract.ts";
import { type BackupError, IoError, isNotFound, NotFoundError } from "../../errors.ts";
import { isNoFileNow, mayNotBeRead, toReadError } from "../../fs/io.ts";
import { type FileName, placeBelow, shownName } from "./file-names.ts";

/** What is more is not read at once. */
const WHOLE_BYTES = 4 << 20;
const STRETCH_BYTES = 1 << 20;
const MOST_READS = 2;
const BLOCK_BYTES = 512;

/** No link is followed, no pipe waited for. */
const PLAIN = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/** What became of files since they were seen. */
export interface FileEvents {
  readonly changed: Set<string>;
  readonly vanished: Set<string>;
  /** Where what cannot be read is to be left out: told of it. Else it is an error. */
  readonly onUnreadable?: ((path: string, error: unknown) => void) | undefined;
}

/** A regular file. What it says of itself is as of the time at which it was seen, or was read last. */
export class FileEntry implements Entry {
  readonly path: string;
  readonly mayVanish = true;
  readonly changesInPlace = true;
  readonly #root: string;
  readonly #events: FileEvents;
  #stats: Seen;
  #hardLink: number | undefined;
  #xattrs: EntryAttributes["xattrs"];
  /** Whether it changed while it was read for the last time: its bytes may be of two moments. */
  #isTorn = false;
  #reads = 0;

  /** @param root absolute; `path` is below it. */
  constructor(path: string, root: string, stats: Stats, events: FileEvents) {
    this.path = path;
    this.#root = root;
    this.#stats = seenOf(stats);
    this.#events = events;
  }

  /** Made when it is needed: of many files it is much memory. */
  get #place(): FileName {
    return placeBelow(this.#root, this.path);
  }

  get size(): number {
    return this.#stats.size;
  }

  get stamp(): string | undefined {
    return this.#isTorn ? undefined : stampOf(this.#stats);
  }

  get attributes(): EntryAttributes {
    const { isSparse } = this.#stats;
    return {
      ...attributesOf(this.#stats),
      ...(this.#hardLink !== undefined && { hardLink: this.#hardLink }),
      ...(isSparse && { sparse: true as const }),
      ...(this.#xattrs && { xattrs: this.#xattrs }),
    };
  }

  /** It has other names. */
  set hardLink(number: number) {
    this.#hardLink = number;
  }

  get hardLink(): number | undefined {
    return this.#hardLink;
  }

  /** Of the time at which it was seen. */
  set xattrs(xattrs: EntryAttributes["xattrs"]) {
    this.#xattrs = xattrs;
  }

  whole(): Buffer | undefined {
    for (;;) {
      const content = this.#reading((file, before) =>
        before.size < WHOLE_BYTES ? readAll(file, before.size) : undefined,
      );
      if (!content || this.settle() === "kept") return content;
    }
  }

  /** @throws IoError where it cannot be opened. */
  assertReadable(): void {
    closeSync(this.#begin().file);
  }

  settle(): "kept" | "again" {
    if (this.#isTorn && this.#reads < MOST_READS) return "again";
    if (this.#isTorn) this.#events.changed.add(this.path);
    return "kept";
  }

  async *open({ signal }: { readonly signal?: AbortSignal | undefined } = {}): AsyncGenerator<Uint8Array> {
    const { file, before } = this.#begin();
    try {
      // A byte more than there should be, as for `readAll`.
      const stretch = Buffer.allocUnsafeSlow(Math.min(before.size + 1, STRETCH_BYTES));
      for (;;) {
        signal?.throwIfAborted();
        const bytes = this.#tried(() => readSync(file, stretch, 0, stretch.length, null));
        if (bytes === 0) break;
        yield stretch.subarray(0, bytes);
        await new Promise((resolve) => setImmediate(resolve));
      }
      this.#end(file, before);
    } finally {
      closeSync(file);
    }
  }

  #reading<T>(read: (file: number, before: Stats) => T): T {
    const { file, before } = this.#begin();
    try {
      const result = this.#tried(() => read(file, before));
      this.#end(file, before);
      return result;
    } finally {
      closeSync(file);
    }
  }

  #begin(): { readonly file: number; readonly before: Stats } {
    const file = this.#tried(() => openSync(this.#place, PLAIN));
    const before = fstatSync(file);
    if (before.isFile()) return { file, before };
    closeSync(file);
    throw this.#gone();
  }

  #end(file: number, before: Stats): void {
    const after = fstatSync(file);
    this.#reads++;
    this.#isTorn = stampOf(before) !== stampOf(after);
    // Since it was seen: what is read is whole, and of a later moment.
    if (stampOf(this.#stats) !== stampOf(after)) this.#events.changed.add(this.path);
    this.#stats = seenOf(after);
  }

  #tried<T>(task: () => T): T {
    try {
      return task();
    } catch (error) {
      if (isNoFileNow(error)) throw this.#gone(error);
      const { onUnreadable } = this.#events;
      if (!onUnreadable || !mayNotBeRead(error)) throw withAdvice(toReadError(error, shownName(this.#place)));
      onUnreadable(this.path, error);
      throw new NotFoundError(`${shownName(this.#place)} cannot be read.`, {
        path: shownName(this.#place),
        cause: error,
      });
    }
  }

  #gone(cause?: unknown): NotFoundError {
    this.#events.vanished.add(this.path);
    const path = shownName(this.#place);
    return new NotFoundError(`${path} is gone.`, { path, cause });
  }
}

/** Another name of a file. */
export class LinkedEntry implements Entry {
  readonly path: string;
  readonly mayVanish = true;
  readonly sameAs: FileEntry;

  constructor(path: string, sameAs: FileEntry) {
    this.path = path;
    this.sameAs = sameAs;
  }

  get size(): number {
    return this.sameAs.size;
  }

  get stamp(): string | undefined {
    return this.sameAs.stamp;
  }

  get attributes(): EntryAttributes {
    return this.sameAs.attributes;
  }

  open(options?: { readonly signal?: AbortSignal | undefined }): AsyncIterable<Uint8Array> {
    return this.sameAs.open(options);
  }
}

/** A byte more is asked for than there should be, which tells the end. */
function readAll(file: number, size: number): Buffer {
  let bytes = Buffer.allocUnsafe(size + 1);
  let length = 0;
  for (;;) {
    const read = readSync(file, bytes, length, bytes.length - length, null);
    length += read;
    if (read === 0 || length === size) return bytes.subarray(0, length);
    if (length === bytes.length) bytes = Buffer.concat([bytes], length + STRETCH_BYTES);
  }
}

/** What is kept of a file's `Stats`, which are three times as large. */
type Seen = Pick<Stats, "ino" | "size" | "mtimeMs" | "ctimeMs" | "mode" | "uid" | "gid"> & {
  readonly isSparse: boolean;
};

function seenOf({ ino, size, mtimeMs, ctimeMs, mode, uid, gid, blocks }: Stats): Seen {
  const isSparse = size > WHOLE_BYTES && blocks * BLOCK_BYTES < size - (size % BLOCK_BYTES);
  return { ino, size, mtimeMs, ctimeMs, mode, uid, gid, isSparse };
}

function stampOf({
  ino,
  size,
  mtimeMs,
  ctimeMs,
}: Pick<Stats, "ino" | "size" | "mtimeMs" | "ctimeMs">): string {
  return `${ino}:${size}:${mtimeMs}:${ctimeMs}`;
}

export function attributesOf({
  mode,
  mtimeMs,
  uid,
  gid,
}: Pick<Stats, "mode" | "mtimeMs" | "uid" | "gid">): EntryAttributes {
  return { mode: mode & 0o7777, mtimeMs, uid, gid };
}

/** What cannot be read can be left out, which the error of a backup says. */
export function withAdvice(error: BackupError): BackupError {
  if (!(error instanceof IoError) || isNotFound(error)) return error;
  const { path, errno, cause } = error;
  const advice = "Exclude it, or have what cannot be read left out by onUnsupported.";
  return new IoError(`${error.message} ${advice}`, { path, errno, cause });
}
