import type { TableLocation } from "../../../lance/database.ts";
import type { LanceCatalog } from "../lance-catalog.ts";
import type { SnapshotContent } from "../snapshot-view.ts";

/**
 * What a live database is compared with: its newest snapshot; and for each table that this does not have, since it is of
 * some tables alone, the newest that has it. Undefined where there is none.
 */
export async function newestReference(
  catalog: Pick<LanceCatalog, "newestOf" | "newestFirst" | "readable">,
  source: { readonly id: string },
  tables: readonly TableLocation[],
  signal?: AbortSignal,
): Promise<SnapshotContent | undefined> {
  const newest = await catalog.newestOf(source, signal);
  if (!newest) return undefined;
  const all = [...newest.snapshot.tables];
  const files = new Map(newest.files);
  const missing = new Set(
    tables.map(({ directory }) => directory).filter((directory) => !files.has(directory)),
  );
  if (missing.size === 0) return newest;
  for await (const { id, tables: there } of catalog.newestFirst(source, signal)) {
    if (!there.some(({ directory }) => missing.has(directory))) continue;
    const older = await catalog.readable(id, signal, { preferredSource: source.id });
    for (const table of older?.snapshot.tables ?? []) {
      if (!missing.delete(table.directory)) continue;
      all.push(table);
      files.set(table.directory, older?.files.get(table.directory) ?? []);
    }
    if (missing.size === 0) break;
  }
  return { snapshot: { ...newest.snapshot, tables: all }, files };
}
