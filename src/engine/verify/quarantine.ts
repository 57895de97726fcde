import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { UnsupportedError } from "../../errors.ts";
import { io, isMissing } from "../../fs/io.ts";
import { makeDirectory } from "../../fs/make-directory.ts";
import { nameNew } from "../../fs/name-new.ts";
import { assertWritable } from "../../storage/layers/read-only-storage.ts";
import type { Storage } from "../../storage/storage.ts";
import { blobName } from "../format/names.ts";
import type { BlobState } from "./blob-survey.ts";
import { count, type VerificationResult } from "./result.ts";

const QUARANTINE = "quarantine";

/** @throws UnsupportedError where blobs cannot be renamed. @throws IoError where the repository was opened for reading. */
export function assertQuarantine(storage: Storage): string {
  assertWritable(storage);
  if (storage.directory !== undefined) return storage.directory;
  throw new UnsupportedError(
    `quarantine needs a repository in a local directory; this one is at ${storage.location}.`,
  );
}

/**
 * Moves blobs that were read and are not what their names say out of the way, into `quarantine/`. While such a blob is
 * there, a backup takes it for the file that it was and stores nothing; once it is gone, the next backup of a database
 * that still has the file stores it anew, under the same name, which mends every snapshot that needs it.
 *
 * A backup may have done so since they were read, so each is read again, and once more when it has been moved.
 */
export async function quarantine(
  directory: string,
  states: ReadonlyMap<string, BlobState>,
  signal?: AbortSignal,
): Promise<VerificationResult[]> {
  let moved = 0;
  for (const [name, { sha256 }] of states) {
    if (sha256 === undefined || sha256 === name) continue;
    if (await moveAside(directory, name, signal)) moved += 1;
  }
  if (moved === 0) return [];
  const details = `${count(moved, "damaged blob")} moved to ${join(directory, QUARANTINE)}. The next backup of a database that still has these files stores them anew.`;
  return [{ snapshot: "", check: "quarantine", ok: true, details }];
}

/** False where the blob is sound by now, or gone. */
async function moveAside(directory: string, name: string, signal?: AbortSignal): Promise<boolean> {
  const [from, to] = [join(directory, blobName(name)), join(directory, QUARANTINE, name)];
  if (!(await isDamaged(name, from, signal))) return false;
  return io("move aside", from, async () => {
    makeDirectory(dirname(to), directory);
    try {
      await rename(from, to);
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
    if (await isDamaged(name, to)) return true;
    await nameNew(to, from);
    await rm(to, { force: true }); // without links it was renamed
    return false;
  });
}

/** False where it is gone, or cannot be read, which the verification has said. */
async function isDamaged(name: string, path: string, signal?: AbortSignal): Promise<boolean> {
  const hash = createHash("sha256");
  try {
    await pipeline(createReadStream(path), hash, { signal });
  } catch {
    signal?.throwIfAborted();
    return false;
  }
  return hash.digest("hex") !== name;
}
