import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type Connection, connect, type Table } from "@lancedb/lancedb";

/** What a user can see of a table, its version aside. */
export interface TableView {
  readonly schema: string;
  readonly rows: readonly string[];
  readonly indices: readonly string[];
  readonly tags: readonly string[];
  /** Rows found through an index on `id`, or by a scan where there is none. */
  readonly found: number;
}

export type DatabaseView = Readonly<Record<string, TableView>>;

/** Reads every table in full, by LanceDB's own means. Throws where one cannot be opened. */
export async function observe(uri: string): Promise<DatabaseView> {
  const db = await connect(uri);
  try {
    const view: Record<string, TableView> = {};
    for (const path of await namespacePaths(db, uri)) {
      for (const name of await db.tableNames(path)) {
        const table = await db.openTable(name, path);
        view[[...path, name].join("$")] = await observeTable(table);
        table.close();
      }
    }
    return view;
  } finally {
    db.close();
  }
}

async function namespacePaths(db: Connection, uri: string): Promise<string[][]> {
  if (!existsSync(join(uri, "__manifest"))) return [[]];
  const { namespaces } = await db.listNamespaces();
  return [[], ...namespaces.map((name) => [name])];
}

async function observeTable(table: Table): Promise<TableView> {
  const rows = (await table.query().toArray()).map((row) => JSON.stringify(plain(row)));
  const indices = (await table.listIndices()).map((index) => `${index.name}: ${index.indexType}`);
  const tags = Object.entries(await (await table.tags()).list());
  const hasId = (await table.schema()).fields.some((field) => field.name === "id");
  return {
    schema: String(await table.schema()),
    rows: rows.sort(),
    indices: indices.sort(),
    tags: tags.map(([tag, content]) => `${tag}: ${content.version}`).sort(),
    found: hasId ? await table.countRows("id >= 0") : await table.countRows(),
  };
}

function plain(row: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(row).map(([key, value]) => [
      key,
      typeof value === "bigint"
        ? `${value}n`
        : value !== null && typeof value === "object"
          ? Array.from(value as Iterable<unknown>)
          : value,
    ]),
  );
}

const U64_MAX = 2n ** 64n - 1n;

/** The highest version number that each dataset directory shows on the disk, read from the names alone. */
export function versionsOnDisk(uri: string): Map<string, number> {
  const versions = new Map<string, number>();
  for (const directory of readdirSync(uri)) {
    const manifests = join(uri, directory, "_versions");
    if (!existsSync(manifests)) continue;
    const numbers = readdirSync(manifests)
      .map((name) => /^(\d{20})\.manifest$/.exec(name)?.[1])
      .filter((digits) => digits !== undefined)
      .map((digits) => Number(U64_MAX - BigInt(digits)));
    versions.set(directory, Math.max(0, ...numbers));
  }
  return versions;
}

/** What our own rooms and the backup directory still hold: nothing, when no operation runs. */
export function leftovers(uri: string, backupDir: string): string[] {
  const own = ["journal", "staging", "aside"].map((room) => join(uri, ".lancedb-backup", room));
  return [...own, backupDir].flatMap((directory) =>
    existsSync(directory) ? readdirSync(directory).map((name) => join(directory, name)) : [],
  );
}
