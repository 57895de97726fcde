import { NAMESPACE_TABLE } from "../../lance/database.ts";
import { type Fall, fallsInWords, openFalls, type RowsOf, unseenFalls } from "../../lance/shrunk-tables.ts";
import type { Snapshot } from "../snapshot.ts";

/**
 * Tables that lost most of their rows between two snapshots, and have not had as many again.
 *
 * @param snapshots of one database, the oldest first.
 */
export function fallsBetween(snapshots: readonly Snapshot[]): Fall<Snapshot>[] {
  return openFalls(snapshots.map(rowsOf));
}

function rowsOf(snapshot: Snapshot): RowsOf<Snapshot> {
  const tables = snapshot.tables.filter(({ id }) => id !== NAMESPACE_TABLE);
  return {
    of: snapshot,
    rows: new Map(tables.map(({ id, rows }) => [id, rows])),
    tellsOf: (table) => tellsOf(snapshot, table),
  };
}

/** Whether a table would be in a snapshot, were it in the database. */
export function tellsOf(
  { selection, leftOut }: Pick<Snapshot, "selection" | "leftOut">,
  table: string,
): boolean {
  if (leftOut?.some((one) => one.table === table)) return false;
  return selection === undefined || selection.includes(table);
}

/** Why snapshots stay that are the last before falls. */
export function reasonsBeforeFalls(falls: readonly Fall<Snapshot>[]): Map<Snapshot, string> {
  const groups = [...Map.groupBy(falls, ({ before }) => before)];
  return new Map(
    groups.map(([before, group]) => [
      before,
      `the last before a fall: ${fallsInWords(group)}; only delete removes it`,
    ]),
  );
}

/**
 * Why snapshots must stay that are the first after falls: where of those that are kept none would show the fall.
 *
 * @param snapshots as for `fallsBetween`.
 */
export function reasonsAfterFalls(
  falls: readonly Fall<Snapshot>[],
  snapshots: readonly Snapshot[],
  kept: ReadonlySet<Snapshot>,
): Map<Snapshot, string> {
  if (falls.length === 0) return new Map();
  const unseen = unseenFalls(falls, snapshots.map(rowsOf), (snapshot) => kept.has(snapshot));
  const groups = [...Map.groupBy(unseen, ({ after }) => after)];
  return new Map(
    groups.map(([after, group]) => [
      after,
      `the first after the fall of ${fallsInWords(group, ({ table }) => table)}`,
    ]),
  );
}
