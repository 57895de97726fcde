import { readFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { decodeSnapshot } from "../../src/engine/format/decode-snapshot.ts";
import { snapshotName } from "../../src/engine/format/names.ts";
import { createMarker } from "../../src/engine/marker.ts";
import type { BackupOptions } from "../../src/repository/backup-options.ts";
import { takeSnapshot as backup } from "../../src/repository/take-snapshot.ts";
import {
  contentView,
  type SnapshotContent,
  type SnapshotFile,
} from "../../src/sources/lancedb/snapshot-view.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { newDirectory } from "../support/database.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";
import { blobsOf } from "./lance-parts.ts";

export const silent = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** A database and a repository with snapshots of it, in a temporary directory. */
export interface SoundRepository {
  /** Of the repository. */
  readonly directory: string;
  readonly storage: LocalStorage;
  /** The database's directory. */
  readonly uri: string;
  /** `main` (deletions, an update, indices) and `other`. */
  readonly first: SnapshotContent;
  /** `main` with 20 rows more; `other` is the same. */
  readonly second: SnapshotContent;
}

export async function soundRepository(): Promise<SoundRepository> {
  const parent = await newDirectory();
  const [directory, uri] = [join(parent, "repository"), join(parent, "db")];
  const storage = new LocalStorage(directory);
  await createMarker(storage);
  const db = await connect(uri);
  await makeSampleTable(db, "main", { indices: true });
  await makeSampleTable(db, "other", { rows: 10 });
  const first = await takeSnapshot(storage, uri);
  await (await db.openTable("main")).add(sampleRows(100, 20));
  const second = await takeSnapshot(storage, uri);
  db.close();
  return { directory, storage, uri, first, second };
}

export async function takeSnapshot(
  storage: LocalStorage,
  source: string,
  options: Omit<BackupOptions, "source"> = {},
): Promise<SnapshotContent> {
  const context = { blobs: blobsOf(storage), logger: silent, previous: async () => undefined };
  const { id } = await backup(context, { source, ...options });
  return readSnapshot(storage, id);
}

function readSnapshot(storage: LocalStorage, id: string): SnapshotContent {
  const path = join(storage.directory, snapshotName(id));
  return contentView(decodeSnapshot(readFileSync(path), id, path));
}

export function filesOf(snapshot: SnapshotContent, table = "main"): readonly SnapshotFile[] {
  return snapshot.files.get(`${table}.lance`) ?? [];
}

/** Files of the second snapshot that the first does not have. */
export function newFilesOf({ first, second }: SoundRepository, table = "main"): SnapshotFile[] {
  const before = new Set(filesOf(first, table).map((file) => file.path));
  return filesOf(second, table).filter((file) => !before.has(file.path));
}

/** The one file of a list whose path matches. */
export function fileLike(files: readonly SnapshotFile[], pattern: RegExp): SnapshotFile {
  const found = files.find((file) => pattern.test(file.path));
  if (!found) throw new Error(`no file like ${pattern} among ${files.map((file) => file.path).join(" ")}`);
  return found;
}
