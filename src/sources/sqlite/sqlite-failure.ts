import {
  BackupError,
  type BackupErrorCode,
  CorruptError,
  IoError,
  LockedError,
  NotFoundError,
  UnsupportedError,
  ValidationError,
} from "../../errors.ts";
import { errnoOf, isError, reasonOf, toIoError } from "../../fs/io.ts";

/** An error as it goes from one process to another. */
export interface Failure {
  readonly code: BackupErrorCode;
  readonly message: string;
  readonly path?: string | undefined;
  readonly errno?: string | undefined;
}

/** SQLite's primary result codes (https://www.sqlite.org/rescode.html) that mean something to a caller. */
export const SQLITE = {
  error: 1,
  busy: 5,
  locked: 6,
  readOnly: 8,
  ioError: 10,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  notADatabase: 26,
} as const;

/** The primary code of an error that SQLite has raised. */
export function sqliteCode(error: unknown): number | undefined {
  if (!isError(error) || !("errcode" in error) || typeof error.errcode !== "number") return undefined;
  return error.errcode & 0xff;
}

/**
 * What SQLite says, in this package's words.
 *
 * @param action as in "Could not <action> <path>"
 */
export function fromSqlite(error: unknown, action: string, path: string): BackupError {
  const code = sqliteCode(error);
  if (code === undefined) return toIoError(error, action, path);
  const reason = reasonOf(error);
  const options = { cause: error, path };
  switch (code) {
    case SQLITE.busy:
    case SQLITE.locked:
      return new LockedError(
        `Could not ${action} ${path}: another connection holds it (${reason}). Wait for its transaction to end; one with locking_mode=EXCLUSIVE must be closed.`,
        { cause: error },
      );
    case SQLITE.corrupt:
    case SQLITE.notADatabase:
      return new CorruptError(`Could not ${action} ${path}: it is damaged (${reason}).`, options);
    case SQLITE.full:
      return new IoError(
        `Could not ${action} ${path}: the disk is full; free some space on it, or name another temporary directory by TMPDIR (ENOSPC).`,
        { ...options, errno: "ENOSPC" },
      );
    case SQLITE.ioError:
      return new IoError(`Could not ${action} ${path}: ${reason} (EIO).`, { ...options, errno: "EIO" });
    case SQLITE.error:
      return new UnsupportedError(`Could not ${action} ${path}: ${reason}.`, { cause: error });
    default:
      return new IoError(`Could not ${action} ${path}: SQLite says "${reason}" (${code}).`, options);
  }
}

export function toFailure(error: unknown): Failure {
  const known = error instanceof BackupError ? error : toIoError(error, "use", "a SQLite database");
  const path = "path" in known && typeof known.path === "string" ? known.path : undefined;
  const errno = known instanceof IoError ? known.errno : errnoOf(error);
  return { code: known.code, message: known.message, path, errno };
}

export function fromFailure({ code, message, path, errno }: Failure): BackupError {
  switch (code) {
    case "NOT_FOUND":
      return new NotFoundError(message, { path });
    case "LOCKED":
      return new LockedError(message);
    case "CORRUPT":
      return new CorruptError(message, { path });
    case "VALIDATION":
      return new ValidationError(message);
    case "UNSUPPORTED":
      return new UnsupportedError(message);
    default:
      return new IoError(message, { path, errno });
  }
}
