import { existsSync } from "node:fs";
import { BackupError, IoError, isNotFound, NotFoundError } from "../errors.ts";
import { isError, reasonOf, stackOf } from "../thrown.ts";

export { isError, reasonOf, stackOf };

/** The system's name of an error (`ENOENT`, `ENOSPC`, …), where it has one. */
export function errnoOf(error: unknown): string | undefined {
  return isError(error) && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

export function isMissing(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === "ENOENT" || errno === "ENOTDIR";
}

/** Whether a disk, or somebody's share of it, has no room left. */
export const isFull = saidBy("ENOSPC", "EDQUOT");
/** Whether a file system has said that it is read-only. */
export const isReadOnly = saidBy("EROFS");
/** Whether a place has said that it cannot be written to: it is read-only, or another user's. */
export function isNotWritable(error: unknown): error is Error {
  return saidBy("EROFS", "EACCES", "EPERM")(error);
}
/** Whether something has the name already. */
export const isTaken = saidBy("EEXIST");
/** Whether what has the name is no link. */
export const isNoLink = saidBy("EINVAL");
/** Whether what was seen as a file is not there any more, or something else is. */
export const isNoFileNow = saidBy("ENOENT", "ENOTDIR", "ELOOP", "ENXIO", "EISDIR", "ESTALE");
/** Whether a file cannot be read as long as nobody does something about it: by this user, or by its disk. */
export const mayNotBeRead = saidBy("EACCES", "EPERM", "EIO");
/** Whether there is no such process any more. */
export const isNoProcess = saidBy("ESRCH");
/** Whether nobody reads any more what is written: a pipe, or a terminal that was closed. */
export const isNotRead = saidBy("EPIPE", "EIO");
/** Whether another process listens at an address. */
export const isListenedAt = saidBy("EADDRINUSE");

/** Whether a disk has said that it cannot read what it holds. */
export function isUnreadable(error: unknown): error is IoError {
  return error instanceof IoError && error.errno === "EIO";
}

/** Whether the system, or Node, has refused it: not what was thrown for another reason. */
export function isOfSystem(error: unknown): boolean {
  return errnoIn(error) !== undefined;
}

/** Whether the system has said one of these, to us or to somebody who made an `IoError` of it. */
function saidBy(...names: readonly string[]): (error: unknown) => boolean {
  return (error) => names.includes(errnoIn(error) ?? "");
}

function errnoIn(error: unknown): string | undefined {
  return error instanceof IoError ? error.errno : errnoOf(error);
}

const ADVICE: Record<string, string> = {
  ENOSPC: "the disk is full; free some space on it and try again",
  EDQUOT: "the disk quota is used up",
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  EROFS: "the file system is read-only",
  EMFILE: "too many files are open in this process; raise its limit (ulimit -n)",
  ENFILE: "too many files are open on this machine",
  EIO: "the device reported an input/output error; check the disk",
};

/** Whether the file system has refused it for a reason that is no fault of the program. */
export const isRefused = saidBy(...Object.keys(ADVICE));

/** An `IoError` that names action, path and cause; errors of this package pass unchanged. */
export function toIoError(error: unknown, action: string, path: string): BackupError {
  if (error instanceof BackupError) return error;
  const errno = errnoOf(error);
  const reason = (errno && ADVICE[errno]) ?? reasonOf(error);
  return new IoError(`Could not ${action} ${path}: ${reason}${errno ? ` (${errno})` : ""}.`, {
    cause: error,
    path,
    errno,
  });
}

/** The same of a file that is read: one that is not there is a `NotFoundError`. */
export function toReadError(error: unknown, path: string): BackupError {
  if (isNotFound(error) || !isVanished(error)) return toIoError(error, "read", path);
  const message =
    error instanceof IoError ? error.message : `Could not read ${path}: there is no such file (ENOENT).`;
  return new NotFoundError(message, { path, cause: error });
}

/** Whether the file system has said that a file is not there, to us or to somebody who made an `IoError` of it. */
export const isVanished = saidBy("ENOENT");

/** Whether anything has the name now. */
export const stillThere = (path: string) => existsSync(path);

/** Runs `task`; what the file system refuses comes out as an `IoError` naming action and path. */
export async function io<T>(action: string, path: string, task: () => Promise<T> | T): Promise<T> {
  try {
    return await task();
  } catch (error) {
    throw toIoError(error, action, path);
  }
}
