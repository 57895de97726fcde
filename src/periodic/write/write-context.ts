import { existsSync } from "node:fs";
import { UnsupportedError, ValidationError } from "../../errors.ts";
import { advice } from "../../hint.ts";
import { listStrayTables, type TableLocation } from "../../lance/database.ts";
import type { PeriodicSettings } from "../periodic-options.ts";
import { type PinnedTable, type PinStore, positionOf } from "../table-pins.ts";
import { datasetOf, findTables } from "./live-tables.ts";

export interface WriteContext {
  readonly settings: PeriodicSettings;
  readonly pins: PinStore;
}

/** @throws ValidationError where there is no database. */
export function assertDatabase(database: string): void {
  if (!existsSync(database)) throw new ValidationError(`There is no database at ${database}.`);
}

/** The tables to back up, of a database that must be there, without those that are excluded. */
export async function tablesOf({ settings }: WriteContext): Promise<TableLocation[]> {
  const { lancedb, database, tables, logger } = settings;
  assertDatabase(database);
  const found = await findTables(lancedb, database, tables);
  for (const directory of tables === undefined ? await listStrayTables(database) : []) {
    logger.warn("a copy of a table's directory is not backed up", { directory });
  }
  const missing = tables?.filter((id) => !found.some((table) => table.id === id)) ?? [];
  if (missing.length > 0) logger.warn("tables to back up do not exist", { tables: missing });
  return found.filter(({ id }) => !settings.isExcluded(id));
}

/** Does a part of a table's backup; undefined, with a warning, where it is unsupported and such tables are left out. */
export async function unlessUnsupported<T>(
  { settings }: WriteContext,
  table: string,
  task: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await task();
  } catch (error) {
    if (settings.onUnsupported !== "leave-out" || !(error instanceof UnsupportedError)) throw error;
    settings.logger.warn("a table is left out of a backup", { table, error: error.message });
    return undefined;
  }
}

/**
 * Holds that there is a table: the directory of a disk that is not mounted has none, and files of nothing would pass for
 * backups until the good ones are removed.
 *
 * @throws ValidationError where there is none.
 */
export function assertAnyTable(tables: readonly PinnedTable[], { database, allowEmpty }: PeriodicSettings) {
  if (tables.length > 0 || allowEmpty) return;
  throw new ValidationError(
    advice`There is no table to back up in ${database}, so nothing was written, and what was written before stays. Is its disk mounted? If it is meant to be empty, back it up ${{ options: { allowEmpty: true } }}.`,
  );
}

/** Pins a table at its newest version; undefined where it is gone. Tells what could not be taken with it. */
export async function pinTable(
  { settings, pins }: WriteContext,
  table: TableLocation,
): Promise<PinnedTable | undefined> {
  const taken = await pins.take(datasetOf(settings.database, table), table.directory);
  if (taken === undefined) return undefined;
  const { leftOut } = taken.capture;
  if (leftOut.length > 0) settings.logger.warn("a backup leaves something out", { table: table.id, leftOut });
  return { id: table.id, pin: taken.pin, position: positionOf(taken.capture), rows: taken.rows };
}
