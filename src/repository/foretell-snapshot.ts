import { hostname } from "node:os";
import { type FileCount, type ForetoldPart, foretellBackup } from "../engine/backup/foretell-backup.ts";
import type { PartContent } from "../engine/snapshot.ts";
import { kindOf } from "../engine/source-kind.ts";
import { type LanceAbout, readAbout } from "../sources/lancedb/lancedb-part.ts";
import type { SnapshotTable } from "../sources/lancedb/snapshot-view.ts";
import type { ShrunkTable } from "../util/shrunk-tables.ts";
import type { BackupOptions, DryBackupOptions } from "./backup-options.ts";
import { backupRequestOf, type TakeContext } from "./take-snapshot.ts";

/** What a backup would do. Nothing was written, not even a lease, or an id beside the database. */
export interface BackupForecast {
  readonly dryRun: true;
  readonly parts: readonly Omit<ForetoldPart, "said">[];
  /** Of all parts: known from the snapshots before, and not read. */
  readonly known: FileCount;
  /** To be read: what is new of it, and stored, is not known before; so much at most. */
  readonly read: FileCount;
  /** Of LanceDB databases. */
  readonly tables: readonly SnapshotTable[];
  /** What would not be in the snapshot. */
  readonly leftOut: readonly { readonly table: string; readonly why: string; readonly what: string }[];
  /** Tables that are gone, or have far fewer rows than in the snapshot before. */
  readonly shrunk?: readonly ShrunkTable[] | undefined;
}

/** Tells what `takeSnapshot` would do by the same options. */
export async function foretellSnapshot(
  context: TakeContext,
  { dryRun: _, ...options }: DryBackupOptions,
): Promise<BackupForecast> {
  const { parts, shrunk } = await foretellBackup(
    context,
    await backupRequestOf(context, options as BackupOptions),
  );
  const abouts = parts.flatMap(lanceAbout);
  const sum = (of: "known" | "read"): FileCount => ({
    files: parts.reduce((total, part) => total + part[of].files, 0),
    bytes: parts.reduce((total, part) => total + part[of].bytes, 0),
  });
  return {
    dryRun: true,
    parts: parts.map(({ said: _said, ...part }) => part),
    ...{ known: sum("known"), read: sum("read") },
    tables: abouts.flatMap(({ tables }) => tables),
    leftOut: [...abouts.flatMap(({ leftOut = [] }) => leftOut), ...parts.flatMap(leftOutOf)],
    ...(shrunk.length > 0 && { shrunk }),
  };
}

function asContent({ source, said, known, read }: ForetoldPart): PartContent {
  const { about = {}, details = {} } = said ?? {};
  const counts = { files: known.files + read.files, bytes: known.bytes + read.bytes };
  return {
    ...{ source: { ...source, host: hostname() }, ...counts, about, details },
    ...{ entries: [], blobs: new Map() },
  };
}

function lanceAbout(part: ForetoldPart): LanceAbout[] {
  return part.isForetold && part.source.type === "lancedb"
    ? [readAbout(asContent(part), part.source.uri)]
    : [];
}

function leftOutOf(part: ForetoldPart): BackupForecast["leftOut"] {
  return part.isForetold ? (kindOf(part.source.type)?.leftOut?.(asContent(part)) ?? []) : [];
}
