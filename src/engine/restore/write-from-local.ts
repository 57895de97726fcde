import { syncTogether } from "../../fs/durable.ts";
import type { RestoreTask } from "../../fs/workers/file-tasks.ts";
import { runTasks } from "../../fs/workers/pool.ts";
import type { LocalFiles } from "../../storage/local-files.ts";
import { damagedBlob, wrongSize } from "../blobs/blob-errors.ts";
import { blobName } from "../format/names.ts";
import type { FileWriter, TargetFile } from "./read-entries.ts";

/** Files up to this size are put on the disk together at the end, where there are enough of them. */
const SMALL_BYTES = 1 << 20;
const MANY = 64;

interface Task extends RestoreTask {
  readonly file: TargetFile;
}

/** Copies blobs by worker threads, and hashes the copies. */
export async function writeFromLocal(
  local: LocalFiles,
  writer: FileWriter,
  files: readonly TargetFile[],
): Promise<void> {
  const { blobs, directory, verify, parallel, signal, onFile } = writer;
  const small = files.filter((file) => file.size <= SMALL_BYTES);
  const together = small.length >= MANY;
  const tasks: Task[] = files.map((file) => ({
    source: local.pathOf(blobName(file.sha256)),
    target: file.target,
    hash: verify === true,
    sync: !together || file.size > SMALL_BYTES,
    file,
  }));
  await runTasks("restore", tasks, {
    bytesOf: (task) => (task as Task).file.size,
    onDone: (task, { bytes, sha256 }) => {
      const { file } = task as Task;
      if (bytes !== file.size) throw wrongSize(blobs.storage, file, bytes);
      if (sha256 !== undefined && sha256 !== file.sha256) throw damagedBlob(blobs.storage, file);
      onFile(file);
    },
    parallel,
    signal,
  });
  signal?.throwIfAborted();
  if (together) {
    await syncTogether(
      directory,
      small.map((file) => file.target),
    );
  }
}
