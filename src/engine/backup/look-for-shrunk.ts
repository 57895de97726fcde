import type { Logger } from "../../logger.ts";
import { assertNotShrunk, inWords, type ShrunkTable, shrunkTables } from "../../util/shrunk-tables.ts";
import { LastTold, tellingOf, tellsOf } from "../retention/falls.ts";
import type { StoredContent, StoredPart, StoredSnapshot } from "../snapshot.ts";
import type { Holdings } from "../source-contract.ts";

/** As many of the newest snapshots are looked at for what tables had before: one that no backup has had costs no more. */
const MOST_LOOKED_AT = 1000;

export interface ShrunkRequest {
  readonly source: { readonly type: string; readonly id: string };
  /** What was captured. */
  readonly holdings: Holdings;
  /** The newest snapshot of the source. */
  readonly previous: StoredContent | undefined;
  /** Of the source, the newest first. */
  readonly newestFirst?:
    | ((source: ShrunkRequest["source"], most: number) => AsyncIterable<StoredSnapshot>)
    | undefined;
  /** Names that the backup is to take alone. */
  readonly tables: readonly string[] | undefined;
  readonly failOnShrink: boolean | number;
  readonly logger: Logger;
}

/**
 * Tells of tables that are gone, or have far fewer rows than in the newest snapshot that tells of them.
 *
 * @throws ShrunkError where more is lost than `failOnShrink` allows.
 */
export async function lookForShrunk(request: ShrunkRequest): Promise<readonly ShrunkTable[]> {
  const { holdings, failOnShrink, logger } = request;
  const told = await lastTold(request);
  const wanted = [...told].filter(([id]) => tellsOf(holdings, id));
  const there = new Map(wanted.sort(([a], [b]) => (a < b ? -1 : 1)));
  const before = new Map([...there].map(([id, snapshot]) => [id, snapshot.holdings.rows.get(id) ?? 0]));
  const comparedWith = (fallen: readonly ShrunkTable[]) =>
    [...new Set(fallen.map(({ table }) => `snapshot ${there.get(table)?.id}`))].join(", ");
  assertNotShrunk(before, holdings.rows, failOnShrink, comparedWith);
  const shrunk = shrunkTables(before, holdings.rows);
  if (shrunk.length === 0) return shrunk;
  logger.warn("tables are gone, or have far fewer rows than in the snapshot before", {
    tables: inWords(shrunk),
    before: comparedWith(shrunk),
  });
  return shrunk;
}

/** Of each table the newest snapshot that tells of it: backups may be of some tables alone, or leave some out. */
async function lastTold({
  source,
  holdings,
  previous,
  newestFirst,
  tables,
}: ShrunkRequest): Promise<LastTold["there"]> {
  const told = new LastTold();
  const unwanted = new Set(holdings.leftOut);
  const isDone = () => told.isDone(tables, unwanted);
  const isOf = (part: StoredPart) => part.source.type === source.type && part.source.id === source.id;
  const add = ({ id, parts }: StoredSnapshot) => told.add(tellingOf({ id, parts: parts.filter(isOf) }));
  if (!previous) return told.there;
  add(previous.snapshot);
  if (isDone() || !newestFirst) return told.there;
  for await (const snapshot of newestFirst(source, MOST_LOOKED_AT)) {
    if (snapshot.id !== previous.snapshot.id) add(snapshot);
    if (isDone()) break;
  }
  return told.there;
}
