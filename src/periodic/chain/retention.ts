import { rmSync } from "node:fs";
import { join } from "node:path";
import { BackupError } from "../../errors.ts";
import { syncDirectory } from "../../fs/durable.ts";
import { toIoError } from "../../fs/io.ts";
import { fallsInWords, openFalls, type RowsOf, unseenFalls } from "../../util/shrunk-tables.ts";
import { type BackupFileName, type Heads, listBackupFiles, soundFiles } from "./chain-files.ts";

/** What a retention would remove, newest first, so that no delta ever lies there without its full. */
export interface RetentionPlan {
  readonly remove: readonly string[];
  /** Fulls that stay beyond `keep`, and why; their deltas stay with them. */
  readonly kept: readonly { readonly file: string; readonly reason: string }[];
}

export interface Retention {
  /** Fulls to keep. */
  readonly keep: number;
  /** Identity of the database: other databases may back up here, and only its own files are counted and removed. */
  readonly database: string;
  readonly heads: Heads;
  /** Milliseconds since 1970: files of later are not the newest, and stay. */
  readonly nowMs: number;
}

/**
 * Keeps the newest `keep` fulls of a database, every file of it after the oldest of them, and all that those
 * need; and the last full from before a table fell, with its deltas, while the table has not as many rows again. A file that cannot be read is nobody's, and stays.
 *
 * @throws CorruptError, IoError where a file that is to be kept follows one that cannot be read.
 */
export async function planRetention(directory: string, retention: Retention): Promise<RetentionPlan> {
  const { keep, database, heads, nowMs } = retention;
  const own: BackupFileName[] = [];
  for (const file of listBackupFiles(directory)) if (await heads.isOf(database, file)) own.push(file);
  const fulls = soundFiles(own, nowMs).filter((file) => file.type === "full");
  const oldest = fulls.at(-keep);
  const newer = oldest === undefined ? own : own.filter((file) => file.micros >= oldest.micros);
  if (newer.length === own.length) return { remove: [], kept: [] };
  const { files: fallen, kept } = await aroundFalls(own, fulls, newer, heads);
  const needed = await allNeeded([...newer, ...fallen], heads);
  const remove = own.filter((file) => !needed.has(file.name)).map((file) => file.name);
  return { remove: remove.reverse(), kept };
}

/** What must stay, since a database that was wiped goes on being backed up. */
async function aroundFalls(
  own: readonly BackupFileName[],
  fulls: readonly BackupFileName[],
  newer: readonly BackupFileName[],
  heads: Heads,
): Promise<{ files: BackupFileName[]; kept: RetentionPlan["kept"] }> {
  const told: RowsOf<BackupFileName>[] = [];
  for (const of of fulls) {
    const rows = await heads.rows(of.name).catch((error: unknown) => {
      if (error instanceof BackupError) return undefined; // what it held cannot be told
      throw error;
    });
    if (rows) told.push({ of, rows, tellsOf: () => true });
  }
  const files: BackupFileName[] = [];
  const kept: RetentionPlan["kept"][number][] = [];
  const open = openFalls(told);
  files.push(...unseenFalls(open, told, (full) => newer.includes(full)).map(({ after }) => after));
  for (const [before, falls] of Map.groupBy(open, (fall) => fall.before)) {
    const end = Math.min(...falls.map(({ after }) => after.micros));
    for (const file of own) if (file.micros >= before.micros && file.micros < end) files.push(file);
    if (newer.includes(before)) continue;
    kept.push({ file: before.name, reason: `the last full before a fall: ${fallsInWords(falls)}` });
  }
  return { files, kept };
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
