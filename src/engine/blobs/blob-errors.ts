import { CorruptError, isNotFound } from "../../errors.ts";
import { isError, toIoError } from "../../fs/io.ts";
import type { Storage } from "../../storage/storage.ts";
import { blobName } from "../format/names.ts";

/** A file of a snapshot, and the blob that it needs. */
export interface BlobUse {
  /** The table's id. */
  readonly table: string;
  readonly path: string;
  /** The blob's name; the file's digest, where that is all that is known of it. */
  readonly sha256: string;
  /** Bytes of the blob's plain content. */
  readonly size: number;
}

/** A blob of the right name whose content is not what it says. */
export function damagedBlob(storage: Storage, use: BlobUse): CorruptError {
  return corrupt(storage, use, "is damaged: its content does not match its name");
}

/** @param found its size; undefined where it is not there. */
export function wrongSize(storage: Storage, use: BlobUse, found: number | undefined): CorruptError {
  const how = found === undefined ? "is missing" : `has ${found} bytes instead of ${use.size}`;
  return corrupt(storage, use, how);
}

/** What an error from reading a blob means: that it is gone is damage, all else is the storage's own. */
export function missingBlob(error: unknown, storage: Storage, use: BlobUse): unknown {
  if (isNotFound(error)) return wrongSize(storage, use, undefined);
  return isError(error) && "code" in error ? toIoError(error, "read", storage.location) : error;
}

function corrupt(storage: Storage, { table, path, sha256 }: BlobUse, how: string): CorruptError {
  const blob = `${storage.location}/${blobName(sha256)}`;
  return new CorruptError(
    `The blob ${blob} ${how}. Table ${table} needs it as ${path}. Nothing was restored; other snapshots, and tables that do not share the blob, can be.`,
    { path: blob },
  );
}

export function longerThan(path: string, bytes: number): CorruptError {
  return new CorruptError(`${path} gives more bytes than the ${bytes} that it is said to have.`, { path });
}
