import { ValidationError } from "../../errors.ts";
import { parseTableId } from "../../lance/database.ts";
import { locateTable } from "../../lance/locate.ts";
import { sameSchema } from "../../lance/row-delta/plan.ts";
import type { TableReader } from "../file/types.ts";
import { createFrom } from "./append.ts";
import { writingAsIs } from "./as-is.ts";
import { applyChanges } from "./changes.ts";
import { chunksOf } from "./chunks.ts";
import { ensureNamespace } from "./namespaces.ts";
import type { Target } from "./target.ts";

/** Makes the table of a full. @returns its rows. */
export async function loadTable(target: Target, reader: TableReader): Promise<number> {
  return makeTable(target, reader, "create");
}

/** Brings one table from the state before a delta to the one after it. @returns rows affected. */
export async function applyTable(target: Target, reader: TableReader): Promise<number> {
  const { name, namespacePath } = parseTableId(reader.head.table);
  const there = await hasTable(target, reader.head.table);
  switch (reader.head.form) {
    case "dropped":
      if (there) await target.db.dropTable(name, namespacePath);
      return 0;
    case "changes":
      return changeTable(target, reader);
    case "rows":
    case "replaced":
      return there ? replaceTable(target, reader) : makeTable(target, reader, "create");
  }
}

/**
 * Holds a table's changes to the database that they are to be applied to.
 *
 * @throws ValidationError where the table is missing, or has other columns.
 */
export async function assertAppliable(target: Target, { head }: TableReader, file: string): Promise<void> {
  if (head.form !== "changes" || head.schema === undefined) return;
  if (!(await hasTable(target, head.table))) {
    throw new ValidationError(`${file} changes the table ${head.table}, which is not in the database.`);
  }
  const { name, namespacePath } = parseTableId(head.table);
  const table = await target.db.openTable(name, namespacePath);
  const schema = await table.schema();
  table.close();
  if (sameSchema(schema, head.schema)) return;
  throw new ValidationError(
    `${file} changes the table ${head.table}, which has other columns in the database.`,
  );
}

async function hasTable({ lancedb, path }: Target, id: string): Promise<boolean> {
  return (await locateTable(lancedb, path, id)) !== undefined;
}

async function changeTable(target: Target, reader: TableReader): Promise<number> {
  if (reader.upserts + reader.deletes === 0) return 0;
  const { name, namespacePath } = parseTableId(reader.head.table);
  const table = writingAsIs(await target.db.openTable(name, namespacePath));
  try {
    return await applyChanges(table, reader);
  } finally {
    table.close();
  }
}

/** Overwrites a table that may be in use: if it cannot be finished, the version of before comes back. */
async function replaceTable(target: Target, reader: TableReader): Promise<number> {
  const { name, namespacePath } = parseTableId(reader.head.table);
  const table = await target.db.openTable(name, namespacePath);
  const before = await table.version();
  try {
    return await makeTable(target, reader, "overwrite");
  } catch (error) {
    await table.checkout(before);
    await table.restore();
    throw error;
  } finally {
    table.close();
  }
}

async function makeTable(target: Target, reader: TableReader, mode: "create" | "overwrite"): Promise<number> {
  const { schema, table: id } = reader.head;
  if (schema === undefined) throw new TypeError("A table that is made has a schema.");
  const { name, namespacePath } = parseTableId(id);
  await ensureNamespace(target.db, namespacePath);
  const chunks = chunksOf(schema, reader.batches("upserts"));
  const { table, rows } = await createFrom(target.db, { name, namespacePath, schema }, chunks, mode);
  table.close();
  return rows;
}
