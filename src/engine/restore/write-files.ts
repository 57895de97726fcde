import { dirname, join } from "node:path";
import { UnsupportedError } from "../../errors.ts";
import { makeDirectory } from "../../fs/directory-tree.ts";
import { syncDirectories } from "../../fs/durable.ts";
import { toIoError } from "../../fs/io.ts";
import { advice } from "../../hint.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import { linkFiles } from "./link-files.ts";
import type { FileWriter, TargetFile, WriteRequest } from "./read-entries.ts";
import { writeFromLocal } from "./write-from-local.ts";
import { writeFromStorage } from "./write-from-storage.ts";

/**
 * Writes files from their blobs, each held to its digest; on the disk when it returns, their directories too.
 *
 * @throws CorruptError naming file and blob where a digest or size does not fit. What was written stays.
 */
export async function writeFiles(request: WriteRequest): Promise<void> {
  const { blobs, directory, tables, signal, onProgress } = request;
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
  const writer: FileWriter = { ...request, verify, link, onFile };
  try {
    const { local } = blobs;
    const { plain = [], other = [] } = Object.groupBy(files, (file) =>
      blobs.fileOf(file) === undefined ? "other" : "plain",
    );
    const [stuck] = other;
    if (link && stuck) throw cannotLink(blobs, stuck);
    if (local && plain.length > 0) await (link ? linkFiles : writeFromLocal)(local, writer, plain);
    if (other.length > 0) await writeFromStorage(writer, other);
  } catch (error) {
    signal?.throwIfAborted();
    throw toIoError(error, "restore to", directory);
  }
  signal?.throwIfAborted();
  await syncDirectories(directories);
}

function targetsOf(table: WriteRequest["tables"][number], root: string): TargetFile[] {
  return table.files.map(({ path, sha256, size, pieces }) => ({
    ...{ table: table.id, path, sha256, size, pieces },
    target: join(root, path),
  }));
}

function cannotLink({ storage }: BlobStore, { table, path }: TargetFile): UnsupportedError {
  return new UnsupportedError(
    advice`Table ${table} has ${path}, whose bytes are no file of their own in ${storage.location}, and cannot be linked. Restore it ${{ options: { link: false } }}.`,
  );
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
