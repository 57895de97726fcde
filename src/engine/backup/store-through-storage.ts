import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { CorruptError } from "../../errors.ts";
import { errnoOf, toIoError } from "../../fs/io.ts";
import { runTasks } from "../../fs/workers/pool.ts";
import type { Storage } from "../../storage/storage.ts";
import { blobName } from "../format/names.ts";
import { forEachParallel } from "../parallel.ts";
import type { CapturedFile } from "../source.ts";
import type { StoredFile, StoreRequest } from "./write-blobs.ts";

const PARALLEL_WRITES = 4;
const PIECE_BYTES = 1 << 20;

/** Hashes files by worker threads, then writes through the storage those that it does not have. */
export async function storeThroughStorage(
  storage: Storage,
  request: StoreRequest,
): Promise<ReadonlyMap<CapturedFile, StoredFile>> {
  const { files, signal, onStored } = request;
  const digests = new Map<CapturedFile, string>();
  const inputs = files.map((file) => ({ path: file.location }));
  const fileOf = new Map(inputs.map((input, index) => [input, files[index] as CapturedFile]));
  await runTasks("hash", inputs, {
    bytesOf: (input) => fileOf.get(input)?.size ?? 0,
    onDone: (input, { sha256, bytes }) => {
      const file = fileOf.get(input) as CapturedFile;
      if (bytes !== file.size) throw changed(file);
      digests.set(file, sha256);
    },
    signal,
  }).catch((error: unknown) => {
    throw errnoOf(error) ? toIoError(error, "back up into", storage.location) : error;
  });
  const stored = new Map<CapturedFile, StoredFile>();
  const first = new Map<string, CapturedFile>();
  for (const [file, sha256] of digests) {
    if (first.has(sha256)) {
      stored.set(file, { sha256, isNew: false });
      onStored(file);
    } else first.set(sha256, file);
  }
  await forEachParallel([...first], PARALLEL_WRITES, async ([sha256, file]) => {
    signal?.throwIfAborted();
    const name = blobName(sha256);
    const isThere = (await storage.stat(name))?.size === file.size;
    if (!isThere) await storage.write(name, contentOf(file, sha256), { signal });
    stored.set(file, { sha256, isNew: !isThere });
    onStored(file);
  });
  return stored;
}

/** What is written is hashed once more on its way: an object never gets a name that is not its content's. */
async function* contentOf(file: CapturedFile, sha256: string): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  try {
    for await (const piece of createReadStream(file.location, { highWaterMark: PIECE_BYTES })) {
      hash.update(piece as Buffer);
      yield piece as Buffer;
    }
  } catch (error) {
    throw toIoError(error, "read", file.location);
  }
  if (hash.digest("hex") !== sha256) throw changed(file);
}

function changed(file: CapturedFile): CorruptError {
  return new CorruptError(
    `${file.location} changed while it was read. Lance never changes a file: who does, or is the disk failing?`,
    { path: file.location },
  );
}
