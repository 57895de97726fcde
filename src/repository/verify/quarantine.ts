import { mkdir, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { UnsupportedError } from "../../errors.ts";
import { io } from "../../fs/io.ts";
import type { Storage } from "../../storage/storage.ts";
import { blobName } from "../format/names.ts";
import type { BlobState } from "./blob-survey.ts";
import { count, type VerificationResult } from "./result.ts";

const QUARANTINE = "quarantine";

/** @throws UnsupportedError where blobs cannot be renamed. */
export function assertQuarantine(storage: Storage): string {
  if (storage.directory !== undefined) return storage.directory;
  throw new UnsupportedError(
    `quarantine needs a repository in a local directory; this one is at ${storage.location}.`,
  );
}

/**
 * Moves blobs that were read and are not what their names say out of the way, into `quarantine/`. While such a blob is
 * there, a backup takes it for the file that it was and stores nothing; once it is gone, the next backup of a database
 * that still has the file stores it anew, under the same name, which mends every snapshot that needs it.
 */
export async function quarantine(
  directory: string,
  states: ReadonlyMap<string, BlobState>,
): Promise<VerificationResult[]> {
  const damaged = [...states].filter(([name, { sha256 }]) => sha256 !== undefined && sha256 !== name);
  if (damaged.length === 0) return [];
  for (const [sha256] of damaged) {
    const [from, to] = [join(directory, blobName(sha256)), join(directory, QUARANTINE, sha256)];
    await io("move aside", from, async () => {
      await mkdir(dirname(to), { recursive: true });
      await rename(from, to);
    });
  }
  const details = `${count(damaged.length, "damaged blob")} moved to ${join(directory, QUARANTINE)}. The next backup of a database that still has these files stores them anew.`;
  return [{ snapshot: "", check: "quarantine", ok: true, details }];
}
