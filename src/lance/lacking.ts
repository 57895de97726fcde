import type { Connection, CreateTableOptions, Query, Table } from "@lancedb/lancedb";
import type { Table as ArrowTable, RecordBatch, Schema } from "apache-arrow";
import { UnsupportedError } from "../errors.ts";
import { reasonOf } from "../fs/io.ts";
import { ADDRESS } from "./row-delta/addresses.ts";

// What versions of LanceDB lack, and what is done instead. Told by looking at what is there, never by a number.

/** Whether tables can be asked for by a namespace's path. Below, LanceDB takes the path for the options, in silence. */
export function takesPaths(db: Connection): boolean {
  return db.dropTable.length > 1;
}

/** @throws UnsupportedError where the connection knows no namespaces. */
export function assertNamespaces(db: Connection, path: readonly string[]): void {
  if (path.length === 0 || ("createNamespace" in db && takesPaths(db))) return;
  throw new UnsupportedError(
    `The LanceDB in use has no namespaces, as ${path.join("$")} is one: they came with LanceDB 0.30. Use a newer one, or a root table.`,
  );
}

export interface TablePlace {
  readonly name: string;
  readonly namespacePath: readonly string[];
}

/** `createTable` of rows, or `createEmptyTable` of a schema, without a path where it is empty. */
export function createTableIn(
  db: Connection,
  { name, namespacePath }: TablePlace,
  what: ArrowTable | Schema,
  options: Partial<CreateTableOptions>,
): Promise<Table> {
  const rest = namespacePath.length === 0 ? ([options] as const) : ([[...namespacePath], options] as const);
  return "fields" in what
    ? db.createEmptyTable(name, what, ...(rest as [typeof options]))
    : db.createTable(name, what, ...(rest as [typeof options]));
}

/** The batches of a query: below 0.22.3 `execute` answers with an iterator that cannot be iterated over. */
export function batchesOf(query: Query, maxBatchLength: number): AsyncIterable<RecordBatch> {
  // `execute` is what the query's own iterator calls; only through it can the length of batches be told.
  const { execute } = query as unknown as { execute(options: { maxBatchLength: number }): Batches };
  const batches = execute.call(query, { maxBatchLength });
  return Symbol.asyncIterator in batches ? batches : { [Symbol.asyncIterator]: () => batches };
}

type Batches = AsyncIterable<RecordBatch> | AsyncIterator<RecordBatch>;

/** Deletes rows, and tells how many they were. Below 0.27 LanceDB does not: the version before the deletion does. */
export async function deleteRows(
  table: Table,
  predicate: string,
): Promise<{ readonly version: number; readonly deleted: number }> {
  const result = await table.delete(predicate);
  const { version } = result;
  if ("numDeletedRows" in result) return { version, deleted: result.numDeletedRows };
  const after = await table.countRows();
  await table.checkout(version - 1);
  try {
    return { version, deleted: (await table.countRows()) - after };
  } finally {
    await table.checkoutLatest();
  }
}

/**
 * Holds that LanceDB gives the addresses of rows, by which they are compared. Below 0.22 it fails, or answers with no
 * rows at all.
 *
 * @throws UnsupportedError naming the table.
 */
export async function assertAddressable(table: Table, id: string): Promise<void> {
  const probe = table.query().select(new Map([[ADDRESS, ADDRESS]]));
  try {
    if ((await probe.limit(1).toArrow()).numRows > 0 || (await table.countRows()) === 0) return;
  } catch (error) {
    if (!reasonOf(error).includes(ADDRESS)) throw error;
  }
  throw new UnsupportedError(
    `The LanceDB in use does not give the addresses of rows, which comparing the rows of table ${id} needs: use LanceDB 0.22 or newer for this. (For guarded writes and snapshots the one in use is enough.)`,
  );
}
