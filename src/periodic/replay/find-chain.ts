import { BackupNotFoundError } from "../../errors.ts";
import { backToFull } from "../chain/back-to-full.ts";
import { listBackupFiles } from "../chain/directory.ts";
import { isoTime } from "../chain/file-name.ts";
import { Heads } from "../chain/heads.ts";

/**
 * The files that lead to the state at a time: paths of a full and its deltas, oldest first. They are found by what
 * each delta says that it follows, so that a missing one is missed.
 *
 * @throws BackupNotFoundError where nothing is that old.
 * @throws CorruptError, IoError where a file is missing, unreadable, or another than the next one follows.
 */
export async function findChain(directory: string, at: Date | undefined): Promise<string[]> {
  const latest = at === undefined ? Number.POSITIVE_INFINITY : at.getTime() * 1000 + 999;
  const files = listBackupFiles(directory);
  const newest = files.findLast((file) => file.micros <= latest);
  if (newest === undefined) {
    const [oldest] = files;
    const what = oldest ? `the oldest is of ${isoTime(oldest.micros)}` : "there is none at all";
    const when = at === undefined ? "" : ` of ${at.toISOString()} or before`;
    throw new BackupNotFoundError(directory, `There is no periodic backup${when} in ${directory}: ${what}.`);
  }
  const heads = new Heads(directory);
  const chain = await backToFull(newest, files, heads);
  return chain.reverse().map((file) => heads.path(file.name));
}
