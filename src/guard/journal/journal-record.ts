import { readFileSync } from "node:fs";
import { type BackupError, CorruptError, UnsupportedError } from "../../errors.ts";
import { ifThere } from "../../fs/held-root.ts";
import { errnoOf, toIoError } from "../../fs/io.ts";
import { decodeRecord } from "../../fs/record.ts";
import { isOwner, type Owner } from "../../lance/lock/lock-owner.ts";

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
function unreadable(error: unknown, path: string): BackupError {
  if (errnoOf(error) !== "EISDIR") return toIoError(error, "read", path);
  return new CorruptError(`${path} is a directory, not the file that it should be.`, { path, cause: error });
}

/** Who made an entry, and for what; it is there before any record. */
export interface EntryOwner {
  readonly owner: Owner;
  readonly uuid: string;
  /** Where the backup is to be, for a strategy that keeps it outside. */
  readonly backupPath: string | undefined;
  readonly database: string | undefined;
  readonly home: string | undefined;
}

/** Undefined where there is none, or a power cut emptied it. @throws CorruptError where it is damaged. */
export function readEntryOwner(path: string): EntryOwner | undefined {
  let text: string | undefined;
  try {
    text = ifThere(path, () => readFileSync(path, "utf8"));
  } catch (error) {
    throw unreadable(error, path);
  }
  if (text === undefined) return undefined;
  // It appears whole, and is not synced: only a power cut empties it, and then nobody lives.
  if (/^\0*$/.test(text)) return undefined;
  try {
    const value = JSON.parse(text) as Record<string, unknown>;
    const { owner, uuid } = value;
    if (isOwner(owner) && typeof uuid === "string") {
      const [backupPath, database, home] = ["backupPath", "database", "home"].map((key) => {
        const field = value[key];
        return typeof field === "string" ? field : undefined;
      });
      return { owner, uuid, backupPath, database, home };
    }
  } catch (error) {
    throw new CorruptError(`${path} is damaged.`, { path, cause: error });
  }
  throw new CorruptError(`${path} names no owner.`, { path });
}
