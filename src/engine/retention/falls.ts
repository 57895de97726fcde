import { type Fall, fallsInWords, openFalls, type RowsOf, unseenFalls } from "../../util/shrunk-tables.ts";
import type { StoredPart } from "../snapshot.ts";
import type { Holdings } from "../source-contract.ts";
import { holdingsOfParts } from "../source-kind.ts";

/** A snapshot, as far as it tells what its sources held. */
export interface Telling {
  readonly id: string;
  readonly holdings: Holdings;
}

export function tellingOf<S extends { readonly id: string; readonly parts: readonly StoredPart[] }>(
  snapshot: S,
): S & Telling {
  return { ...snapshot, holdings: holdingsOfParts(snapshot.parts) };
}

/**
 * Tables that lost most of their rows between two snapshots, and have not had as many again.
 *
 * @param snapshots of one database, the oldest first.
 */
export function fallsBetween<S extends Telling>(snapshots: readonly S[]): Fall<S>[] {
  return openFalls(snapshots.map(rowsOf));
}

function rowsOf<S extends Telling>(snapshot: S): RowsOf<S> {
  const { holdings } = snapshot;
  return { of: snapshot, rows: holdings.rows, tellsOf: (table) => tellsOf(holdings, table) };
}

/** Whether a table would be in a snapshot, were it in the database. */
export function tellsOf(
  { selection, leftOut }: Pick<Holdings, "selection" | "leftOut">,
  table: string,
): boolean {
  if (leftOut.includes(table)) return false;
  return selection === undefined || selection.includes(table);
}

/** Why snapshots stay that are the last before falls. */
export function reasonsBeforeFalls<S>(falls: readonly Fall<S>[]): Map<S, string> {
  const groups = [...Map.groupBy(falls, ({ before }) => before)];
  return new Map(
    groups.map(([before, group]) => [
      before,
      `the last before a table shrank: ${fallsInWords(group)}; only delete removes it`,
    ]),
  );
}

/**
 * Why snapshots must stay that are the first after falls: where of those that are kept none would show the fall.
 *
 * @param snapshots as for `fallsBetween`.
 */
export function reasonsAfterFalls<S extends Telling>(
  falls: readonly Fall<S>[],
  snapshots: readonly S[],
  kept: ReadonlySet<S>,
): Map<S, string> {
  if (falls.length === 0) return new Map();
  const unseen = unseenFalls(falls, snapshots.map(rowsOf), (snapshot) => kept.has(snapshot));
  const groups = [...Map.groupBy(unseen, ({ after }) => after)];
  return new Map(
    groups.map(([after, group]) => [
      after,
      `the first after a table shrank: ${fallsInWords(group, ({ table }) => table)}`,
    ]),
  );
}

/** What snapshots of one database tell of its tables: of each the newest one that tells of it. */
export class LastTold<S extends Telling = Telling> {
  /** The snapshots of the tables that were there. */
  readonly #there = new Map<string, S>();
  readonly #told = new Set<string>();
  /** The only tables of which an older one can tell more; undefined: any. */
  #open: ReadonlySet<string> | undefined;

  /** @param snapshot an older one than those before. */
  add(snapshot: S): void {
    const { rows, selection, leftOut } = snapshot.holdings;
    const there = [...rows.keys()].filter((id) => this.#isOpen(id));
    for (const id of there) this.#there.set(id, snapshot);
    const told = [...there, ...(selection ?? []).filter((id) => tellsOf(snapshot.holdings, id))];
    for (const id of told) this.#told.add(id);
    if (selection !== undefined) return;
    this.#open = new Set(leftOut.filter((id) => this.#isOpen(id)));
  }

  /** By the ids of the tables. */
  get there(): ReadonlyMap<string, S> {
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
