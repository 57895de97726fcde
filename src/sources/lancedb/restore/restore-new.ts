import { dirname, join } from "node:path";
import { writeFiles } from "../../../engine/restore/write-files.ts";
import { NAMESPACE_TABLE } from "../../../lance/database.ts";
import { Landing } from "../../../lance/landing.ts";
import type { LanceDB } from "../../../lance/which-lancedb.ts";
import type { NewPlan } from "./plan-restore.ts";
import type { LeftOut, RestoreContext, RestoreOptions } from "./restore-options.ts";
import { type RestoreReport, reportOf } from "./restore-report.ts";
import { danglingEntry } from "./select.ts";

/**
 * Writes a new database beside its place; when every file is verified and on the disk, it gets there by one rename.
 * After an error or an abort the target is as it was.
 */
export async function restoreNew(
  { blobs, lancedb }: Pick<RestoreContext, "blobs" | "lancedb">,
  plan: NewPlan,
  options: RestoreOptions,
  started: number,
): Promise<RestoreReport> {
  const { link, verify, parallel, signal, onProgress } = options;
  const landing = await Landing.open(plan.place, plan.snapshot);
  let dangling: readonly LeftOut[];
  let versions: ReadonlyMap<string, number>;
  try {
    const { directory } = landing;
    await writeFiles({ blobs, directory, tables: plan.tables, link, verify, parallel, signal, onProgress });
    dangling = await dropDangling(lancedb, plan, directory);
    versions = await dropBroken(lancedb, plan, directory);
    signal?.throwIfAborted();
    await landing.finish();
  } catch (error) {
    await landing.abandon();
    throw error;
  }
  const report = reportOf(plan, started);
  const tables = report.tables.map((table) => ({
    ...table,
    version: versions.get(table.directory) ?? table.version,
  }));
  return { ...report, tables, dryRun: false, leftOut: [...plan.leftOut, ...dangling] };
}

/** What a restored table would name, and has no files of, is dropped: it answers with such tables' newest versions. */
async function dropBroken(
  lancedb: LanceDB,
  { tables }: NewPlan,
  database: string,
): Promise<Map<string, number>> {
  const versions = new Map<string, number>();
  for (const { directory, lacksIndices } of tables) {
    if (!lacksIndices) continue;
    const { dropBrokenIndices } = await import("../../../lance/broken-indices.ts"); // loads LanceDB
    const { version } = await dropBrokenIndices(lancedb, dirname(database), join(database, directory));
    versions.set(directory, version);
  }
  return versions;
}

/**
 * The list of namespaces loses the tables that are not restored: where not all is, and those that were dropped by somebody
 * while the snapshot was taken.
 */
async function dropDangling(lancedb: LanceDB, plan: NewPlan, database: string): Promise<LeftOut[]> {
  if (!plan.tables.some((table) => table.id === NAMESPACE_TABLE)) return [];
  const { dropMissingTables } = await import("../../../lance/namespaces.ts"); // loads LanceDB
  const dropped = await dropMissingTables(lancedb, database, dirname(database));
  return dropped.map(danglingEntry);
}
