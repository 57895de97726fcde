import { digestOf } from "../blobs/blob-codec.ts";
import { damagedBlob, missingBlob } from "../blobs/blob-errors.ts";
import type { BlobStore, FileToRead } from "../blobs/blob-store.ts";
import type { OnProgress } from "../progress.ts";
import { type PartContent, type Piece, piecesOfEntry, type StoredEntry } from "../snapshot.ts";
import type { EntryContent, PartToRead } from "../source-kind.ts";

/** How the bytes of a part's entries are had. */
export function readerOf(
  blobs: BlobStore,
  { source }: PartContent,
  signal: AbortSignal | undefined,
): Pick<PartToRead, "read" | "readAll"> {
  return {
    read: (entry) => blobs.read({ table: source.uri, ...entry }, signal),
    readAll: (entries) => readEntries(blobs, source.uri, entries, signal),
  };
}

/** In the order of their blobs: one in which many lie is read once. While one is used, the next is read. */
async function* readEntries(
  blobs: BlobStore,
  table: string,
  entries: readonly StoredEntry[],
  signal: AbortSignal | undefined,
): AsyncGenerator<EntryContent> {
  const { bundled = [], other = [] } = Object.groupBy(entries, (entry) =>
    entry.pieces?.length === 1 ? "bundled" : "other",
  );
  const groups = [...Map.groupBy(bundled, ({ pieces }) => pieces?.[0]?.blob).values()];
  let next = groups[0] && readBundle(blobs, table, groups[0], signal);
  for (let index = 0; next; index++) {
    const contents = await next;
    const following = groups[index + 1];
    next = following && readBundle(blobs, table, following, signal);
    next?.catch(() => undefined); // told when its turn comes
    yield* contents;
  }
  for (const entry of other) {
    signal?.throwIfAborted();
    yield { entry, content: blobs.read({ table, ...entry }, signal) };
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
