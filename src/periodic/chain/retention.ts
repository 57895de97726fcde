import { rmSync } from "node:fs";
import { join } from "node:path";
import { syncDirectory } from "../../fs/durable.ts";
import { toIoError } from "../../fs/io.ts";
import { peekBackupFile } from "../file/open.ts";
import { listBackupFiles } from "./directory.ts";
import type { BackupFileName } from "./file-name.ts";

/** What a retention would remove, newest first, so that no delta ever lies there without its full. */
export interface RetentionPlan {
  readonly remove: readonly string[];
}

/** Keeps the newest `keep` fulls, every file after the oldest of them, and all that those need. */
export async function planRetention(directory: string, keep: number): Promise<RetentionPlan> {
  const files = listBackupFiles(directory);
  const oldest = files.filter((file) => file.type === "full").at(-keep);
  const kept = oldest === undefined ? files : files.filter((file) => file.micros >= oldest.micros);
  if (kept.length === files.length) return { remove: [] };
  const needed = await allNeeded(directory, kept);
  const remove = files.filter((file) => !needed.has(file.name)).map((file) => file.name);
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
async function allNeeded(directory: string, kept: readonly BackupFileName[]): Promise<Set<string>> {
  const needed = new Set<string>();
  const waiting = kept.map((file) => file.name);
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (needed.has(name)) continue;
    needed.add(name);
    if (!name.startsWith("lancedb_delta_")) continue;
    const { head } = await peekBackupFile(join(directory, name));
    if (head.follows) waiting.push(head.follows.file);
  }
  return needed;
}
