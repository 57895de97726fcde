import { join } from "node:path";
import { NAMESPACE_TABLE } from "../../../../lance/database.ts";
import { listManifests } from "../../../../lance/manifest.ts";
import { changeNamespaces, type NamespaceEntry, readNamespaces } from "../../../../lance/namespaces.ts";
import type { LanceDB } from "../../../../lance/which-lancedb.ts";

/**
 * Has a database's list of namespaces name the tables that came back, and the namespaces that they lie in. What it
 * has stays: putting the whole list back would hide the tables that were made since.
 *
 * @returns its newest version now.
 */
export async function mergeNamespaces(options: {
  readonly lancedb: LanceDB;
  readonly database: string;
  /** The list as it was in the snapshot. */
  readonly staged: string;
  readonly scratch: string;
  /** Where the tables that came back lie, by their ids. */
  readonly directories: ReadonlyMap<string, string>;
  /** Namespaces of other tables are not wanted. */
  readonly isPart: boolean;
}): Promise<number> {
  const { lancedb, database, staged, scratch, directories, isPart } = options;
  const isWanted = ({ object_id, location }: NamespaceEntry) => {
    if (location !== null) return directories.has(object_id);
    return !isPart || [...directories.keys()].some((id) => id.startsWith(`${object_id}$`));
  };
  const entries = (await readNamespaces(lancedb, staged, scratch))
    .filter(isWanted)
    .map((entry) => ({ ...entry, location: directories.get(entry.object_id) ?? entry.location }));
  const dataset = join(database, NAMESPACE_TABLE);
  await changeNamespaces(lancedb, dataset, scratch, { wanted: entries, gone: [] });
  return (await listManifests(dataset))[0]?.version ?? 0;
}
