import { type BackupError, CorruptError, IoError, isNotFound } from "../../errors.ts";
import { isUnreadable, reasonOf } from "../../fs/io.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import { piecesOfEntry, type StoredContent } from "../snapshot.ts";
import { kindOf } from "../source-kind.ts";

/**
 * One snapshot of the source cannot be copied; others can. Told apart from what the target fails with, which ends all.
 * It has no `code`: whatever it passes through leaves it as it is.
 */
export class SourceFailure extends Error {
  readonly error: BackupError;

  constructor(error: BackupError) {
    super(error.message, { cause: error });
    this.name = "SourceFailure";
    this.error = error;
  }
}

/**
 * What an error from reading a blob of the source means for the snapshot that is copied.
 *
 * @returns `SourceFailure` naming blob, file and snapshot; or the error itself, where it is none of this one blob.
 */
export function blobFailure(error: unknown, blobs: BlobStore, blob: string, content: StoredContent): unknown {
  if (error instanceof SourceFailure) return error;
  const place = blobs.placeOf(blob);
  if (isNotFound(error)) {
    return damaged(place, "is missing", blob, content, error);
  }
  // A file on a bad sector: others can be read. Stores never answer so.
  if (isUnreadable(error)) {
    const message = `${error.message} ${needOf(blob, content)}`;
    return new SourceFailure(new IoError(message, { path: place, errno: error.errno, cause: error }));
  }
  if (!(error instanceof CorruptError)) return error;
  return damaged(place, `cannot be used (${reasonOf(error)})`, blob, content, error);
}

/** A blob that is not what the snapshot says: of another size, or with other content. */
export function damagedSource(
  blobs: BlobStore,
  blob: string,
  content: StoredContent,
  how: string,
): SourceFailure {
  return damaged(blobs.placeOf(blob), how, blob, content);
}

function damaged(
  place: string,
  how: string,
  blob: string,
  content: StoredContent,
  cause?: unknown,
): SourceFailure {
  const message = `The blob ${place} ${how}. ${needOf(blob, content)}`;
  return new SourceFailure(new CorruptError(message, { path: place, cause }));
}

function needOf(blob: string, { snapshot, parts }: StoredContent): string {
  for (const { source, entries } of parts) {
    const entry = entries.find((one) => piecesOfEntry(one).some((piece) => piece.blob === blob));
    if (!entry) continue;
    const { table, path } = kindOf(source.type)?.locate?.(entry.path) ?? {
      table: source.uri,
      path: entry.path,
    };
    return `Snapshot ${snapshot.id} needs it: ${table}, ${path}. It was not copied.`;
  }
  return `Snapshot ${snapshot.id} needs it, and was not copied.`;
}
