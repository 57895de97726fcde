import { types } from "node:util";
import type { Advice, Hint } from "./hint.ts";

export type { Hint, HintCall, HintOption } from "./hint.ts";

/**
 * Every error that this package throws on purpose. `code` is public and stable within a major version;
 * messages may change. A programmer's mistake in the types is a plain `TypeError` and not listed here.
 */
export type BackupErrorCode =
  | "IO"
  | "NOT_FOUND"
  | "LANCE"
  | "VALIDATION"
  | "BACKUP_NOT_FOUND"
  | "CONFLICT"
  | "LOCKED"
  | "RESTORE"
  | "CORRUPT"
  | "UNSUPPORTED"
  | "SHRUNK"
  | "IMPLAUSIBLE";

/** Base class: catch this to catch everything that the package itself raises. */
export abstract class BackupError extends Error {
  abstract readonly code: BackupErrorCode;
  /** What the message says to do, as data, in the message's order; undefined where it names no call and no option. */
  readonly hints: readonly Hint[] | undefined;

  constructor(message: string | Advice, options?: ErrorOptions) {
    super(typeof message === "string" ? message : message.text, options);
    this.name = new.target.name;
    if (typeof message !== "string" && message.hints.length > 0) this.hints = message.hints;
  }

  /**
   * What `JSON.stringify` writes: name, code, message and the error's own fields; of the errors behind it the same.
   *
   * @example
   * ```ts
   * try {
   *   await repository.get("nightly");
   * } catch (error) {
   *   console.log(JSON.stringify(error)); // {"name":"BackupNotFoundError","code":"BACKUP_NOT_FOUND",…}
   * }
   * ```
   */
  toJSON(): Record<string, unknown> {
    return fieldsOf(this, 0);
  }
}

/** Errors behind errors are told so far down; further ones, and circles, end there. */
const MOST_BEHIND = 8;

/** An error's name and message are not enumerable: JSON would have nothing of them. Of others' errors the code is told, and their cause. */
function fieldsOf(error: Error, depth: number): Record<string, unknown> {
  const { name, message, cause, stack: _stack, ...fields } = error as Error & Record<string, unknown>;
  const own = isBackupError(error)
    ? fields
    : typeof fields["code"] === "string"
      ? { code: fields["code"] }
      : {};
  const told = Object.entries({ ...own, ...(cause !== undefined && depth < MOST_BEHIND && { cause }) });
  return { name, message, ...Object.fromEntries(told.map(([key, value]) => [key, plain(value, depth + 1)])) };
}

function plain(value: unknown, depth: number): unknown {
  if (types.isNativeError(value)) return fieldsOf(value, depth);
  if (typeof value === "bigint") return String(value);
  if (typeof value !== "object") return value;
  try {
    return JSON.parse(JSON.stringify(value));
  } catch {
    return String(value); // a circle, or a bigint in it: what others throw may be anything
  }
}

/** Every class of them: a `switch` over `code` knows which fields there are. */
export type AnyBackupError =
  | IoError
  | NotFoundError
  | LanceError
  | ValidationError
  | BackupNotFoundError
  | ConflictError
  | LockedError
  | RestoreError
  | CorruptError
  | UnsupportedError
  | ShrunkError
  | ImplausibleError;

const CODES = {
  IO: true,
  NOT_FOUND: true,
  LANCE: true,
  VALIDATION: true,
  BACKUP_NOT_FOUND: true,
  CONFLICT: true,
  LOCKED: true,
  RESTORE: true,
  CORRUPT: true,
  UNSUPPORTED: true,
  SHRUNK: true,
  IMPLAUSIBLE: true,
} as const satisfies Record<BackupErrorCode, true>;

/**
 * Whether this package raised an error on purpose. By its code, so that the errors of another copy of it are known too.
 *
 * @example
 * ```ts
 * try {
 *   await manager.withBackup(async (db) => void (await db.dropTable("documents")));
 * } catch (error) {
 *   if (isBackupError(error) && error.code === "CONFLICT") console.log(error.backup, error.conflicts);
 *   else throw error;
 * }
 * ```
 */
export function isBackupError(error: unknown): error is AnyBackupError {
  return types.isNativeError(error) && "code" in error && Object.hasOwn(CODES, String(error.code));
}

/**
 * The file system or a store refused something. `path` is the file, directory or object, `errno` the system's name
 * (`ENOSPC`, `EACCES`, …). `retryAfterMs` is in how many milliseconds a store that is busy wants to be asked again.
 */
export class IoError extends BackupError {
  readonly code: "IO" | "NOT_FOUND" = "IO";
  readonly path: string | undefined;
  readonly errno: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(
    message: string | Advice,
    options?: ErrorOptions & {
      path?: string | undefined;
      errno?: string | undefined;
      retryAfterMs?: number | undefined;
    },
  ) {
    super(message, options);
    this.path = options?.path;
    this.errno = options?.errno;
    this.retryAfterMs = options?.retryAfterMs;
  }
}

