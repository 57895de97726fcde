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

/** What snapshots of one database tell of its tables: of each the newest one that tells of it. */
export class LastTold {
  /** The snapshots of the tables that were there. */
  readonly #there = new Map<string, Snapshot>();
  readonly #told = new Set<string>();
  /** The only tables of which an older one can tell more; undefined: any. */
  #open: ReadonlySet<string> | undefined;

  /** @param snapshot an older one than those before. */
  add(snapshot: Snapshot): void {
    const { tables, selection, leftOut = [] } = snapshot;
    const there = tables.map(({ id }) => id).filter((id) => id !== NAMESPACE_TABLE && this.#isOpen(id));
    for (const id of there) this.#there.set(id, snapshot);
    const told = [...there, ...(selection ?? []).filter((id) => tellsOf(snapshot, id))];
    for (const id of told) this.#told.add(id);
    if (selection !== undefined) return;
    this.#open = new Set(leftOut.map(({ table }) => table).filter((id) => this.#isOpen(id)));
  }

  /** By the ids of the tables. */
  get there(): ReadonlyMap<string, Snapshot> {
    return this.#there;
  }

  /**
   * Whether older ones can tell nothing more of the tables that are wanted.
   *
   * @param wanted ids; undefined: all.
   * @param unwanted ids of tables that are not.
   */
  isDone(wanted: readonly string[] | undefined, unwanted: ReadonlySet<string>): boolean {
    const left = wanted ?? (this.#open && [...this.#open]);
    return left?.every((id) => unwanted.has(id) || !this.#isOpen(id)) ?? false;
  }

  #isOpen(id: string): boolean {
    return !this.#told.has(id) && (this.#open?.has(id) ?? true);
  }
}
