import type { Connection, Table } from "@lancedb/lancedb";
import type { Table as ArrowTable, RecordBatch, Schema } from "apache-arrow";
import { arrow } from "../../arrow/arrow.ts";
import { nulls } from "../../arrow/codecs.ts";
import { newBatch } from "../../arrow/column.ts";
import { assertFilterable, assertKey, assertMergeable } from "../../arrow/row-key.ts";
import { sameSchema } from "../../arrow/schemas.ts";
import { anyOf, whereKeys } from "../../arrow/where-in.ts";
import { loadableTable } from "../../arrow/writable.ts";
import { BackupError, LanceError, UnsupportedError, ValidationError } from "../../errors.ts";
import { assertRoot } from "../../fs/held-root.ts";
import { isError, reasonOf } from "../../fs/io.ts";
import { assertTableId, parseTableId } from "../../lance/database.ts";
import { assertNamespaces, createTableIn, deleteRows } from "../../lance/lacking.ts";
import { locateTable } from "../../lance/namespaces.ts";
import type { Logger } from "../../logger.ts";
import type { BackupFileReader, IndexRecord, TableReader } from "../file/backup-file.ts";
import { openTable, remakeIndices, type Target } from "./replay-target.ts";

/** Files that are written into a database, one after the other. */
export class Replay {
  readonly #target: Target;
  /** Those that the files record of each table that they leave. */
  readonly #indices = new Map<string, readonly IndexRecord[]>();

  constructor(target: Target) {
    this.#target = target;
  }

