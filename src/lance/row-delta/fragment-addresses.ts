import type { Table } from "@lancedb/lancedb";
import type { RecordBatch } from "apache-arrow";
import { ADDRESS, AddressSet, addressesOf, whereInFragments } from "./addresses.ts";
import { type RowRange, rowRanges } from "./fragments.ts";
import { type OpenVersion, scan } from "./scan.ts";

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
