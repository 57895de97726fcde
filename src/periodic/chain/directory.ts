import { listNames } from "../../fs/list-names.ts";
import { type BackupFileName, parseFileName } from "./file-name.ts";

/** The periodic files of a directory, oldest first; empty where there is no directory. */
export function listBackupFiles(directory: string): BackupFileName[] {
  return listNames(directory)
    .map(parseFileName)
    .filter((file) => file !== undefined)
    .sort((a, b) => a.micros - b.micros || (a.name < b.name ? -1 : 1));
}

/**
 * The time for a new file's name: now, or just after the newest file where the clock stands still or went
 * back, so that names never collide and always sort in the order of writing.
 */
export function nextMicros(files: readonly BackupFileName[], nowMs: number): number {
  return Math.max(Math.floor(nowMs * 1000), (files.at(-1)?.micros ?? 0) + 1);
}

/** Deltas since the newest full, by the names of the files. */
export function deltasSinceFull(files: readonly BackupFileName[]): number {
  return files.length - 1 - files.findLastIndex((file) => file.type === "full");
}
