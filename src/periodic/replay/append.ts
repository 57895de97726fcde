import type { Connection, Table } from "@lancedb/lancedb";
import type { Table as ArrowTable, Schema } from "apache-arrow";
import { arrow } from "../../arrow/arrow.ts";
import { isError } from "../../fs/io.ts";
import { createEmptyTableIn, createTableIn } from "../../lance/lacking.ts";
import { writingAsIs } from "./as-is.ts";

/** A column that is there for the time of one write. */
const SPARE = "__lancedb_backup_none";

/**
 * Makes a table of these chunks; answers with it. `mode`: whether a table of that name may be there, which
 * then keeps its history.
 */
export async function createFrom(
  db: Connection,
  table: { readonly name: string; readonly namespacePath: string[]; readonly schema: Schema },
  chunks: AsyncIterable<ArrowTable>,
  mode: "create" | "overwrite",
): Promise<{ readonly table: Table; readonly rows: number }> {
  let made: Table | undefined;
  let rows = 0;
  for await (const chunk of chunks) {
    rows += chunk.numRows;
    if (made) await append(made, chunk);
    else made = writingAsIs(await createTableIn(db, table, chunk, { mode }));
  }
  made ??= await createEmptyTableIn(db, table, table.schema, { mode });
  return { table: made, rows };
}

/** Adds rows, also such as LanceDB's own `add` refuses: NaN in vectors. */
async function append(table: Table, rows: ArrowTable): Promise<void> {
  try {
    await table.add(rows);
  } catch (error) {
    if (!isError(error) || !error.message.includes("NaN")) throw error;
    await appendByMerge(table, rows);
  }
}

/** A merge takes NaN vectors. On a column of nulls no row matches another, so that each is inserted. */
async function appendByMerge(table: Table, rows: ArrowTable): Promise<void> {
  await table.addColumns([{ name: SPARE, valueSql: "cast(NULL as bigint)" }]);
  const type = new arrow.Int64();
  const schema = new arrow.Schema(
    [...rows.schema.fields, new arrow.Field(SPARE, type, true)],
    rows.schema.metadata,
  );
  const batches = rows.batches.map((batch) => {
    const length = batch.numRows;
    const bitmap = new Uint8Array(Math.ceil(length / 64) * 8);
    const slots = [undefined, new BigInt64Array(length), bitmap];
    const nulls = new arrow.Data(type, 0, length, length, slots as never);
    const struct = new arrow.Data(new arrow.Struct(schema.fields), 0, length, 0, [] as never, [
      ...batch.data.children,
      nulls,
    ]);
    return new arrow.RecordBatch(schema, struct as never);
  });
  await table.mergeInsert(SPARE).whenNotMatchedInsertAll().execute(new arrow.Table(schema, batches));
  await table.dropColumns([SPARE]);
}
