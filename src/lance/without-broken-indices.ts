import { readdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { LanceError } from "../errors.ts";
import { syncDirectory, syncFile } from "../fs/durable.ts";
import { reasonOf } from "../fs/io.ts";
import { PIN_ORDER, Placer } from "../fs/place.ts";
import { brokenIndicesOf } from "./broken-indices.ts";
import { Door } from "./door.ts";
import { listManifests, manifestPath, VERSIONS } from "./image.ts";
import { makeStagingDirectory, removeStagingDirectory } from "./staging.ts";
import type { LanceDB } from "./which-lancedb.ts";

const TRANSACTIONS = "_transactions";

/**
 * Drops the indices of a dataset's newest version of which not all files are there, as LanceDB does: by a commit. So
 * everything that would have used them works again, more slowly. On the disk when it returns.
 *
 * @param scratch a directory for what is needed meanwhile
 * @returns the newest version now, and the names of the indices
 */
export async function dropBrokenIndices(
  lancedb: LanceDB,
  scratch: string,
  dataset: string,
): Promise<{ readonly version: number; readonly dropped: readonly string[] }> {
  const dropped = [...new Set((await brokenIndicesOf(dataset)).map(({ name }) => name))];
  if (dropped.length > 0) {
    try {
      using door = await Door.open(lancedb, scratch, dataset);
      for (const name of dropped) await door.table.dropIndex(name);
    } catch (error) {
      throw new LanceError(`LanceDB could not drop the broken index of ${dataset}: ${reasonOf(error)}`, {
        cause: error,
      });
    }
  }
  const [newest] = await listManifests(dataset);
  if (newest && dropped.length > 0) {
    await syncFile(join(dataset, manifestPath(newest.name)));
    await syncDirectory(join(dataset, VERSIONS));
  }
  return { version: newest?.version ?? 0, dropped };
}

/** A handle for reading the newest version of a dataset, which uses no index of which files are missing. */
export async function openWithoutBroken(
  lancedb: LanceDB,
  database: string,
  dataset: string,
): Promise<Pick<Door, "table"> & Disposable> {
  const broken = await brokenIndicesOf(dataset);
  if (broken.length === 0) return Door.open(lancedb, database, dataset);
  const shadow = makeStagingDirectory(database, "table");
  try {
    const placer = new Placer(PIN_ORDER);
    const [newest] = await listManifests(dataset);
    if (newest) await placer.place(dataset, shadow, manifestPath(newest.name));
    for (const name of readdirSync(dataset)) {
      // Through a link the drop would write into the live table.
      if (name !== VERSIONS && name !== TRANSACTIONS)
        symlinkSync(join(dataset, name), join(shadow, name), "junction");
    }
    await dropBrokenIndices(lancedb, database, shadow);
    const door = await Door.open(lancedb, database, shadow);
    return {
      table: door.table,
      [Symbol.dispose]() {
        door[Symbol.dispose]();
        removeStagingDirectory(shadow);
      },
    };
  } catch (error) {
    removeStagingDirectory(shadow);
    throw error;
  }
}
