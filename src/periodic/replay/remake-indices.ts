import type { Connection } from "@lancedb/lancedb";
import { parseTableId } from "../../lance/database.ts";
import type { Logger } from "../../logger.ts";
import type { IndexRecord } from "../file/types.ts";
import { makeIndices } from "../indices.ts";

/** Makes the recorded indices of each table, when all its rows are there. */
export async function remakeIndices(
  db: Connection,
  indices: ReadonlyMap<string, readonly IndexRecord[]>,
  logger: Logger,
): Promise<void> {
  for (const [id, records] of indices) {
    if (records.length === 0) continue;
    const { name, namespacePath } = parseTableId(id);
    const table = await db.openTable(name, namespacePath);
    try {
      await makeIndices(table, records, { table: id, logger });
    } finally {
      table.close();
    }
  }
}