  /** The ids of the tables that the files leave. */
  get tables(): string[] {
    return [...this.#indices.keys()];
  }

  /** @returns rows affected. @throws LanceError naming table and file */
  async write(file: BackupFileReader): Promise<number> {
    const target = this.#target;
    let affected = 0;
    for await (const table of file.tables()) {
      const write =
        file.head.type === "full" ? makeTable(target, table, "create") : applyTable(target, table);
      affected += await write.catch((error: unknown) => {
        if (error instanceof BackupError) throw error;
        const message = `LanceDB could not write the table ${table.head.table} of ${file.path}: ${reasonOf(error)}`;
        throw new LanceError(message, { cause: error });
      });
      assertRoot(target.path); // LanceDB makes what is missing, and writes there
      if (table.head.form === "dropped") this.#indices.delete(table.head.table);
      else this.#indices.set(table.head.table, table.head.indices);
    }
    return affected;
  }

  remakeIndices(logger: Logger): Promise<void> {
    return remakeIndices(this.#target, this.#indices, logger);
  }
}

/** Brings one table from the state before a delta to the one after it. @returns rows affected. */
async function applyTable(target: Target, reader: TableReader): Promise<number> {
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
  const table = await openTable(target, head.table);
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
  const table = writingAsIs(await openTable(target, reader.head.table));
  try {
    return await applyChanges(table, reader);
  } finally {
    table.close();
  }
}

/** Overwrites a table that may be in use: if it cannot be finished, the version of before comes back. */
async function replaceTable(target: Target, reader: TableReader): Promise<number> {
  const table = await openTable(target, reader.head.table);
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

/** A column that is there for the time of one write. */
const SPARE = "__lancedb_backup_none";

/**
 * Makes a table of these chunks; answers with it. `mode`: whether a table of that name may be there, which
 * then keeps its history.
 */
async function createFrom(
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
  made ??= await createTableIn(db, table, table.schema, { mode });
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
  const spare = new arrow.Field(SPARE, new arrow.Int64(), true);
  const schema = new arrow.Schema([...rows.schema.fields, spare], rows.schema.metadata);
  const batches = rows.batches.map(({ numRows, data }) =>
    newBatch(schema, numRows, [...data.children, nulls(spare, numRows)]),
  );
  await table.mergeInsert(SPARE).whenNotMatchedInsertAll().execute(new arrow.Table(schema, batches));
  await table.dropColumns([SPARE]);
}

/** Under this key of a schema's metadata LanceDB's client finds the functions that make its vectors. */
const FUNCTIONS = "embedding_functions";

/**
 * A handle that writes rows as they are. LanceDB's client looks at the schema of a table before it adds or
 * merges: where embedding functions are named there, it makes vectors for rows that have none, and fails where
 * a function is not registered in this process. To this handle's writes the schema names none. Nothing in the
 * table changes by that. For handles of one's own only.
 */
function writingAsIs(table: Table): Table {
  const stated = table.schema.bind(table);
  const schema = async () => {
    const { fields, metadata } = await stated();
    const others = [...metadata].filter(([key]) => key !== FUNCTIONS);
    return new arrow.Schema(fields, new Map(others));
  };
  return Object.defineProperty(table, "schema", { value: schema });
}

/** More deletes are commits of their own: a merge deletes five times as slowly (docs/lance-facts.md). */
const MOST_DELETES_AT_ONCE = 20_000;

/** Bytes of upserts that are written with one commit. */
const UPSERT_BYTES = 32 * 1024 * 1024;

/**
 * Applies a table's changes: one commit where they are of a usual size. More than 20,000 deletes are
 * commits of their own before it, and upserts beyond 32 MB several. Doing it again changes nothing.
 *
 * @returns rows deleted, updated and inserted.
 */
async function applyChanges(table: Table, reader: TableReader): Promise<number> {
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
  for await (const chunk of chunksOf(schema, reader.batches("upserts"), UPSERT_BYTES)) {
    let merge = table.mergeInsert(key).whenMatchedUpdateAll().whenNotMatchedInsertAll();
    const where = anyOf(filters.splice(0));
    if (where !== "") merge = merge.whenNotMatchedBySourceDelete({ where });
    const result = await merge.execute(chunk);
    affected += result.numInsertedRows + result.numUpdatedRows + result.numDeletedRows;
  }
  return affected;
}

/** Bytes that are written with one commit. What LanceDB holds for it is many times as much, and larger ones load no faster. */
const CHUNK_BYTES = 6 * 1024 * 1024;

/** Gathers batches into tables of a size that one commit can take. */
async function* chunksOf(
  schema: Schema,
  batches: AsyncIterable<RecordBatch>,
  bytes = CHUNK_BYTES,
): AsyncGenerator<ArrowTable> {
  let held: RecordBatch[] = [];
  let size = 0;
  for await (const batch of batches) {
    held.push(batch);
    size += batch.data.byteLength;
    if (size < bytes) continue;
    yield* loadable(schema, held);
    held = [];
    size = 0;
  }
  if (held.length > 0) yield* loadable(schema, held);
}

/** In as few tables as can be: what goes with one commit has one dictionary a column, and its keys may be too few. */
function* loadable(schema: Schema, batches: readonly RecordBatch[]): Generator<ArrowTable> {
  let table: ArrowTable | undefined;
  try {
    table = loadableTable(schema, batches);
  } catch (error) {
    if (!(error instanceof UnsupportedError) || batches.length < 2) throw error;
  }
  if (table) return yield table;
  const half = batches.length >> 1;
  yield* loadable(schema, batches.slice(0, half));
  yield* loadable(schema, batches.slice(half));
}

/** Makes a namespace and those around it, as far as they are missing. @throws UnsupportedError where LanceDB has none. */
async function ensureNamespace(db: Connection, path: readonly string[]): Promise<void> {
  assertNamespaces(db, path);
  for (let depth = 1; depth <= path.length; depth++) {
    const wanted = path.slice(0, depth);
    if (await hasNamespace(db, wanted)) continue;
    try {
      await db.createNamespace(wanted);
    } catch (error) {
      // Somebody else may have made it meanwhile. (`exist_ok` of LanceDB 0.39 fails where it is there.)
      if (!(await hasNamespace(db, wanted))) throw error;
    }
  }
}

async function hasNamespace(db: Connection, path: readonly string[]): Promise<boolean> {
  const name = path.at(-1) ?? "";
  let page: string | undefined;
  do {
    const listed = await db.listNamespaces(path.slice(0, -1), page === undefined ? {} : { pageToken: page });
    if (listed.namespaces.includes(name)) return true;
    page = listed.pageToken;
  } while (page !== undefined && page !== "");
  return false;
}

/**
 * Holds what a file says of a table to what can be written: a name that stays in the database, a key that
 * there is, and by which LanceDB can put in and delete what the file has.
 *
 * @throws ValidationError naming the file.
 */
export function checkTable(file: BackupFileReader, { head, upserts, deletes }: TableReader): void {
  const { table, form, schema, key } = head;
  try {
    assertTableId(table);
    if (form === "changes" && schema) {
      assertKey(table, schema, key);
      if (upserts > 0) assertMergeable(table, schema, key);
      if (deletes > 0) assertFilterable(table, schema, key);
    }
  } catch (error) {
    if (!(error instanceof ValidationError)) throw error;
    throw new ValidationError(`${file.path}: ${error.message}`, { cause: error });
  }
  if (form !== "dropped" && (schema === undefined || schema.fields.length === 0)) {
    throw new ValidationError(`${file.path}: the table ${table} has no columns.`);
  }
  if ((form === "dropped" && upserts + deletes > 0) || (form !== "changes" && deletes > 0)) {
    throw new ValidationError(
      `${file.path}: the table ${table} is ${form}, and holds rows that it must not.`,
    );
  }
}
