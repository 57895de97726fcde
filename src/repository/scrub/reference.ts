import type { TableLocation } from "../../lance/database.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { SnapshotContent } from "../snapshot.ts";

/**
 * What a live database is compared with: its newest snapshot; and for each table that this does not have, since it is of
 * some tables alone, the newest that has it. Undefined where there is none.
 */
export async function newestReference(
  catalog: Pick<Catalog, "newestOf">,
  source: { readonly id: string },
  tables: readonly TableLocation[],
  signal?: AbortSignal,
): Promise<SnapshotContent | undefined> {
  const newest = await catalog.newestOf(source, signal);
  if (!newest) return undefined;
  const all = [...newest.snapshot.tables];
  const files = new Map(newest.files);
  for (const { directory } of tables) {
    if (files.has(directory)) continue;
    const older = await catalog.newestOf(source, signal, ({ tables }) =>
      tables.some((table) => table.directory === directory),
    );
    const table = older?.snapshot.tables.find((one) => one.directory === directory);
    if (!older || !table) continue;
    all.push(table);
    files.set(directory, older.files.get(directory) ?? []);
  }
  return { snapshot: { ...newest.snapshot, tables: all }, files };
}
