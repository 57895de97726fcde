import type { RecordBatch } from "apache-arrow";
import { DigestTable } from "../../arrow/digest-table.ts";
import { rowDigests } from "../../arrow/row-digests.ts";
import { describeKey, firstUnusableKey } from "../../arrow/row-key.ts";
import { CorruptError } from "../../errors.ts";
import { ROW_KINDS, type TableReader } from "../file/types.ts";

/**
 * Reads every row of a table and keeps none. A file can have a right checksum and rows that are wrong all the
 * same: this finds them while nothing is written yet. Reading is checking; what only a replay minds comes on
 * top, keys that are null, or that come twice.
 *
 * @throws CorruptError naming file, table and row.
 */
export async function readThrough(file: string, reader: TableReader): Promise<void> {
  const { form, key } = reader.head;
  const keys = form === "changes" ? new DigestTable() : undefined;
  for (const kind of ROW_KINDS) {
    let rows = 0;
    for await (const batch of reader.batches(kind)) {
      const problem = keys && findProblem(batch, key, keys);
      if (problem !== undefined) {
        const place = `table ${JSON.stringify(reader.head.table)}, ${kind}, row ${rows + problem.row + 1}`;
        throw new CorruptError(
          `${file} is damaged, or was not written by this package: ${place}: ${problem.why}.`,
          { path: file },
        );
      }
      rows += batch.numRows;
    }
  }
}

function findProblem(
  batch: RecordBatch,
  key: readonly string[],
  keys: DigestTable,
): { readonly row: number; readonly why: string } | undefined {
  const unusable = firstUnusableKey(batch, key);
  if (unusable !== undefined)
    return { row: unusable, why: `the key ${describeKey(batch, key, unusable)} can name no row` };
  const digest = rowDigests(batch, key);
  for (let row = 0; row < batch.numRows; row++) {
    if (!keys.add(digest(row))) return { row, why: `the key ${describeKey(batch, key, row)} comes twice` };
  }
  return undefined;
}
