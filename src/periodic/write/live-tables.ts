import { join } from "node:path";
import { listTables, NAMESPACE_TABLE, type TableLocation } from "../../lance/database.ts";
import { listManifests } from "../../lance/image.ts";
import { locateTable } from "../../lance/locate.ts";
import { readManifest } from "../../lance/put-back/state.ts";
import type { LanceDB } from "../../lance/which-lancedb.ts";
import type { TablePosition } from "../file/types.ts";

/**
 * The tables to back up: those of the named ones that exist, or every one there is. `__manifest` is left
 * out, since loading makes the namespaces anew.
 */
export async function findTables(
  lancedb: LanceDB,
  database: string,
  named: readonly string[] | undefined,
): Promise<TableLocation[]> {
  if (named) return findNamed(lancedb, database, named);
  const all = (await listTables(database)).filter(({ id, directory }) => {
    return id !== NAMESPACE_TABLE && (directory.endsWith(".lance") || directory.includes("$"));
  });
  // A namespaced table that was dropped half-way can have left a second directory.
  const twice = new Set(all.map(({ id }) => id).filter((id, at, ids) => ids.indexOf(id) !== at));
  if (twice.size === 0) return all;
  return [...all.filter(({ id }) => !twice.has(id)), ...(await findNamed(lancedb, database, [...twice]))];
}

async function findNamed(
  lancedb: LanceDB,
  database: string,
  ids: readonly string[],
): Promise<TableLocation[]> {
  const found: TableLocation[] = [];
  for (const id of new Set(ids)) {
    const directory = await locateTable(lancedb, database, id);
    if (directory !== undefined) found.push({ id, directory });
  }
  return found;
}

/** Where a table stands now; undefined where it is gone. */
export async function currentPosition(dataset: string): Promise<TablePosition | undefined> {
  const [newest] = await listManifests(dataset);
  const digest = newest && readManifest(dataset, newest)?.digest;
  return newest && digest !== undefined ? { version: newest.version, digest } : undefined;
}

export function datasetOf(database: string, table: TableLocation): string {
  return join(database, table.directory);
}
