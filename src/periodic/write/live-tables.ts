import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CorruptError } from "../../errors.ts";
import { ifThereLater } from "../../fs/held-root.ts";
import { toIoError } from "../../fs/io.ts";
import { isStray } from "../../fs/safe-names.ts";
import { listTables, NAMESPACE_TABLE, type TableLocation } from "../../lance/database.ts";
import { listManifests, readManifest } from "../../lance/manifest.ts";
import { locateTable } from "../../lance/namespaces.ts";
import type { LanceDB } from "../../lance/which-lancedb.ts";
import type { TablePosition } from "../file/backup-file.ts";
import { directoryOf, type PinnedTable } from "../table-pins.ts";

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

/** How often, and how long apart, a directory is looked at again that LanceDB may just be removing or making. */
const LOOKS = 10;
const PAUSE_MS = 50;

/** What LanceDB leaves in the directory of a table of a namespace that it drops, or has not yet made. */
const RESERVED = ".lance-reserved";

/**
 * Holds that tables that were there at the file before, and are no tables any more, were dropped: that their
 * directories went with them.
 *
 * @throws CorruptError where files of one are still there, and no version.
 */
export async function assertDropped(database: string, tables: readonly PinnedTable[]): Promise<void> {
  for (const table of tables) await assertGone(table.id, join(database, directoryOf(table)));
}

async function assertGone(table: string, path: string): Promise<void> {
  for (let look = 1; await hasFiles(path); look++) {
    if ((await currentPosition(path)) !== undefined) return; // made again meanwhile; the next backup has it
    if (look < LOOKS) {
      await sleep(PAUSE_MS);
      continue;
    }
    throw new CorruptError(
      `The table ${table} is damaged: ${path} holds files of it, and no version. Put its _versions back, or drop the table; older periodic backups hold it.`,
      { path },
    );
  }
}

async function hasFiles(path: string): Promise<boolean> {
  try {
    const names = await ifThereLater(path, () => readdir(path));
    return names?.some((name) => name !== RESERVED && !isStray(name)) ?? false;
  } catch (error) {
    throw toIoError(error, "list", path);
  }
}
