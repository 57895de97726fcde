import { rmSync } from "node:fs";
import { join } from "node:path";
import { syncDirectory } from "../../fs/durable.ts";
import { toIoError } from "../../fs/io.ts";
import { isOf } from "./chain-end.ts";
import { listBackupFiles } from "./directory.ts";
import type { BackupFileName } from "./file-name.ts";
import type { Heads } from "./heads.ts";

/** What a retention would remove, newest first, so that no delta ever lies there without its full. */
export interface RetentionPlan {
  readonly remove: readonly string[];
}

export interface Retention {
  /** Fulls to keep. */
  readonly keep: number;
  /** Identity of the database: other databases may back up here, and only its own files are counted and removed. */
  readonly database: string;
  readonly heads: Heads;
}

/**
 * Keeps the newest `keep` fulls of a database, every file of it after the oldest of them, and all that those
 * need. A file that cannot be read is nobody's, and stays.
 *
 * @throws CorruptError, IoError where a file that is to be kept follows one that cannot be read.
 */
export async function planRetention(directory: string, retention: Retention): Promise<RetentionPlan> {
  const { keep, database, heads } = retention;
  const own: BackupFileName[] = [];
  for (const file of listBackupFiles(directory)) if (await isOf(database, file, heads)) own.push(file);
  const oldest = own.filter((file) => file.type === "full").at(-keep);
  const kept = oldest === undefined ? own : own.filter((file) => file.micros >= oldest.micros);
  if (kept.length === own.length) return { remove: [] };
  const needed = await allNeeded(kept, heads);
  const remove = own.filter((file) => !needed.has(file.name)).map((file) => file.name);
  return { remove: remove.reverse() };
}

/** @throws IoError where a file cannot be removed; those after it in the plan stay then. */
export async function carryOutRetention(directory: string, plan: RetentionPlan): Promise<void> {
  for (const name of plan.remove) {
    const path = join(directory, name);
    try {
      rmSync(path, { force: true });
    } catch (error) {
      throw toIoError(error, "remove", path);
    }
  }
  if (plan.remove.length > 0) await syncDirectory(directory);
}

/** The files, and what their deltas follow: with clocks and several writers the order may be another. */
async function allNeeded(kept: readonly BackupFileName[], heads: Heads): Promise<Set<string>> {
  const needed = new Set<string>();
  const waiting = kept.map((file) => file.name);
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (needed.has(name)) continue;
    needed.add(name);
    if (!name.startsWith("lancedb_delta_")) continue;
    const { head } = await heads.read(name);
    if (head.follows) waiting.push(head.follows.file);
  }
  return needed;
}
