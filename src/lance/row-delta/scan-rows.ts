import type { Table } from "@lancedb/lancedb";
import type { RecordBatch } from "apache-arrow";
import { quoteColumn } from "../../arrow/column-path.ts";
import { takeRows } from "../../arrow/take-rows.ts";
import { hasDictionary } from "../../arrow/types.ts";
import { batchesOf } from "../lacking.ts";
import type { Manifest } from "../manifest.ts";
import { ADDRESS, AddressSet, addressesOf, addressLiteral, whereInFragments } from "./addresses.ts";
import { hasLegacyFiles, type RowRange, rowRanges, scanGroups } from "./differing-fragments.ts";

/** Rows a batch: a scan is 1.6 times faster than with LanceDB's own 1,000 (docs/lance-facts.md). */
const BATCH_ROWS = 8192;

/** A version that is open, and its manifest. */
export interface OpenVersion {
  readonly table: Table;
  readonly manifest: Manifest;
}

interface ScanOptions {
  /** Default: all columns of the table. */
  readonly columns?: readonly string[] | undefined;
  readonly where?: string | undefined;
  /** Only these rows, counted in the order of the scan; without `where`. */
  readonly range?: RowRange | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Streams the rows of a table, a batch at a time. */
export async function* scan(table: Table, options: ScanOptions = {}): AsyncGenerator<RecordBatch> {
  const { columns, where, range, signal } = options;
  const query = table.query();
  // A map, because names given in a list are read as expressions where they hold a dot or a capital.
  if (columns) query.select(new Map(columns.map((name) => [name, quoteColumn(name)])));
  if (where !== undefined) query.where(where);
  if (range) query.offset(range.offset).limit(range.rows);
  for await (const batch of oneAhead(batchesOf(query, BATCH_ROWS))) {
    signal?.throwIfAborted();
    if (batch.numRows > 0) yield batch;
  }
}

/** Asks for the next item while the caller is busy with this one, so that LanceDB's threads work meanwhile. */
async function* oneAhead<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
  const iterator = items[Symbol.asyncIterator]();
  let next = iterator.next();
  try {
    for (;;) {
      const { done, value } = await next;
      if (done) return;
      next = iterator.next();
      yield value;
    }
  } finally {
    next.catch(() => undefined); // the caller has stopped, or has had the error
    await iterator.return?.();
  }
}

/** Streams all rows of a version, in memory that does not grow with them. `table` is open at that version. */
export async function* scanAll(table: Table, version: Manifest): AsyncGenerator<RecordBatch> {
  const { fields } = await table.schema();
  const columns = fields.map((field) => field.name);
  // Of files in the legacy format a filter knows addresses only where they are asked for too.
  const withAddress = hasLegacyFiles(version) ? [...columns, ADDRESS] : undefined;
  for (const group of scanGroups(version)) {
    for await (const batch of scanFragments(table, group, { columns: withAddress ?? columns })) {
      yield withAddress ? batch.select(columns) : batch;
    }
  }
}

/**
 * Streams the rows of some fragments. Each by itself where a column has a dictionary: behind a filter LanceDB joins
 * batches of several, and their dictionaries with them, which then may have more entries than the keys can number.
 */
export async function* scanFragments(
  table: Table,
  fragments: readonly number[],
  options: { readonly columns: readonly string[]; readonly signal?: AbortSignal | undefined },
): AsyncGenerator<RecordBatch> {
  if (fragments.length === 0) return;
  const { fields } = await table.schema();
  const alone = fields.some((field) => options.columns.includes(field.name) && hasDictionary(field));
  for (const group of alone ? fragments.map((id) => [id]) : [fragments]) {
    yield* scan(table, { ...options, where: whereInFragments(group) });
  }
}

/** Up to so many rows are asked for by their addresses (10,000 take 40 ms); more are picked out of a scan. */
const MOST_BY_ADDRESS = 20_000;

/**
 * Reads the rows at these addresses, with these columns and, where `columns` names it, `_rowaddr`. Few rows
 * cost what they are; many cost a scan of the fragments that they lie in, as do any of files in the legacy format.
 */
export async function* rowsAt(
  { table, manifest }: OpenVersion,
  addresses: AddressSet,
  columns: readonly string[],
  signal?: AbortSignal,
): AsyncGenerator<RecordBatch> {
  if (addresses.size === 0) return;
  if (addresses.size <= MOST_BY_ADDRESS && !hasLegacyFiles(manifest)) {
    const literals = Array.from(addresses, ([fragment, offset]) => addressLiteral(fragment, offset));
    yield* scan(table, { columns, where: `${ADDRESS} IN (${literals.join(",")})`, signal });
    return;
  }
  const wanted = columns.includes(ADDRESS) ? columns : [...columns, ADDRESS];
  for await (const batch of scanFragments(table, addresses.fragments(), { columns: wanted, signal })) {
    const places = addressesOf(batch);
    const indices: number[] = [];
    for (let row = 0; row < batch.numRows; row++) {
      if (addresses.has(places[row * 2 + 1] ?? 0, places[row * 2] ?? 0)) indices.push(row);
    }
    if (indices.length === batch.numRows && wanted === columns) yield batch;
    else if (indices.length === batch.numRows) yield batch.select([...columns]);
    else if (indices.length > 0) yield takeRows(batch, columns, indices);
  }
}

/** More stretches than this are asked for by one filter. */
const MOST_RANGES = 16;

/** What LanceDB takes for an offset. */
const MOST_ROWS = 2 ** 32;

/**
 * The addresses of the rows in some fragments. A filter looks at each address of the table (8 ms for 3.4
 * million), a stretch of rows at its own alone (1 ms). Which rows a stretch has is known from the manifest;
 * what comes is held to it, and where anything else comes the filter decides.
 */
export async function addressesIn(
  version: OpenVersion,
  fragments: readonly number[],
  signal?: AbortSignal,
): Promise<AddressSet> {
  const ranges = rowRanges(version.manifest, new Set(fragments));
  if (
    ranges !== undefined &&
    ranges.length <= MOST_RANGES &&
    ranges.every(({ offset, rows }) => offset + rows < MOST_ROWS)
  ) {
    const found = await byRanges(version.table, ranges, new Set(fragments), signal);
    if (found !== undefined) return found;
  }
  const where = whereInFragments(fragments);
  return collectAddresses(scan(version.table, { columns: [ADDRESS], where, signal }));
}

/** Undefined where the rows of the ranges are not just those of the fragments. */
async function byRanges(
  table: Table,
  ranges: readonly RowRange[],
  fragments: ReadonlySet<number>,
  signal: AbortSignal | undefined,
): Promise<AddressSet | undefined> {
  const all = new AddressSet();
  for (const range of ranges) {
    const before = all.size;
    if (range.rows > 0) await collectAddresses(scan(table, { columns: [ADDRESS], range, signal }), all);
    if (all.size - before !== range.rows) return undefined;
  }
  return all.fragments().every((id) => fragments.has(id)) ? all : undefined;
}

/** The addresses in batches that have them as a column. */
export async function collectAddresses(
  batches: AsyncIterable<RecordBatch>,
  all = new AddressSet(),
): Promise<AddressSet> {
  for await (const batch of batches) {
    const places = addressesOf(batch);
    for (let row = 0; row < batch.numRows; row++) all.add(places[row * 2 + 1] ?? 0, places[row * 2] ?? 0);
  }
  return all;
}
