import { dirname, join } from "node:path";
import { syncDirectories } from "../../fs/durable.ts";
import { toIoError } from "../../fs/io.ts";
import { makeDirectory } from "../../fs/make-directory.ts";
import type { Storage } from "../../storage/storage.ts";
import { hasDirectory } from "../backup/store-locally.ts";
import type { OnProgress } from "../progress.ts";
import type { SnapshotFile } from "../snapshot.ts";
import { linkFiles } from "./link-files.ts";
import { writeFromLocal } from "./write-from-local.ts";
import { writeFromStorage } from "./write-from-storage.ts";

/** A table's files, and the directory that they go into. */
export interface FilesOfTable {
  readonly id: string;
  readonly directory: string;
  readonly files: readonly SnapshotFile[];
}

export interface WriteRequest {
  readonly storage: Storage;
  /** Each table's files go below `<directory>/<the table's directory>/`. Nothing is there yet. */
  readonly directory: string;
  readonly tables: readonly FilesOfTable[];
  readonly link?: boolean | undefined;
  readonly verify?: boolean | undefined;
  readonly parallel?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** A file that is to be written. */
export interface TargetFile {
  /** The table's id, and the path inside its directory: for messages. */
  readonly table: string;
  readonly path: string;
  readonly sha256: string;
  readonly size: number;
  /** Absolute. */
  readonly target: string;
}

export interface FileWriter extends Omit<WriteRequest, "tables" | "onProgress"> {
  readonly files: readonly TargetFile[];
  readonly onFile: (file: TargetFile) => void;
}

/**
 * Writes files from their blobs, each held to its digest; on the disk when it returns, their directories too.
 *
 * @throws CorruptError naming file and blob where a digest or size does not fit. What was written stays.
 */
export async function writeFiles(request: WriteRequest): Promise<void> {
  const { storage, directory, tables, signal, onProgress } = request;
  const files = tables.flatMap((table) => targetsOf(table, join(directory, table.directory)));
  const directories = makeDirectories(directory, files);
  const totalBytes = files.reduce((sum, file) => sum + file.size, 0);
  let [done, bytes] = [0, 0];
  const onFile = ({ size }: TargetFile) => {
    done++;
    bytes += size;
    onProgress?.({ phase: "write", files: done, bytes, totalFiles: files.length, totalBytes });
  };
  signal?.throwIfAborted();
  const { verify = true, link = false } = request;
  const writer: FileWriter = { ...request, verify, link, files, onFile };
  try {
    if (!hasDirectory(storage)) await writeFromStorage(writer);
    else if (link) await linkFiles(storage, writer);
    else await writeFromLocal(storage, writer);
  } catch (error) {
    signal?.throwIfAborted();
    throw toIoError(error, "restore to", directory);
  }
  signal?.throwIfAborted();
  await syncDirectories(directories);
}

function targetsOf(table: WriteRequest["tables"][number], root: string): TargetFile[] {
  return table.files.map(({ path, sha256, size }) => ({
    table: table.id,
    path,
    sha256,
    size,
    target: join(root, path),
  }));
}

/** Answers with all of them, up to the root. */
function makeDirectories(root: string, files: readonly TargetFile[]): Set<string> {
  const directories = new Set([root]);
  for (const { target } of files) {
    const inner = dirname(target);
    if (!directories.has(inner)) makeDirectory(inner, root);
    for (let current = inner; !directories.has(current); current = dirname(current)) directories.add(current);
  }
  return directories;
}
