import { isNotFound } from "../../errors.ts";
import { linkFile } from "../../fs/name-file.ts";
import { runTasks } from "../../fs/workers/pool.ts";
import type { LocalFiles } from "../../storage/local-files.ts";
import { damagedBlob, wrongSize } from "../blobs/blob-errors.ts";
import { blobName } from "../format/names.ts";
import type { FileWriter, TargetFile } from "./read-entries.ts";

/** Links are made in stretches of this many, so that a long list does not hold the event loop. */
const STRETCH = 256;

/** Gives blobs further names, then hashes what these lead to. */
export async function linkFiles(
  local: LocalFiles,
  writer: FileWriter,
  files: readonly TargetFile[],
): Promise<void> {
  const { verify, parallel, signal, onFile } = writer;
  let sinceYield = 0;
  for (const file of files) {
    if (++sinceYield % STRETCH === 0) {
      await new Promise((resolve) => setImmediate(resolve));
      signal?.throwIfAborted();
    }
    linkOne(local, writer, file);
    if (!verify) onFile(file);
  }
  if (!verify) return;
  const tasks = files.map((file) => ({ path: file.target, file }));
  await runTasks("hash", tasks, {
    bytesOf: (task) => (task as (typeof tasks)[number]).file.size,
    onDone: (task, { sha256 }) => {
      const { file } = task as (typeof tasks)[number];
      if (sha256 !== file.sha256) throw damagedBlob(writer.blobs.storage, file);
      onFile(file);
    },
    parallel,
    signal,
  });
}

function linkOne(local: LocalFiles, { blobs }: FileWriter, file: TargetFile): void {
  let size: number | undefined;
  try {
    size = linkFile(local.pathOf(blobName(file.sha256)), file.target);
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  if (size !== file.size) throw wrongSize(blobs.storage, file, size);
}
