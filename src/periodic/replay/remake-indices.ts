import type { Table } from "@lancedb/lancedb";
import { isSameColumn } from "../../arrow/column-path.ts";
import { parseTableId } from "../../lance/database.ts";
import type { Logger } from "../../logger.ts";
import type { IndexRecord } from "../file/types.ts";
import { makeIndices } from "../indices.ts";
import type { Target } from "./target.ts";

/**
 * Makes the recorded indices of each table that it lacks, when all its rows are there. One of the same name is
 * taken for it where it is of the same kind, on the same columns.
 */
export async function remakeIndices(
  { lancedb, db }: Target,
  indices: ReadonlyMap<string, readonly IndexRecord[]>,
  logger: Logger,
): Promise<void> {
  for (const [id, records] of indices) {
    if (records.length === 0) continue;
    const { name, namespacePath } = parseTableId(id);
    const table = await db.openTable(name, namespacePath);
    try {
      await makeIndices(table, await missing(table, records), { lancedb, table: id, logger });
    } finally {
      table.close();
    }
  }
}

async function missing(table: Table, records: readonly IndexRecord[]): Promise<IndexRecord[]> {
  const there = await table.listIndices();
  return records.filter(
    ({ name, type, columns }) =>
      !there.some(
        (index) =>
          index.name === name &&
          index.indexType === type &&
          index.columns.length === columns.length &&
          index.columns.every((column, place) => isSameColumn(column, columns[place] ?? "")),
      ),
  );
}
