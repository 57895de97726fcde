import { linkSync, statSync } from "node:fs";
import { join } from "node:path";
import { ValidationError } from "../../errors.ts";
import { errnoOf, isMissing, toIoError } from "../../fs/io.ts";
import { hasNoLinks } from "../../fs/name-new.ts";
import { runTasks } from "../../fs/workers/pool.ts";
import { damagedBlob, wrongSize } from "../blobs/blob-errors.ts";
import type { LocalDirectory } from "../blobs/blob-store.ts";
import { blobName } from "../format/names.ts";
import type { FileWriter, TargetFile } from "./write-files.ts";

/** Errors by which a file system says that it links nothing, or not from there to here. */
const CANNOT = ["EROFS"];

/** Links are made in stretches of this many, so that a long list does not hold the event loop. */
const STRETCH = 256;

/** Gives blobs further names, then hashes what these lead to. */
export async function linkFiles(
  storage: LocalDirectory,
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
    linkOne(storage, file);
    if (!verify) onFile(file);
  }
  if (!verify) return;
  const tasks = files.map((file) => ({ path: file.target, file }));
  await runTasks("hash", tasks, {
    bytesOf: (task) => (task as (typeof tasks)[number]).file.size,
    onDone: (task, { sha256 }) => {
      const { file } = task as (typeof tasks)[number];
      if (sha256 !== file.sha256) throw damagedBlob(storage, file);
      onFile(file);
    },
    parallel,
    signal,
  });
}

function linkOne(storage: LocalDirectory, file: TargetFile): void {
  const blob = join(storage.directory, blobName(file.sha256));
  try {
    linkSync(blob, file.target);
  } catch (error) {
    if (isMissing(error)) throw wrongSize(storage, file, undefined);
    if (!hasNoLinks(error) && !CANNOT.includes(errnoOf(error) ?? ""))
      throw toIoError(error, "link to", file.target);
    throw new ValidationError(
      `The file system cannot link ${blob} to ${file.target} (${errnoOf(error)}). Restore without link.`,
      { cause: error },
    );
  }
  const { size } = statSync(file.target);
  if (size !== file.size) throw wrongSize(storage, file, size);
}
