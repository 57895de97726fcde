import { ShrunkError } from "../errors.ts";

/** A table that lost more rows since the backup before than a table in use does. */
export interface ShrunkTable {
  /** Its id. */
  readonly table: string;
  readonly rowsBefore: number;
  /** Rows now; 0 where it is gone. */
  readonly rows: number;
  /** Whether there is no such table any more. */
  readonly isGone: boolean;
}

/** A table with fewer rows may lose them: queues and scratch tables do, every day. */
const LEAST_ROWS = 100;
/** Which part of its rows a table may lose. */
const MOST_LOST = 0.5;

/**
 * Whether that many rows are far fewer than there were: less than half of 100 rows or more; or a table is gone that
 * had any.
 *
 * @param rows undefined where the table is gone.
 */
export function isShrunk(rowsBefore: number, rows: number | undefined): boolean {
  if (rows === undefined) return rowsBefore > 0;
  return rowsBefore >= LEAST_ROWS && rows < rowsBefore * MOST_LOST;
}

/**
 * The tables that are gone, or have far fewer rows than they had.
 *
 * @param before rows of each table that there should be.
 */
export function shrunkTables(
  before: ReadonlyMap<string, number>,
  now: ReadonlyMap<string, number>,
): ShrunkTable[] {
  return compare(before, now, isShrunk);
}

/** What `failOnShrink` says: no; as the warning is given; or from which part of its rows on that a table has lost. */
export type FailOnShrink = boolean | number;

/** @throws ShrunkError where tables have lost more than the option allows. */
export function assertNotShrunk(
  before: ReadonlyMap<string, number>,
  now: ReadonlyMap<string, number>,
  failOnShrink: FailOnShrink,
  comparedWith: string,
): void {
  if (failOnShrink === false) return;
  const isTooFew = (rowsBefore: number, rows: number | undefined) =>
    failOnShrink === true
      ? isShrunk(rowsBefore, rows)
      : rowsBefore > 0 && (rows === undefined || rowsBefore - rows > rowsBefore * failOnShrink);
  const shrunk = compare(before, now, isTooFew);
  if (shrunk.length === 0) return;
  throw new ShrunkError(
    `Nothing was backed up, as failOnShrink asks: ${inWords(shrunk)} (before: ${comparedWith}). Where that is meant, back up without it once.`,
    shrunk,
  );
}

/** `docs had 10,000 rows and is gone; words had 10,000 rows and has 12`. */
export function inWords(shrunk: readonly ShrunkTable[]): string {
  const count = (rows: number) => rows.toLocaleString("en");
  return shrunk
    .map(
      ({ table, rowsBefore, rows, isGone }) =>
        `${table} had ${count(rowsBefore)} rows and ${isGone ? "is gone" : `has ${count(rows)}`}`,
    )
    .join("; ");
}

function compare(
  before: ReadonlyMap<string, number>,
  now: ReadonlyMap<string, number>,
  isTooFew: (rowsBefore: number, rows: number | undefined) => boolean,
): ShrunkTable[] {
  return [...before]
    .filter(([table, rowsBefore]) => isTooFew(rowsBefore, now.get(table)))
    .map(([table, rowsBefore]) => ({
      table,
      rowsBefore,
      rows: now.get(table) ?? 0,
      isGone: !now.has(table),
    }));
}
