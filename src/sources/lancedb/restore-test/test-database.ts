import { join } from "node:path";
import type { Connection, IndexConfig, Table } from "@lancedb/lancedb";
import { BackupError, CorruptError, LanceError } from "../../../errors.ts";
import { reasonOf } from "../../../fs/io.ts";
import { NAMESPACE_TABLE, parseTableId } from "../../../lance/database.ts";
import { Door } from "../../../lance/door.ts";
import { canListIndices } from "../../../lance/fragment-files.ts";
import { inspectTable } from "../../../lance/put-back/table-state.ts";
import type { LanceDB } from "../../../lance/which-lancedb.ts";
import type { SnapshotDetails, SnapshotTableDetails } from "../snapshot-view.ts";
import { readBlobs, readRows } from "./rows.ts";
import { testIndex } from "./test-indices.ts";

export interface TestSettings {
  /** A directory for what is needed meanwhile. */
  readonly scratch: string;
  /** The newest version of each restored table, by its directory: above the snapshot's where an index had to go. */
  readonly newest: ReadonlyMap<string, number | undefined>;
  readonly sample: number;
  readonly signal?: AbortSignal | undefined;
}

/** Uses every table of a database that was restored from a snapshot. */
export async function testDatabase(
  lancedb: LanceDB,
  database: string,
  snapshot: SnapshotDetails,
  settings: TestSettings,
): Promise<RestoreTestResult[]> {
  const results: RestoreTestResult[] = [];
  const db = await lancedb.connectAside(database);
  try {
    for (const table of snapshot.tables) {
      settings.signal?.throwIfAborted();
      const isAlone = snapshot.tables.filter(({ id }) => id === table.id).length === 1;
      results.push(...(await testTable(lancedb, db, database, table, isAlone, settings)));
    }
  } finally {
    db.close();
  }
  return results;
}

async function testTable(
  lancedb: LanceDB,
  db: Connection,
  database: string,
  details: SnapshotTableDetails,
  isAlone: boolean,
  settings: TestSettings,
): Promise<RestoreTestResult[]> {
  const { id, directory } = details;
  const results: RestoreTestResult[] = [];
  const attempt = async (index: string | undefined, test: () => Promise<string>) => {
    const named = index === undefined ? { table: id } : { table: id, index };
    try {
      results.push({ ...named, ok: true, details: await test() });
    } catch (cause) {
      settings.signal?.throwIfAborted();
      const error = cause instanceof BackupError ? cause : lanceError(id, cause);
      results.push({ ...named, ok: false, details: error.message, error });
    }
  };
  let door: Door | undefined;
  let table: Table | undefined;
  let indices: readonly IndexConfig[] = [];
  try {
    await attempt(undefined, async () => {
      const byName = isAlone && (await isListed(db, id));
      if (!byName) door = await Door.open(lancedb, settings.scratch, join(database, directory));
      const { name, namespacePath } = parseTableId(id);
      table = door?.table ?? (await db.openTable(name, namespacePath));
      const canList = await listsIndices(join(database, directory));
      if (canList) indices = await table.listIndices();
      const rows = await testRows(table, details, settings);
      return canList ? rows : `${rows} Its indices cannot be listed: an old LanceDB wrote it.`;
    });
    for (const index of indices) {
      settings.signal?.throwIfAborted();
      await attempt(index.name, async () => {
        await table?.checkoutLatest();
        return testIndex(table as Table, index);
      });
    }
  } finally {
    table?.close();
    door?.[Symbol.dispose]();
  }
  return results;
}

/** LanceDB refuses to list those of the oldest tables: that is no damage. */
async function listsIndices(dataset: string): Promise<boolean> {
  const { head } = await inspectTable(dataset);
  return head === undefined || canListIndices(head);
}

/** The list of namespaces itself has no name; nor has what a creation left that was killed. */
async function isListed(db: Connection, id: string): Promise<boolean> {
  if (id === NAMESPACE_TABLE) return false;
  const { name, namespacePath } = parseTableId(id);
  if (namespacePath.length === 0) return true;
  const names: string[] = await db.tableNames(namespacePath).catch(() => []);
  return names.includes(name);
}

/** Counts the rows of every version, and reads those of the newest. */
async function testRows(
  table: Table,
  { id, directory, versions, version, bytes, rows }: SnapshotTableDetails,
  { newest, sample, signal }: TestSettings,
): Promise<string> {
  const expect = (what: string, found: number, wanted: number) => {
    if (found === wanted) return;
    throw new CorruptError(`Table ${id}: ${what} is ${found} where the snapshot says ${wanted}.`);
  };
  expect("the newest version", await table.version(), newest.get(directory) ?? version);
  for (const older of versions) {
    signal?.throwIfAborted();
    await table.checkout(older.version);
    expect(`the number of rows of version ${older.version}`, await table.countRows(), older.rows);
  }
  await table.checkoutLatest();
  const settings = { rows, bytesPerRow: bytes / Math.max(rows, 1), sample, signal };
  const read = await readRows(table, settings);
  expect("the number of rows read", read.rows, read.wanted);
  const blobs = await readBlobs(table, settings);
  const ofAll = read.wanted === rows ? "" : ` of ${rows}`;
  const also = blobs === 0 ? "" : `, and ${blobs} large values`;
  return `${versions.length} versions counted; ${read.rows}${ofAll} rows read${also}.`;
}

function lanceError(id: string, cause: unknown): LanceError {
  const reason = reasonOf(cause);
  return new LanceError(`LanceDB cannot use table ${id}: ${reason}`, { cause });
}

/** What became of one table, or of one of its indices. */
export interface RestoreTestResult {
  /** The table's id. */
  readonly table: string;
  /** The index's name; without one, the result is the table's. */
  readonly index?: string | undefined;
  readonly ok: boolean;
  readonly details: string;
  readonly error?: BackupError | undefined;
}
