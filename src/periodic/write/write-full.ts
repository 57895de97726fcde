import { randomUUID } from "node:crypto";
import { listStubs } from "../../lance/stubs.ts";
import type { PinDocument, PinnedTable } from "../table-pins.ts";
import { assertDropped } from "./live-tables.ts";
import { publish, writeAllRows } from "./publish-file.ts";
import { type RowsBefore, tellShrunk } from "./rows-before.ts";
import { assertAnyTable, pinTable, tablesOf, unlessUnsupported, type WriteContext } from "./write-context.ts";
import { openSource } from "./write-sources.ts";

/**
 * Writes all rows of all tables, each at one version.
 *
 * @param before what is known of the file before it: a table of it that is there no more must have been dropped.
 * @param rowsBefore what the tables are compared with, so that a wiped database does not pass for any other.
 */
export async function writeFull(
  context: WriteContext,
  before?: PinDocument,
  rowsBefore?: RowsBefore,
): Promise<string> {
  const { settings, pins } = context;
  const found: PinnedTable[] = [];
  const there = await tablesOf(context);
  for (const table of there) {
    const pinned = await unlessUnsupported(context, table.id, () => pinTable(context, table));
    if (pinned) found.push(pinned);
  }
  if (settings.tables === undefined) {
    const stubs = await listStubs(settings.database);
    if (stubs.length > 0)
      settings.logger.warn("names that LanceDB lists as tables hold none", { names: stubs });
  }
  const isOurs = ({ id }: PinnedTable) => (settings.tables?.includes(id) ?? true) && !settings.isExcluded(id);
  const present = new Set(found.map((table) => table.id));
  const gone = before?.tables.filter((table) => isOurs(table) && !present.has(table.id)) ?? [];
  await assertDropped(settings.database, gone);
  tellShrunk(context, rowsBefore, found, there);
  // Everything that can be wrong with a table is found before the first byte is written.
  const tables: PinnedTable[] = [];
  for (const table of found) {
    const source = await unlessUnsupported(context, table.id, () => openSource(settings, pins, table));
    if (source) tables.push(table);
    source?.[Symbol.dispose]();
  }
  assertAnyTable(tables, settings);
  const file = { type: "full", database: pins.identity() ?? randomUUID(), tables } as const;
  return publish(context, file, async (writer) => {
    for (const table of tables) {
      using source = await openSource(settings, pins, table);
      await writeAllRows(writer, { table, source, form: "rows" });
    }
  });
}
