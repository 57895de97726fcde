import { hostname } from "node:os";
import type { SnapshotDetails, SnapshotFile, SnapshotTableDetails } from "../snapshot.ts";
import { software } from "../software.ts";
import type { Capture, CapturedFile, CapturedTable, Source } from "../source.ts";
import type { BackupOptions } from "./options.ts";
import type { BackupPlan } from "./plan.ts";
import type { StoredFile } from "./write-blobs.ts";

type Stored = ReadonlyMap<CapturedFile, StoredFile>;

/** What a snapshot's document says besides its files, but for its id and how long it took. */
export function composeSnapshot(
  source: Pick<Source, "type" | "id" | "uri">,
  { name, description, tags = [], tables: selection, history = "all" }: BackupOptions,
  capture: Capture,
  stored: Stored,
): Omit<SnapshotDetails, "id" | "durationMs" | "checksum"> {
  const tables = capture.tables.map(detailsOf);
  const created = [...stored].filter(([, { isNew }]) => isNew);
  return {
    ...(name !== undefined && { name }),
    ...(description !== undefined && { description }),
    tags: [...new Set(tags)],
    source: { type: source.type, id: source.id, uri: source.uri, host: hostname() },
    ...(selection && { selection: [...new Set(selection)].sort() }),
    createdAt: new Date(capture.capturedAt),
    ...(capture.taken !== undefined && { taken: capture.taken }),
    history,
    files: total(tables, "files"),
    bytes: total(tables, "bytes"),
    newFiles: created.length,
    newBytes: created.reduce((sum, [file]) => sum + file.size, 0),
    rows: total(tables, "rows"),
    tables,
    ...(capture.leftOut && capture.leftOut.length > 0 && { leftOut: capture.leftOut }),
    software,
  };
}

/** The files of each table, by its directory, with their digests. */
export function filesOf(capture: Capture, plan: BackupPlan, stored: Stored): Map<string, SnapshotFile[]> {
  const digestOf = (file: CapturedFile) => stored.get(file)?.sha256 ?? plan.digestOf(file) ?? "";
  return new Map(
    capture.tables.map((table) => [
      table.directory,
      table.files.map((file) => withDigest(file, digestOf(file))),
    ]),
  );
}

function withDigest(file: CapturedFile, sha256: string): SnapshotFile {
  const { path, size, inode, mtimeMs } = file;
  return { path, size, sha256, inode, mtimeMs };
}

function detailsOf(table: CapturedTable): SnapshotTableDetails {
  return {
    id: table.id,
    directory: table.directory,
    version: table.version,
    digest: table.digest,
    versionCount: table.versions.length,
    files: table.files.length,
    bytes: table.files.reduce((sum, file) => sum + file.size, 0),
    rows: table.versions.at(-1)?.rows ?? 0,
    tags: table.tags,
    leftOut: table.leftOut,
    versions: table.versions.map(({ version, timestamp, rows }) => ({
      version,
      createdAt: Number.isNaN(timestamp) ? undefined : new Date(timestamp),
      rows,
    })),
  };
}

function total<K extends string>(list: readonly Record<K, number>[], key: K): number {
  return list.reduce((sum, entry) => sum + entry[key], 0);
}
