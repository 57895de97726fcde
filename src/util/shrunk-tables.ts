import { ShrunkError } from "../errors.ts";
import { advice } from "../hint.ts";
import { counted, formatCount } from "./format.ts";

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
/** What is left may be so small a part of what there was. */
const LEAST_LEFT = 0.5;

/** Whether less than half is left. @param least of fewer that there were it does not count. */
export function isFarLess(before: number, after: number, least = LEAST_ROWS): boolean {
  return before >= least && after < before * LEAST_LEFT;
}

/**
 * Whether that many rows are far fewer than there were: less than half of 100 rows or more; or a table is gone that
 * had any.
 *
 * @param rows undefined where the table is gone.
 */
function isShrunk(rowsBefore: number, rows: number | undefined): boolean {
  if (rows === undefined) return rowsBefore > 0;
  return isFarLess(rowsBefore, rows);
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
  comparedWith: (shrunk: readonly ShrunkTable[]) => string,
): void {
  if (failOnShrink === false) return;
  const isTooFew = (rowsBefore: number, rows: number | undefined) =>
    failOnShrink === true
      ? isShrunk(rowsBefore, rows)
      : rowsBefore > 0 && (rows === undefined || rowsBefore - rows > rowsBefore * failOnShrink);
  const shrunk = compare(before, now, isTooFew);
  if (shrunk.length === 0) return;
  throw new ShrunkError(
    advice`Nothing was backed up: ${inWords(shrunk)} (before: ${comparedWith(shrunk)}). If that is meant, back it up once ${{ options: { failOnShrink: false } }}.`,
    shrunk,
  );
}

/** `docs had 10,000 rows and is gone; words had 10,000 rows and has 12`. */
export function inWords(shrunk: readonly ShrunkTable[]): string {
  return shrunk
    .map(
      ({ table, rowsBefore, rows, isGone }) =>
        `${table} had ${counted(rowsBefore, "row")} and ${isGone ? "is gone" : `has ${formatCount(rows)}`}`,
    )
    .join("; ");
}

/** A table lost most of its rows between two backups, and has not had as many again. */
export interface Fall<T> {
  readonly table: string;
  /** The last backup from before, and the first from after it. */
  readonly before: T;
  readonly after: T;
  readonly rowsBefore: number;
  /** Undefined where the table was gone. */
  readonly rowsAfter: number | undefined;
}

/** What a backup says of tables. */
export interface RowsOf<T> {
  readonly of: T;
  readonly rows: ReadonlyMap<string, number>;
  /** Whether a table would be in it, were it in the database. */
  readonly tellsOf: (table: string) => boolean;
}

/**
 * The falls that are open: no later backup has as many rows of the table as there were.
 *
 * @param backups of one database, the oldest first.
 */
export function openFalls<T>(backups: readonly RowsOf<T>[]): Fall<T>[] {
  const tables = new Set(backups.flatMap(({ rows }) => [...rows.keys()]));
  return [...tables].flatMap((table) => fallsOf(table, backups));
}

function fallsOf<T>(table: string, backups: readonly RowsOf<T>[]): Fall<T>[] {
  let open: Fall<T>[] = [];
  let last: { readonly of: T; readonly rows: number | undefined } | undefined;
  for (const backup of backups) {
    const rows = backup.rows.get(table);
    if (rows === undefined && !backup.tellsOf(table)) continue;
    open = open.filter(({ rowsBefore }) => rows === undefined || rows < rowsBefore);
    if (last?.rows !== undefined && isShrunk(last.rows, rows)) {
      open.push({ table, before: last.of, after: backup.of, rowsBefore: last.rows, rowsAfter: rows });
    }
    last = { of: backup.of, rows };
  }
  return open;
}

/**
 * The falls that no backup that stays would show: after the last one from before the next that tells of the table is not
 * far below it. Of these the first one after must stay too, or the fall would be forgotten, and with it what it protects.
 *
 * @param backups as for `openFalls`. @param isKept whether one stays for other reasons.
 */
export function unseenFalls<T>(
  falls: readonly Fall<T>[],
  backups: readonly RowsOf<T>[],
  isKept: (backup: T) => boolean,
): Fall<T>[] {
  const before = new Set(falls.map((fall) => fall.before));
  return falls.filter((fall) => {
    const later = backups.slice(backups.findIndex(({ of }) => of === fall.before) + 1);
    const next = later.find(
      ({ of, rows, tellsOf }) =>
        (isKept(of) || before.has(of)) && (rows.has(fall.table) || tellsOf(fall.table)),
    );
    return !next || !isShrunk(fall.rowsBefore, next.rows.get(fall.table));
  });
}

/** `docs had 10,000 rows and was gone`. */
export function fallInWords({ table, rowsBefore, rowsAfter }: Fall<unknown>): string {
  return `${table} had ${counted(rowsBefore, "row")} and ${rowsAfter === undefined ? "was gone" : `then ${formatCount(rowsAfter)}`}`;
}

const MOST_TABLES = 3;

/** The first falls in words, and how many more there are. */
export function fallsInWords<T>(
  falls: readonly Fall<T>[],
  say: (fall: Fall<T>) => string = fallInWords,
): string {
  const more = falls.length > MOST_TABLES ? ` and ${falls.length - MOST_TABLES} more` : "";
  return falls.slice(0, MOST_TABLES).map(say).join(", ") + more;
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
