import type { Table } from "@lancedb/lancedb";
import { anyOf, whereKeys } from "../../arrow/where-keys.ts";
import { deleteRows } from "../../lance/lacking.ts";
import type { TableReader } from "../file/types.ts";
import { chunksOf } from "./chunks.ts";

/** More deletes are commits of their own: a merge deletes five times as slowly (docs/lance-facts.md). */
const MOST_DELETES_AT_ONCE = 20_000;

const CHUNK_BYTES = 32 * 1024 * 1024;

/**
 * Applies a table's changes: one commit where they are of a usual size. More than 20,000 deletes are
 * commits of their own before it, and upserts beyond 32 MB several. Doing it again changes nothing.
 *
 * @returns rows deleted, updated and inserted.
 */
export async function applyChanges(table: Table, reader: TableReader): Promise<number> {
  const { schema } = reader.head;
  if (schema === undefined) throw new TypeError("Changes have a schema.");
  const key = [...reader.head.key];
  let affected = 0;
  const filters: string[] = [];
  const atOnce = reader.deletes <= MOST_DELETES_AT_ONCE;
  for await (const batch of reader.batches("deletes")) {
    for (const where of whereKeys(batch, key)) {
      if (atOnce) filters.push(where);
      else affected += (await deleteRows(table, where)).deleted;
    }
  }
  if (reader.upserts === 0 && filters.length > 0) {
    affected += (await deleteRows(table, anyOf(filters))).deleted;
  }
  for await (const chunk of chunksOf(schema, reader.batches("upserts"), CHUNK_BYTES)) {
    let merge = table.mergeInsert(key).whenMatchedUpdateAll().whenNotMatchedInsertAll();
    const where = anyOf(filters.splice(0));
    if (where !== "") merge = merge.whenNotMatchedBySourceDelete({ where });
    const result = await merge.execute(chunk);
    affected += result.numInsertedRows + result.numUpdatedRows + result.numDeletedRows;
  }
  return affected;
}
