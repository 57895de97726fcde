import { createHash } from "node:crypto";
import { BackupError, CorruptError, UnsupportedError } from "../../errors.ts";
import { assertWritable } from "../../storage/layers/read-only-storage.ts";
import type { LocalFiles } from "../../storage/local-files.ts";
import type { Storage } from "../../storage/storage.ts";
import { counted } from "../../util/format.ts";
import { isOfUnknownKey } from "../blobs/blob-codec.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import { blobName } from "../format/names.ts";
import { readSmall } from "../read-small.ts";
import type { BlobState } from "./blob-survey.ts";
import type { VerificationResult } from "./result.ts";

const QUARANTINE = "quarantine/";

/** @throws UnsupportedError where blobs cannot be renamed. @throws IoError where the repository was opened for reading. */
export function assertQuarantine(storage: Storage): LocalFiles {
  assertWritable(storage);
  if (storage.local) return storage.local;
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
  store: BlobStore,
  states: ReadonlyMap<string, BlobState>,
  signal?: AbortSignal,
): Promise<VerificationResult[]> {
  const local = assertQuarantine(store.storage);
  let moved = 0;
  for (const [name, { sha256, error }] of states) {
    const isOther = sha256 !== undefined && sha256 !== name;
    const isBroken = error instanceof CorruptError && !isOfUnknownKey(error);
    if (!isOther && !isBroken) continue;
    const aside = QUARANTINE + name;
    if (!(await isDamaged(store, blobName(name), name, signal))) continue; // or gone
    if (await local.setAside(blobName(name), aside, () => isDamaged(store, aside, name))) moved += 1;
  }
  if (moved === 0) return [];
  const details = `${counted(moved, "damaged blob")} moved to ${local.pathOf("quarantine")}. The next backup of a database that still has these files stores them again.`;
  return [{ snapshot: "", check: "quarantine", ok: true, details }];
}

/** False where it is gone, or cannot be read, which the verification has said. */
async function isDamaged(
  { storage, codec }: BlobStore,
  object: string,
  name: string,
  signal?: AbortSignal,
): Promise<boolean> {
  if (codec.name !== "plain") {
    try {
      await codec.decode(await readSmall(storage, object, signal), name, `${storage.location}/${object}`);
      return false;
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof CorruptError) return true;
      if (error instanceof BackupError) return false;
      throw error;
    }
  }
  const hash = createHash("sha256");
  try {
    for await (const piece of storage.read(object, { signal })) hash.update(piece);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof BackupError) return false;
    throw error;
  }
  return hash.digest("hex") !== name;
}
