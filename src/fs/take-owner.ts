import { lchownSync, lstatSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { errnoOf, isMissing, toIoError } from "./io.ts";

// Root works in directories of others: a nightly backup, a repair by hand. What it makes there takes the owner and
// group of the directory around it, or the application could no longer write to its own database.

const KEPT = new Set(["EPERM", "EACCES", "EINVAL", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EROFS"]);

/**
 * As root: gives what was just made the owner and group of its directory. Nothing for other users, and where owners
 * cannot be given: the files serve root all the same, and doctor names them.
 *
 * @throws IoError
 */
export function takeOwner(path: string): void {
  if (!isRoot()) return;
  try {
    const { uid, gid } = statSync(dirname(path));
    if (uid !== 0 || gid !== 0) lchownSync(path, uid, gid);
  } catch (error) {
    // Gone by now, too: others may move what is theirs.
    if (!isMissing(error) && !keepsOwners(error))
      throw toIoError(error, "give to the owner of its directory", path);
  }
}

/**
 * The same for what LanceDB has made below a directory: all that is root's takes the directory's owner.
 *
 * @throws IoError
 */
export function takeOwnerBelow(directory: string): void {
  if (!isRoot()) return;
  const around = lstatSync(directory, { throwIfNoEntry: false });
  if (!around?.isDirectory() || around.uid === 0) return;
  for (const entry of entriesOf(directory)) {
    const path = join(directory, entry.name);
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found?.uid === 0) takeOwner(path);
    if (found?.isDirectory()) takeOwnerBelow(path);
  }
}

/** Whether this process can give files away. */
export function isRoot(): boolean {
  return process.geteuid?.() === 0;
}

/** Whether a file system, or a process without the right, has said that it keeps owners as they are. */
export function keepsOwners(error: unknown): boolean {
  return KEPT.has(errnoOf(error) ?? "");
}

function entriesOf(directory: string) {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    if (isMissing(error)) return [];
    throw toIoError(error, "list", directory);
  }
}
