import type { Table } from "@lancedb/lancedb";
import { whereKeys } from "../../lance/row-delta/where-keys.ts";
import type { TableReader } from "../file/types.ts";
import { chunksOf } from "./chunks.ts";

/** A merge deletes five times as slowly as a `delete`, but in the same commit (docs/lance-facts.md). */
const MOST_DELETES_IN_MERGE = 20_000;

/** Terms of one filter: a longer one takes LanceDB's parser too long, or too deep. */
const MOST_TERMS = 3;

const CHUNK_BYTES = 32 * 1024 * 1024;

/**
 * Applies a table's changes: one commit where they are of a usual size. Many deletes are commits of their own
 * before it, and upserts beyond 32 MB several. Doing it again changes nothing.
 *
 * @returns rows deleted, updated and inserted.
 */
export async function applyChanges(table: Table, reader: TableReader): Promise<number> {
  const { schema } = reader.head;
  if (schema === undefined) throw new TypeError("Changes have a schema.");
  const key = [...reader.head.key];
  let affected = 0;
  const merged: string[] = [];
  const inMerge = reader.upserts > 0 && reader.deletes <= MOST_DELETES_IN_MERGE;
  for await (const batch of reader.batches("deletes")) {
    for (const where of whereKeys(batch, key)) {
      if (inMerge && merged.length < MOST_TERMS) merged.push(where);
      else affected += (await table.delete(where)).numDeletedRows;
    }
  }
  for await (const chunk of chunksOf(schema, reader.batches("upserts"), CHUNK_BYTES)) {
    let merge = table.mergeInsert(key).whenMatchedUpdateAll().whenNotMatchedInsertAll();
    const where = merged.splice(0).join(" OR ");
    if (where !== "") merge = merge.whenNotMatchedBySourceDelete({ where });
    const result = await merge.execute(chunk);
    affected += result.numInsertedRows + result.numUpdatedRows + result.numDeletedRows;
  }
  return affected;
}
