import type { Connection, Table } from "@lancedb/lancedb";
import type { BlobStore } from "../../../engine/blobs/blob-store.ts";
import { BackupError, CorruptError, LanceError, UnsupportedError, ValidationError } from "../../../errors.ts";
import { reasonOf } from "../../../fs/io.ts";
import { NAMESPACE_TABLE, parseTableId } from "../../../lance/database.ts";
import { type Manifest, parseManifest, VERSIONS } from "../../../lance/manifest.ts";
import type { LanceDB } from "../../../lance/which-lancedb.ts";
import { openSnapshot } from "../open-snapshot.ts";
import { readFile } from "../scrub/blob-bytes.ts";
import type { SnapshotContent, SnapshotFile, SnapshotTableDetails } from "../snapshot-view.ts";
import type { RowChanges } from "./diff-report.ts";
import { diffTableRows } from "./diff-table-rows.ts";

export interface RowsRequest {
  readonly blobs: BlobStore;
  readonly lancedb: LanceDB;
  readonly older: SnapshotContent;
  readonly newer: SnapshotContent;
  readonly pairs: readonly TablePair[];
  /** Key columns by table. */
  readonly keys: ReadonlyMap<string, readonly string[]>;
  readonly examples: number;
  readonly signal: AbortSignal | undefined;
}

const NO_EXAMPLES = { added: [], removed: [], changed: [] } as const;

/** A pair that both snapshots have. */
interface Both {
  readonly id: string;
  readonly before: SnapshotTableDetails;
  readonly after: SnapshotTableDetails;
}

/** Compares the rows of tables; opens the snapshots only where tables of both differ. */
export async function diffRowsOfTables(request: RowsRequest): Promise<ReadonlyMap<string, RowChanges>> {
  const { older, newer, keys, signal } = request;
  const changes = new Map<string, RowChanges>();
  const toRead: Both[] = [];
  for (const { id, before, after } of request.pairs) {
    if (!keys.has(id)) continue;
    if (id === NAMESPACE_TABLE)
      changes.set(id, { comparable: false, why: "it is LanceDB's own, for namespaces" });
    else if (!before || !after) changes.set(id, whole(after?.rows ?? 0, before?.rows ?? 0));
    else if (before.digest === after.digest) changes.set(id, whole(0, 0));
    else toRead.push({ id, before, after });
  }
  if (toRead.length === 0) return changes;
  await request.lancedb.assertOneArrow();
  const tables = toRead.map(({ id }) => id);
  await using first = await openSnapshot(request, older, { tables, signal });
  await using second = await openSnapshot(request, newer, { tables, signal });
  for (const both of toRead) changes.set(both.id, await diffOne(request, both, first, second));
  return changes;
}

function whole(added: number, removed: number): RowChanges {
  return { comparable: true, added, removed, changed: 0, examples: NO_EXAMPLES };
}

/** What cannot be compared says why; a damaged snapshot is an error. */
async function diffOne(
  { blobs, older: from, newer: to, keys, examples, signal }: RowsRequest,
  { id, before, after }: Both,
  first: Connection,
  second: Connection,
): Promise<RowChanges> {
  const [older, newer] = [await open(first, id), await open(second, id)];
  try {
    return await diffTableRows({
      id,
      older,
      newer,
      before: await manifestOf(blobs, before, from),
      after: await manifestOf(blobs, after, to),
      key: keys.get(id) ?? [],
      examples,
      signal,
    });
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof ValidationError || error instanceof UnsupportedError)
      return { comparable: false, why: error.message };
    if (error instanceof BackupError) throw error;
    throw new LanceError(`The rows of table ${id} could not be compared: ${reasonOf(error)}`, {
      cause: error,
    });
  } finally {
    older.close();
    newer.close();
  }
}

function open(connection: Connection, id: string): Promise<Table> {
  const { name, namespacePath } = parseTableId(id);
  return connection.openTable(name, namespacePath);
}

async function manifestOf(
  blobs: BlobStore,
  { id, directory, version, digest }: SnapshotTableDetails,
  { files }: SnapshotContent,
): Promise<Manifest> {
  const place = `${blobs.storage.location}, version ${version} of table ${id}`;
  const isManifest = ({ path, sha256 }: SnapshotFile) => sha256 === digest && path.startsWith(`${VERSIONS}/`);
  const file = files.get(directory)?.find(isManifest);
  const bytes = file ? await readFile(blobs, { table: id, ...file }) : "the snapshot lacks its manifest";
  if (typeof bytes === "string")
    throw new CorruptError(`${place}: ${bytes}.`, { path: blobs.storage.location });
  return parseManifest(bytes, version, place);
}

/** A table as the two snapshots have it. */
export interface TablePair {
  readonly id: string;
  readonly before: SnapshotTableDetails | undefined;
  readonly after: SnapshotTableDetails | undefined;
}
