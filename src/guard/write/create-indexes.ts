import type { Connection, Index, IndexConfig, Table } from "@lancedb/lancedb";
import type { Field } from "apache-arrow";
import { type ColumnPath, indexColumn, resolveColumn } from "../../arrow/column-path.ts";
import { assertKnown } from "../../checks.ts";
import { UnsupportedError, ValidationError } from "../../errors.ts";
import type { Target } from "./target-table.ts";
import { checkGuarded, GUARDED_OPTIONS, type GuardedOptions, HelperCall } from "./write-options.ts";

/** One index to make. */
export interface IndexSpec {
  /** The column; a field of a struct as `struct.field`. Names may be quoted as LanceDB quotes them: `` struct.`odd.name` ``. */
  readonly column: string;
  /** LanceDB's `Index.btree()`, `Index.fts()`, …, made anew for each call. Default: what LanceDB picks for the type. */
  readonly config?: Index | undefined;
  /** Default: LanceDB's, the column's name and `_idx`, and a number where another kind of index has that. */
  readonly name?: string | undefined;
  /** Whether an index that is there already is made anew. Default true; false makes the call fail. */
  readonly replace?: boolean | undefined;
}

export interface CreateIndexesResult {
  /** A plain, unguarded connection to the database. */
  readonly connection: Connection;
  readonly table: string;
  /** The table's version after the last index. */
  readonly version: number;
  /** The names of the indices, in the order of the specs. */
  readonly indexes: string[];
}

/**
 * Makes scalar, full-text and vector indices, all or none: where one fails, those made before it are gone
 * again, and those replaced are back. Returns when all are built.
 *
 * Without any specs it does nothing, and takes no backup.
 *
 * Errors: `ValidationError` (nothing was written) for a table or column that does not exist and for specs
 * that ask for one name twice; `LanceError` with LanceDB's error as `cause`; those of
 * `BackupManager.withBackup`; the signal's reason.
 *
 * @example
 * ```ts
 * await createIndexesWithBackup("documents", [{ column: "text", config: Index.fts() }, { column: "vector" }], {
 *   uri: "data/lancedb-table",
 * });
 * ```
 */
export async function createIndexesWithBackup(
  table: string,
  indexes: readonly IndexSpec[],
  options: GuardedOptions,
): Promise<CreateIndexesResult> {
  // Options that the helpers share may name the table, as the others' do.
  const shared: GuardedOptions & { readonly table?: unknown } = options;
  const known = { ...GUARDED_OPTIONS, table: false };
  const ref = checkGuarded("createIndexesWithBackup", table, shared, known);
  if (shared?.table !== undefined && shared.table !== table) {
    throw new ValidationError(`The indices are for table ${table}, and the option table is ${shared.table}.`);
  }
  const call = new HelperCall(ref, options);
  call.signal?.throwIfAborted();
  const { connection, target: before } = await call.lookAtExisting();
  checkSpecs(indexes, before.schema.fields);
  const made =
    indexes.length === 0
      ? { version: before.version, indexes: [] }
      : await call.run(async (db) => createAll(await call.require(db), indexes, call));
  call.tell("indices made", made);
  return { connection, table: ref.name, ...made };
}

/** Throws `ValidationError` for specs that cannot be carried out on a table with these columns. */
function checkSpecs(specs: readonly IndexSpec[], fields: readonly Field[]): void {
  if (!Array.isArray(specs)) throw new ValidationError("The indexes must be an array of { column, config }.");
  const names = new Set<string>();
  for (const [place, spec] of specs.entries()) {
    assertKnown(spec ?? {}, `Index ${place}`, { column: true, config: true, name: true, replace: true });
    if (typeof spec?.column !== "string") throw new ValidationError(`Index ${place} names no column.`);
    const path = resolveColumn(spec.column, fields);
    if (!path) {
      throw new ValidationError(`Index ${place}: the table has no column ${JSON.stringify(spec.column)}.`);
    }
    if (spec.config !== undefined && !isIndex(spec.config)) {
      throw new ValidationError(`Index ${place}: config must be made by LanceDB's Index (Index.btree(), …).`);
    }
    if (spec.config !== undefined && specs.findIndex(({ config }) => config === spec.config) < place) {
      throw new ValidationError(`Index ${place}: LanceDB takes a config once; make one for each index.`);
    }
    if (spec.name !== undefined && (typeof spec.name !== "string" || spec.name === "")) {
      throw new ValidationError(`Index ${place}: the name must be a string, and not empty.`);
    }
    const name = spec.name ?? `${indexColumn(path)}_idx`;
    if (names.has(name))
      throw new ValidationError(`Two of the indexes have the name ${JSON.stringify(name)}.`);
    names.add(name);
  }
}

/** `instanceof` sees the `Index` of one copy of LanceDB only; every copy's has its native part in `inner`. */
function isIndex(config: unknown): boolean {
  return typeof config === "object" && config !== null && typeof Reflect.get(config, "inner") === "object";
}

async function createAll(
  target: Target,
  specs: readonly IndexSpec[],
  call: HelperCall,
): Promise<{ version: number; indexes: string[] }> {
  // The table may have changed, or been recovered, between the check and the lock.
  checkSpecs(specs, target.schema.fields);
  const indexes: string[] = [];
  for (const spec of specs) {
    call.signal?.throwIfAborted();
    const start = performance.now();
    const action = `index the column "${spec.column}" of "${call.id}"`;
    const path = resolveColumn(spec.column, target.schema.fields) ?? [spec.column];
    const name = await call.lance(action, () => createOne(target.table, path, spec));
    indexes.push(name);
    const ms = Math.round(performance.now() - start);
    call.logger.debug("index made", { table: call.id, index: name, ms });
  }
  return { version: await call.lance("read the version", () => target.table.version()), indexes };
}

/** Answers with the index's name. */
async function createOne(table: Table, path: ColumnPath, spec: IndexSpec): Promise<string> {
  const { config, name, replace } = spec;
  const column = indexColumn(path);
  const before = await listIndices(table);
  await table.createIndex(column, {
    ...(config !== undefined && { config }),
    ...(name !== undefined && { name }),
    ...(replace !== undefined && { replace }),
  });
  const after = await listIndices(table);
  if (name !== undefined && after?.every((index) => index.name !== name)) {
    throw new UnsupportedError(
      `The LanceDB in use gives indices their names itself, which ${JSON.stringify(name)} is not one of: leave the name out, or use LanceDB 0.22 or newer.`,
    );
  }
  // Below 0.31 an index has no other identity than its name.
  const known = new Set(before?.map(identityOf));
  const made = before && after?.find((index) => !known.has(identityOf(index)));
  return made?.name ?? name ?? `${column}_idx`;
}

const identityOf = ({ indexUuid, name }: IndexConfig): string => indexUuid ?? name;

/** Undefined where LanceDB cannot tell: a full-text index without its files makes it throw, and may be what is made anew. */
async function listIndices(table: Table): Promise<IndexConfig[] | undefined> {
  try {
    return await table.listIndices();
  } catch {
    return undefined; // only the name's spelling in the answer depends on it
  }
}
