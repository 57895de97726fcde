import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Door } from "./door.ts";
import type { LanceDB } from "./which-lancedb.ts";

/**
 * How many rows versions of a dataset have, as LanceDB counts them: for those whose manifests do not say. Nothing is
 * written beside the dataset.
 *
 * @throws LanceDB's errors, where it cannot read the table.
 */
export async function countRows(
  lancedb: LanceDB,
  dataset: string,
  versions: readonly number[],
): Promise<ReadonlyMap<number, number>> {
  const scratch = await mkdtemp(join(tmpdir(), "lancedb-backup-count-"));
  try {
    using door = await Door.open(lancedb, scratch, dataset, "look");
    const counts = new Map<number, number>();
    for (const version of versions) {
      await door.table.checkout(version);
      counts.set(version, await door.table.countRows());
    }
    return counts;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
