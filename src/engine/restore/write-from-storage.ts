import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { syncTogether } from "../../fs/sync-together.ts";
import { takeOwner } from "../../fs/take-owner.ts";
import type { Storage } from "../../storage/storage.ts";
import { damagedBlob, missingBlob, wrongSize } from "../blob-errors.ts";
import { blobName } from "../format/names.ts";
import { forEachParallel } from "../parallel.ts";
import type { FileWriter, TargetFile } from "./write-files.ts";

const PARALLEL_READS = 4;

/** Streams blobs through a storage, and hashes what comes. */
export async function writeFromStorage(writer: FileWriter): Promise<void> {
  const { storage, files, directory, parallel = PARALLEL_READS, signal, onFile } = writer;
  await forEachParallel(files, parallel, async (file) => {
    signal?.throwIfAborted();
    await writeOne(storage, file, writer);
    onFile(file);
  });
  signal?.throwIfAborted();
  await syncTogether(
    directory,
    files.map((file) => file.target),
  );
}

async function writeOne(
  storage: Storage,
  file: TargetFile,
  { verify, signal }: Pick<FileWriter, "verify" | "signal">,
): Promise<void> {
  const hash = createHash("sha256");
  let bytes = 0;
  const target = await open(file.target, "wx");
  takeOwner(file.target);
  try {
    for await (const piece of piecesOf(storage, file, signal)) {
      bytes += piece.length;
      if (bytes > file.size) break;
      if (verify) hash.update(piece);
      await writeWhole(target, piece);
    }
  } finally {
    await target.close();
  }
  if (bytes !== file.size) throw wrongSize(storage, file, bytes);
  if (verify && hash.digest("hex") !== file.sha256) throw damagedBlob(storage, file);
}

async function* piecesOf(
  storage: Storage,
  file: TargetFile,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  try {
    yield* storage.read(blobName(file.sha256), { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw missingBlob(error, storage, file);
  }
}

async function writeWhole(target: FileHandle, piece: Uint8Array): Promise<void> {
  for (let rest = piece; rest.length > 0; ) {
    const { bytesWritten } = await target.write(rest);
    rest = rest.subarray(bytesWritten);
  }
}