/**
 * A storage has no object of this name, or a source has lost a file: `path` says which. It is an `IoError`, so that code that handles
 * those handles this too. Do not tell it by its `errno`: a directory that is away has the same.
 */
export class NotFoundError extends IoError {
  override readonly code = "NOT_FOUND";

  constructor(message: string | Advice, options?: ErrorOptions & { path?: string | undefined }) {
    super(message, { ...options, errno: "ENOENT" });
  }
}

/**
 * Whether an error says that a storage or a source has no such object. By its code, so that the errors of another copy of this
 * package are known too.
 *
 * @example
 * ```ts
 * try {
 *   for await (const piece of storage.read("notes/first")) console.log(piece.length);
 * } catch (error) {
 *   if (!isNotFound(error)) throw error;
 * }
 * ```
 */
export function isNotFound(error: unknown): boolean {
  return types.isNativeError(error) && "code" in error && error.code === "NOT_FOUND";
}

/** LanceDB raised an error inside one of our helpers; it is the `cause`. */
export class LanceError extends BackupError {
  readonly code = "LANCE";
}

/** Bad input. Nothing was written. Where it is one value of the rows that were given, `row` (from 0) and `column` say which. */
export class ValidationError extends BackupError {
  readonly code = "VALIDATION";
  readonly row: number | undefined;
  /** For nested values the path: `address.city`, `tags[]`. */
  readonly column: string | undefined;

  constructor(
    message: string | Advice,
    options?: ErrorOptions & { row?: number | undefined; column?: string | undefined },
  ) {
    super(message, options);
    this.row = options?.row;
    this.column = options?.column;
  }
}

/** No backup has this id, or its files are gone. */
export class BackupNotFoundError extends BackupError {
  readonly code = "BACKUP_NOT_FOUND";
  readonly id: string;

  constructor(id: string, message: string | Advice = `There is no backup "${id}".`, options?: ErrorOptions) {
    super(message, options);
    this.id = id;
  }
}

/** Versions of one table that a rollback would have hidden. */
export interface ConflictingVersions {
  readonly table: string;
  /** Lance versions committed by somebody else. They fit a double in practice; Lance counts from 1. */
  readonly versions: readonly number[];
}

/**
 * Going back would remove commits that somebody else was told had succeeded. The backup is kept: `backup` is its id, for
 * `restoreBackup` and `cleanupBackup`, where there is one to decide about.
 */
export class ConflictError extends BackupError {
  readonly code = "CONFLICT";
  readonly conflicts: readonly ConflictingVersions[];
  readonly backup: string | undefined;

  constructor(
    message: string | Advice,
    conflicts: readonly ConflictingVersions[],
    options?: ErrorOptions & { backup?: string | undefined },
  ) {
    super(message, options);
    this.conflicts = conflicts;
    this.backup = options?.backup;
  }
}

/** Another process holds the table's lock, or it cannot be known whether that process is alive. */
export class LockedError extends BackupError {
  readonly code = "LOCKED";
}

/**
 * A rollback or restore failed. `restoreError` says why; `workError` is the error that made it necessary
 * (absent for an explicit restore). The backup is still at `backupPath`.
 */
export class RestoreError extends BackupError {
  readonly code = "RESTORE";
  readonly restoreError: unknown;
  readonly workError: unknown;
  readonly backupPath: string;

  constructor(
    message: string | Advice,
    details: { restoreError: unknown; workError?: unknown; backupPath: string },
  ) {
    super(message, { cause: details.restoreError });
    this.restoreError = details.restoreError;
    this.workError = details.workError;
    this.backupPath = details.backupPath;
  }
}

/** A file is damaged: cut short, edited, of the wrong size, or with a wrong checksum. */
export class CorruptError extends BackupError {
  readonly code = "CORRUPT";
  readonly path: string | undefined;

  constructor(message: string | Advice, options?: ErrorOptions & { path?: string | undefined }) {
    super(message, options);
    this.path = options?.path;
  }
}

/** The table or the place uses a feature that we cannot capture in full. Nothing was half copied. */
export class UnsupportedError extends BackupError {
  readonly code = "UNSUPPORTED";
}

/** Tables are gone, or have far fewer rows than in the backup before, and `failOnShrink` was set. */
export class ShrunkError extends BackupError {
  readonly code = "SHRUNK";
  readonly tables: readonly {
    readonly table: string;
    readonly rowsBefore: number;
    readonly rows: number;
    readonly isGone: boolean;
  }[];

  constructor(message: string | Advice, tables: ShrunkError["tables"], options?: ErrorOptions) {
    super(message, options);
    this.tables = tables;
  }
}

/** A prune would remove good snapshots and keep implausible ones. Nothing was removed; `force` does it anyway. */
export class ImplausibleError extends BackupError {
  readonly code = "IMPLAUSIBLE";
  /** The snapshots that would be lost, by their ids, each with the reason. */
  readonly snapshots: readonly { readonly snapshot: string; readonly reason: string }[];

  constructor(message: string | Advice, snapshots: ImplausibleError["snapshots"], options?: ErrorOptions) {
    super(message, options);
    this.snapshots = snapshots;
  }
}
