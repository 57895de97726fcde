import { NAMESPACE_TABLE } from "../../lance/database.ts";
import { isShrunk } from "../../lance/shrunk-tables.ts";
import type { Snapshot } from "../snapshot.ts";

/** A table lost most of its rows between two snapshots, and has not had as many again. */
export interface Fall {
  readonly table: string;
  /** The last snapshot from before, and the first from after it. */
  readonly before: Snapshot;
  readonly after: Snapshot;
  readonly rowsBefore: number;
  /** Undefined where the table was gone. */
  readonly rowsAfter: number | undefined;
}

interface State {
  readonly snapshot: Snapshot;
  readonly rows: number | undefined;
}

/**
 * The falls that are open: no later snapshot has as many rows of the table as there were.
 *
 * @param snapshots of one database, the oldest first.
 */
export function openFalls(snapshots: readonly Snapshot[]): Fall[] {
  const tables = new Set(snapshots.flatMap((snapshot) => snapshot.tables.map(({ id }) => id)));
  tables.delete(NAMESPACE_TABLE);
  return [...tables].flatMap((table) => fallsOf(table, snapshots));
}

function fallsOf(table: string, snapshots: readonly Snapshot[]): Fall[] {
  let open: Fall[] = [];
  let last: State | undefined;
  for (const snapshot of snapshots) {
    const found = snapshot.tables.find(({ id }) => id === table);
    if (!found && !tellsOf(snapshot, table)) continue;
    const rows = found?.rows;
    open = open.filter(({ rowsBefore }) => rows === undefined || rows < rowsBefore);
    if (last?.rows !== undefined && isShrunk(last.rows, rows)) {
      open.push({
        table,
        before: last.snapshot,
        after: snapshot,
        rowsBefore: last.rows,
        rowsAfter: rows,
      });
    }
    last = { snapshot, rows };
  }
  return open;
}

/** Whether a table would be in a snapshot, were it in the database. */
export function tellsOf(
  { selection, leftOut }: Pick<Snapshot, "selection" | "leftOut">,
  table: string,
): boolean {
  if (leftOut?.some((one) => one.table === table)) return false;
  return selection === undefined || selection.includes(table);
}

const MOST_TABLES = 3;

/** Why a snapshot stays that is the last before falls, or the first after them. */
export function reasonsOfFalls(falls: readonly Fall[]): Map<Snapshot, string[]> {
  const reasons = new Map<Snapshot, string[]>();
  const tell = (snapshot: Snapshot, reason: string) =>
    void reasons.set(snapshot, [...(reasons.get(snapshot) ?? []), reason]);
  for (const [before, group] of Map.groupBy(falls, (fall) => fall.before)) {
    tell(before, `the last before a fall: ${shown(group, fallInWords)}; only delete removes it`);
  }
  for (const [after, group] of Map.groupBy(falls, (fall) => fall.after)) {
    tell(after, `the first after the fall of ${shown(group, ({ table }) => table)}`);
  }
  return reasons;
}

/** `docs had 10,000 rows and was gone`. */
export function fallInWords({ table, rowsBefore, rowsAfter }: Fall): string {
  const count = (rows: number) => rows.toLocaleString("en");
  const after = rowsAfter === undefined ? "was gone" : `then ${count(rowsAfter)}`;
  return `${table} had ${count(rowsBefore)} rows and ${after}`;
}

function shown(falls: readonly Fall[], say: (fall: Fall) => string): string {
  const more = falls.length > MOST_TABLES ? ` and ${falls.length - MOST_TABLES} more` : "";
  return falls.slice(0, MOST_TABLES).map(say).join(", ") + more;
}
