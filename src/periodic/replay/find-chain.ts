import { BackupNotFoundError } from "../../errors.ts";
import type { Logger } from "../../logger.ts";
import { backToFull } from "../chain/back-to-full.ts";
import { listBackupFiles, soundFiles } from "../chain/directory.ts";
import { type BackupFileName, isoTime } from "../chain/file-name.ts";
import { Heads } from "../chain/heads.ts";

/**
 * The files that lead to the state at a time: paths of a full and its deltas, oldest first. They are found by what
 * each delta says that it follows, so that a missing one is missed. Files from the future serve where there are no others
 * alone: the clock was wrong when they were written, or is wrong now.
 *
 * @throws BackupNotFoundError where nothing is that old.
 * @throws CorruptError, IoError where a file is missing, unreadable, or another than the next one follows.
 */
export async function findChain(
  directory: string,
  at: Date | undefined,
  { logger, nowMs = Date.now() }: { readonly logger?: Logger; readonly nowMs?: number } = {},
): Promise<string[]> {
  const latest = at === undefined ? Number.POSITIVE_INFINITY : at.getTime() * 1000 + 999;
  const files = listBackupFiles(directory);
  const sound = soundFiles(files, nowMs);
  const isMeant = (file: BackupFileName) => file.micros <= latest;
  const newest = sound.findLast(isMeant) ?? files.findLast(isMeant);
  const ahead = files.filter((file) => !sound.includes(file)).map(({ name }) => name);
  if (ahead.length > 0) {
    logger?.warn("the times of periodic files lie in the future: they are not taken for the newest", {
      files: ahead,
      taken: newest?.name,
    });
  }
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
