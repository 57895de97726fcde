import type { RecordBatch } from "apache-arrow";
import { takeRows } from "../../arrow/take-rows.ts";
import { ADDRESS, type AddressSet, addressesOf, addressLiteral } from "./addresses.ts";
import { hasLegacyFiles } from "./fragments.ts";
import { type OpenVersion, scan, scanFragments } from "./scan.ts";

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
