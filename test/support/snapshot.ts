import { createHash } from "node:crypto";
import type { Connection, Table } from "@lancedb/lancedb";
import { DataType, type Field } from "apache-arrow";

/** What a table shows to its users. Two that are equal cannot be told apart but by their version numbers. */
export interface TableSnapshot {
  readonly schema: unknown;
  readonly rows: readonly unknown[];
  readonly indices: readonly unknown[];
  /** Row ids of the nearest rows to a fixed vector, for each vector column. */
  readonly nearest: Readonly<Record<string, unknown>>;
  /** Row ids that a fixed text finds, for each column with a full-text index. */
  readonly found: Readonly<Record<string, unknown>>;
  /** SHA-256 of each blob, for each blob column; rows hold only descriptors of them. */
  readonly blobs: Readonly<Record<string, unknown>>;
}

/** Every table of a database by its id (`ns$table` in a namespace): rows, schema, indices, search results. */
export async function snapshotOf(db: Connection): Promise<Record<string, TableSnapshot>> {
  const tables: Record<string, TableSnapshot> = {};
  for (const path of await namespacePaths(db)) {
    for (const name of await db.tableNames(path)) {
      const table = await db.openTable(name, path);
      tables[[...path, name].join("$")] = await snapshotOfTable(table);
      table.close();
    }
  }
  return tables;
}

/** Everything that the database shows: tables, and the tree of namespaces. */
export async function shownBy(db: Connection): Promise<unknown> {
  const tree = async (path: string[]): Promise<unknown> => {
    const { namespaces } = await db.listNamespaces(path);
    return Promise.all(namespaces.sort().map(async (name) => [name, await tree([...path, name])]));
  };
  return { tables: await snapshotOf(db), namespaces: await tree([]) };
}

export async function snapshotOfTable(table: Table): Promise<TableSnapshot> {
  const schema = await table.schema();
  const indices = await table.listIndices();
  const nearest: Record<string, unknown> = {};
  for (const field of schema.fields.filter(isVector)) {
    const probe = new Array<number>(field.type.listSize).fill(0.5);
    const rows = await table.vectorSearch(probe).column(field.name).withRowId().limit(10).toArray();
    nearest[field.name] = rows.map((row) => plain([row._rowid, row._distance]));
  }
  const found: Record<string, unknown> = {};
  for (const { indexType, columns } of indices) {
    const [column] = columns;
    if (indexType !== "FTS" || column === undefined) continue;
    const rows = await table.search(PROBE_TEXT, "fts", column).withRowId().limit(20).toArray();
    found[column] = rows.map((row) => plain(row._rowid)).sort();
  }
  const stats = await Promise.all(
    indices.map(async ({ name, indexType, columns, indexUuid }) =>
      plain({ name, indexType, columns, indexUuid, stats: await table.indexStats(name) }),
    ),
  );
  return {
    schema: {
      fields: schema.fields.map((field) =>
        plain([field.name, String(field.type), field.nullable, [...field.metadata]]),
      ),
      metadata: [...schema.metadata].sort(),
    },
    rows: await rowsOf(table),
    indices: stats.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)),
    nearest,
    found,
    blobs: await blobsOf(table),
  };
}

/** What `found` searches for. */
const PROBE_TEXT = "alpha";

/** All rows in the order of writing, as plain values. Reads every byte of every column. */
export async function rowsOf(table: Table): Promise<unknown[]> {
  return (await table.query().withRowId().toArray()).map((row) => plain(row.toJSON()));
}

async function blobsOf(table: Table): Promise<Record<string, unknown>> {
  const columns = await table.blobColumns();
  if (columns.length === 0) return {};
  const ids = (await table.query().select([]).withRowId().toArray()).map((row) => row._rowid as bigint);
  const digest = (blob: Buffer | null) => blob && createHash("sha256").update(blob).digest("hex");
  const entries = columns.map(
    async (name) => [name, (await table.fetchBlobs(name, ids)).map(digest)] as const,
  );
  return Object.fromEntries(await Promise.all(entries));
}

async function namespacePaths(db: Connection, path: string[] = []): Promise<string[][]> {
  const { namespaces } = await db.listNamespaces(path);
  const inner = await Promise.all(namespaces.map((name) => namespacePaths(db, [...path, name])));
  return [path, ...inner.flat()];
}

function isVector(field: Field): field is Field & { type: { listSize: number } } {
  return DataType.isFixedSizeList(field.type) && DataType.isFloat(field.type.children[0]?.type);
}

/** Values that compare by content: no typed arrays, no big integers, no Arrow classes. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return `${value}n`;
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (value instanceof Date || typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(plain);
  if ("toArray" in value && typeof value.toArray === "function") return Array.from(value.toArray(), plain);
  if ("toJSON" in value && typeof value.toJSON === "function") return plain(value.toJSON());
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}
