import { digestOf } from "../blobs/blob-codec.ts";
import { damagedBlob, missingBlob } from "../blobs/blob-errors.ts";
import type { BlobStore, FileToRead } from "../blobs/blob-store.ts";
import type { OnProgress } from "../progress.ts";
import { BLOB_BYTES, type PartContent, type Piece, piecesOfEntry, type StoredEntry } from "../snapshot.ts";
import type { EntryContent, PartToRead } from "../source-kind.ts";

/** So many reads at a time: each holds up to `BLOB_BYTES`. */
const PARALLEL_READS = 3;

/** How the bytes of a part's entries are had, by so many reads at a time. */
export function readerOf(
  blobs: BlobStore,
  { source }: PartContent,
  { parallel = PARALLEL_READS, signal }: { parallel?: number | undefined; signal?: AbortSignal | undefined },
): Pick<PartToRead, "read" | "readAll"> {
  return {
    read: (entry) => blobs.read({ table: source.uri, ...entry }, signal),
    readAll: (entries) => readEntries(blobs, source.uri, entries, { parallel, signal }),
  };
}

interface ReadOptions {
  readonly parallel: number;
  readonly signal?: AbortSignal | undefined;
}

/** In the order of their blobs: one in which many lie is read once. While one is used, the next ones are read. */
async function* readEntries(
  blobs: BlobStore,
  table: string,
  entries: readonly StoredEntry[],
  { parallel, signal }: ReadOptions,
): AsyncGenerator<EntryContent> {
  const { single = [], other = [] } = Object.groupBy(entries, ({ pieces, size }) =>
    pieces?.length === 1 || (!pieces && size > 0 && size <= BLOB_BYTES) ? "single" : "other",
  );
  const groups = [...Map.groupBy(single, (entry) => piecesOfEntry(entry)[0]?.blob).values()];
  for await (const contents of ahead(groups, parallel, (group) => readBundle(blobs, table, group, signal)))
    yield* contents;
  for (const entry of other) {
    signal?.throwIfAborted();
    const file = { table, ...entry };
    yield {
      entry,
      content: entry.pieces ? readAhead(blobs, file, parallel, signal) : blobs.read(file, signal),
    };
  }
}

/** The pieces of a file in their order, some of them asked for ahead. @throws as `BlobStore.read` */
export async function* readAhead(
  blobs: BlobStore,
  file: FileToRead,
  parallel: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  try {
    yield* ahead(file.pieces ?? [], parallel, (piece) => blobs.readPiece(piece, signal));
  } catch (error) {
    signal?.throwIfAborted();
    throw missingBlob(error, blobs.storage, file);
  }
}

/** What is read of each, in their order; so many are under way. */
async function* ahead<T, R>(
  items: readonly T[],
  parallel: number,
  read: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const underWay: Promise<R>[] = [];
  let next = 0;
  try {
    for (;;) {
      for (; underWay.length < parallel && next < items.length; next++) {
        const reading = read(items[next] as T);
        reading.catch(() => undefined); // told when its turn comes
        underWay.push(reading);
      }
      const reading = underWay.shift();
      if (!reading) return;
      yield await reading;
    }
  } finally {
    await Promise.allSettled(underWay);
  }
}

/** The stretch of a blob in which entries lie, each held to its digest. */
async function readBundle(
  blobs: BlobStore,
  table: string,
  entries: readonly StoredEntry[],
  signal: AbortSignal | undefined,
): Promise<EntryContent[]> {
  signal?.throwIfAborted();
  const placed = entries.map((entry) => ({ entry, piece: piecesOfEntry(entry)[0] as Piece }));
  const start = placed.reduce((least, { piece }) => Math.min(least, piece.offset), Number.POSITIVE_INFINITY);
  const end = placed.reduce((most, { piece }) => Math.max(most, piece.offset + piece.bytes), 0);
  const [{ entry: first, piece: any }] = placed as [(typeof placed)[0]];
  const use = { ...first, table, sha256: any.blob };
  const stretch = await blobs
    .readPiece({ blob: any.blob, offset: start, bytes: end - start }, signal)
    .catch((error: unknown) => {
      signal?.throwIfAborted();
      throw missingBlob(error, blobs.storage, use);
    });
  return placed.map(({ entry, piece }) => {
    const content = stretch.subarray(piece.offset - start, piece.offset - start + piece.bytes);
    if (digestOf(content) !== entry.sha256) throw damagedBlob(blobs.storage, { ...use, path: entry.path });
    return { entry, content: [content] };
  });
}

/** A file that is to be written; the table's id and the path inside its directory are for messages. */
export interface TargetFile extends FileToRead {
  /** Absolute. */
  readonly target: string;
}

export interface FileWriter extends Omit<WriteRequest, "tables" | "onProgress"> {
  readonly onFile: (file: TargetFile) => void;
}

export interface WriteRequest {
  readonly blobs: BlobStore;
  /** Each table's files go below `<directory>/<the table's directory>/`. Nothing is there yet. */
  readonly directory: string;
  readonly tables: readonly FilesOfTable[];
  readonly link?: boolean | undefined;
  readonly verify?: boolean | undefined;
  readonly parallel?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** A table's files, and the directory that they go into. */
export interface FilesOfTable {
  readonly id: string;
  readonly directory: string;
  readonly files: readonly Pick<StoredEntry, "path" | "size" | "sha256" | "pieces">[];
}
