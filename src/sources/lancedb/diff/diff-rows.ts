import type { Connection, Table } from "@lancedb/lancedb";
import type { SnapshotContent, SnapshotTableDetails } from "../../../engine/snapshot.ts";
import { BackupError, CorruptError, LanceError, UnsupportedError, ValidationError } from "../../../errors.ts";
import { reasonOf } from "../../../fs/io.ts";
import { NAMESPACE_TABLE, parseTableId } from "../../../lance/database.ts";
import { type Manifest, parseManifest } from "../../../lance/manifest.ts";
import type { LanceDB } from "../../../lance/which-lancedb.ts";
import type { Storage } from "../../../storage/storage.ts";
import { openSnapshot } from "../open/open-snapshot.ts";
import { readBlob } from "../scrub/blob-bytes.ts";
import type { TablePair } from "./diff.ts";
import { diffTableRows } from "./diff-table-rows.ts";
import type { RowChanges } from "./report.ts";

export interface RowsRequest {
  readonly storage: Storage;
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
  { storage, keys, examples, signal }: RowsRequest,
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
      before: await manifestOf(storage, before),
      after: await manifestOf(storage, after),
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
  storage: Storage,
  { id, version, digest }: SnapshotTableDetails,
): Promise<Manifest> {
  const place = `${storage.location}, version ${version} of table ${id}`;
  const bytes = await readBlob(storage, digest);
  if (typeof bytes === "string") throw new CorruptError(`${place}: ${bytes}.`, { path: storage.location });
  return parseManifest(bytes, version, place);
}
