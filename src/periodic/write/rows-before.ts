import { BackupError } from "../../errors.ts";
import { assertNotShrunk, inWords, shrunkTables } from "../../util/shrunk-tables.ts";
import { type Heads, listBackupFiles, soundFiles } from "../chain/chain-files.ts";
import type { PinnedTable } from "../table-pins.ts";
import type { WriteContext } from "./write-context.ts";

/** How many rows the tables had in the backup before, and which that is. */
export interface RowsBefore {
  readonly rows: ReadonlyMap<string, number>;
  readonly file: string;
}

/** As the tables of the file before were pinned; a table whose pin is lost is left out. */
export async function rowsPinned(
  { pins }: WriteContext,
  file: string,
  tables: readonly PinnedTable[],
): Promise<RowsBefore> {
  const rows = new Map<string, number>();
  for (const table of tables) {
    const known = table.rows ?? (await pins.image(table))?.rows;
    if (known !== undefined) rows.set(table.id, known);
  }
  return { rows, file };
}

/** As the database's newest full says that can be read; undefined where there is none. */
export async function rowsOfNewestFull(
  { settings, pins }: WriteContext,
  heads: Heads,
): Promise<RowsBefore | undefined> {
  const identity = pins.identity();
  if (identity === undefined) return undefined;
  const files = soundFiles(listBackupFiles(settings.backupDir), settings.clock.now());
  for (const file of files.toReversed()) {
    if (file.type !== "full" || !(await heads.isOf(identity, file))) continue;
    try {
      return { rows: await heads.rows(file.name), file: file.name };
    } catch (error) {
      if (!(error instanceof BackupError)) throw error;
      settings.logger.debug("the rows of a periodic file cannot be counted", {
        file: file.name,
        error: error.message,
      });
    }
  }
  return undefined;
}

/**
 * Tells of tables that are gone, or have far fewer rows than they had.
 *
 * @param there tables that the database has besides: of those that cannot be read the rows are not known.
 * @throws ShrunkError where they have lost more than `failOnShrink` allows.
 */
export function tellShrunk(
  { settings }: WriteContext,
  before: RowsBefore | undefined,
  tables: readonly PinnedTable[],
  there: readonly { readonly id: string }[] = [],
): void {
  if (before === undefined) return;
  const { tables: selection, isExcluded, failOnShrink, logger } = settings;
  const isOurs = (id: string) => (selection?.includes(id) ?? true) && !isExcluded(id);
  const then = new Map([...before.rows].filter(([id]) => isOurs(id)));
  // What is not known is no loss.
  const now = new Map(there.map(({ id }) => [id, then.get(id) ?? 0]));
  for (const { id, rows } of tables) now.set(id, rows ?? then.get(id) ?? 0);
  assertNotShrunk(then, now, failOnShrink, () => before.file);
  const shrunk = shrunkTables(then, now);
  if (shrunk.length === 0) return;
  logger.warn("tables are gone, or have far fewer rows than in the periodic backup before", {
    tables: inWords(shrunk),
    before: before.file,
  });
}
