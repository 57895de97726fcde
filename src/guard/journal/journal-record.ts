import { readFileSync } from "node:fs";
import { type BackupError, CorruptError, UnsupportedError } from "../../errors.ts";
import { ifThere } from "../../fs/held-root.ts";
import { errnoOf, toIoError } from "../../fs/io.ts";
import { decodeRecord } from "../../fs/record.ts";

/**
 * Reads a file that `encodeRecord` made; undefined where there is none.
 *
 * @throws CorruptError naming the file where it is cut short, edited, or of a newer format: what it holds back stays so.
 */
export function readRecord(path: string): unknown {
  let bytes: Uint8Array | undefined;
  try {
    bytes = ifThere(path, () => readFileSync(path));
  } catch (error) {
    throw unreadable(error, path);
  }
  if (bytes === undefined) return undefined;
  try {
    return decodeRecord(bytes, path);
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
    throw new CorruptError(`${error.message} Or move the file away.`, { path, cause: error });
  }
}

/** The error for a file that cannot be read: damage where it is none, what the file system says otherwise. */
export function unreadable(error: unknown, path: string): BackupError {
  if (errnoOf(error) !== "EISDIR") return toIoError(error, "read", path);
  return new CorruptError(`${path} is a directory, not the file that it should be.`, { path, cause: error });
}
