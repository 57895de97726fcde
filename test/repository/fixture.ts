import { createHash, randomUUID } from "node:crypto";
import { encodeSnapshot } from "../../src/engine/format/encode-snapshot.ts";
import { blobName, newSnapshotId, snapshotName } from "../../src/engine/format/names.ts";
import { idOfDirectory } from "../../src/lance/table-directory.ts";
import type { Snapshot, SnapshotContent, SnapshotFile } from "../../src/sources/lancedb/snapshot-view.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { storedOf } from "./lance-parts.ts";

export interface SnapshotRequest {
  /** When it was captured. */
  readonly at: string | number | Date;
  readonly uri?: string;
  readonly host?: string;
  /** Default: one of its own for each pair of host and uri. */
  readonly sourceId?: string;
  readonly name?: string;
  readonly tags?: readonly string[];
  /** Of each table. Default 10. */
  readonly rows?: number;
  /** Content by path, by table directory. Default: one table with one file of its own. */
  readonly tables?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

export const digestOf = (content: string | Uint8Array) => createHash("sha256").update(content).digest("hex");

/** Blobs of these contents, by their digests. */
export async function putBlobs(storage: Storage, ...contents: readonly string[]): Promise<string[]> {
  const digests = contents.map(digestOf);
  for (const content of new Set(contents))
    await storage.write(blobName(digestOf(content)), Buffer.from(content));
  return digests;
}

/** A snapshot without a database, as a backup would have made it. */
export function makeSnapshot(request: SnapshotRequest): SnapshotContent {
  const { uri = "/data/db", host = "here", name, tags = [], rows = 10 } = request;
  const { sourceId = `${host}:${uri}` } = request;
  const createdAt = new Date(request.at);
  const source = { type: "lancedb", id: sourceId, uri, host };
  const id = newSnapshotId(createdAt, [{ source }], randomUUID());
  const tables = request.tables ?? { "t.lance": { "data/own.lance": id } };
  const files = new Map<string, SnapshotFile[]>();
  const details = Object.entries(tables).map(([directory, contents]) => {
    const list = Object.keys(contents)
      .sort()
      .map((path, index) => {
        const content = contents[path] ?? "";
        const size = Buffer.byteLength(content);
        return {
          path,
          size,
          sha256: digestOf(content),
          inode: 1000 + index,
          mtimeMs: createdAt.getTime() + 0.5,
        };
      });
    files.set(directory, list);
    return {
      id: idOfDirectory(directory),
      directory,
      version: 3,
      digest: digestOf(directory),
      versionCount: 1,
      files: list.length,
      bytes: list.reduce((sum, file) => sum + file.size, 0),
      rows,
      tags: [],
      leftOut: [],
      versions: [{ version: 3, createdAt, rows }],
    };
  });
  const total = (key: "files" | "bytes" | "rows") => details.reduce((sum, table) => sum + table[key], 0);
  const snapshot = {
    id,
    ...(name !== undefined && { name }),
    tags,
    source,
    createdAt,
    durationMs: 12,
    history: "all" as const,
    files: total("files"),
    bytes: total("bytes"),
    newFiles: 0,
    newBytes: 0,
    storedBytes: 0,
    rows: total("rows"),
    tables: details,
    software: { lancedbBackup: "0.1.0", node: process.version },
  };
  const parts = [{ source, files: snapshot.files, bytes: snapshot.bytes }];
  const content = { snapshot: { ...snapshot, parts, checksum: "" }, files };
  return { ...content, snapshot: { ...content.snapshot, checksum: encoded(content).checksum } };
}

export function documentOf(content: SnapshotContent): Buffer {
  return encoded(content).bytes;
}

function encoded(content: SnapshotContent) {
  const { snapshot, parts } = storedOf(content);
  const { checksum, ...rest } = snapshot;
  return encodeSnapshot(rest, parts);
}

/** Blobs and document of a snapshot, in the order in which a backup writes them. */
export async function putSnapshot(storage: Storage, request: SnapshotRequest): Promise<Snapshot> {
  const content = makeSnapshot(request);
  const tables = request.tables ?? { "t.lance": { "data/own.lance": content.snapshot.id } };
  for (const files of Object.values(tables)) await putBlobs(storage, ...Object.values(files));
  await storage.writeNew(snapshotName(content.snapshot.id), documentOf(content));
  return content.snapshot;
}
