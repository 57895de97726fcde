import { join } from "node:path";
import { namespacedDirectories, rootDirectory } from "./database.ts";
import { listNamespaces } from "./namespaces.ts";
import { isDataset } from "./table-directory.ts";
import type { LanceDB } from "./which-lancedb.ts";

/**
 * The directory of a table, undefined where it does not exist. One in a namespace is found too where LanceDB does not
 * list it.
 */
export async function locateTable(
  lancedb: LanceDB,
  database: string,
  id: string,
): Promise<string | undefined> {
  const root = rootDirectory(id);
  if (root !== undefined && isDataset(join(database, root))) return root;
  const found = (await namespacedDirectories(database, id)).filter((name) => isDataset(join(database, name)));
  if (found.length < 2) return found[0];
  const listed = await listedDirectory(lancedb, database, id).catch(() => undefined); // else the caller takes what there is
  return listed !== undefined && found.includes(listed) ? listed : found[0];
}

/** Where LanceDB looks for a table in a namespace, or undefined; there may be nothing, or not yet. */
export async function listedDirectory(
  lancedb: LanceDB,
  database: string,
  id: string,
): Promise<string | undefined> {
  const entries = await listNamespaces(lancedb, database);
  return entries.findLast((entry) => entry.object_id === id)?.location ?? undefined;
}
