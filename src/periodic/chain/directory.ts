import { liesInFuture } from "../../fs/clock-tolerance.ts";
import { listNames } from "../../fs/list-names.ts";
import { type BackupFileName, parseFileName } from "./file-name.ts";

/** The periodic files of a directory, oldest first; empty where there is no directory. */
export function listBackupFiles(directory: string): BackupFileName[] {
  return listNames(directory)
    .map(parseFileName)
    .filter((file) => file !== undefined)
    .sort((a, b) => a.micros - b.micros || (a.name < b.name ? -1 : 1));
}

/** The files whose time does not lie in the future: a clock was wrong when the others were written. */
export function soundFiles(files: readonly BackupFileName[], nowMs: number): BackupFileName[] {
  return files.filter((file) => !liesInFuture(file.micros / 1000, nowMs));
}

/**
 * The time for a new file's name: now, or just after the newest file where the clock stands still or went
 * back a little, so that names never collide and sort in the order of writing. Files from the future do not count: what
 * came after them would lie in the future too, and be found by nobody who asks for now.
 */
export function nextMicros(files: readonly BackupFileName[], nowMs: number): number {
  return Math.max(Math.floor(nowMs * 1000), (soundFiles(files, nowMs).at(-1)?.micros ?? 0) + 1);
}

/** Deltas since the newest full, by the names of the files. */
export function deltasSinceFull(files: readonly BackupFileName[]): number {
  return files.length - 1 - files.findLastIndex((file) => file.type === "full");
}
