import { liesInFuture } from "../../util/clock.ts";
import { isFarLess } from "../../util/shrunk-tables.ts";
import { newestFirst } from "../catalog/filter.ts";
import type { StoredPart } from "../snapshot.ts";
import type { Holdings } from "../source-contract.ts";
import { holdingsOfParts } from "../source-kind.ts";
import { tellsOf } from "./falls.ts";
import { type RetentionPlan, type Ruled, sourcesOf } from "./plan-retention.ts";

/** A snapshot that is to be removed although what stays in its place is not to be believed. */
export interface Endangered {
  /** Its id. */
  readonly snapshot: string;
  /** In words, with the numbers or the times. */
  readonly reason: string;
}

/** Fewer files or bytes may come and go: of what a command says. Of rows as for tables that shrink. */
const LEAST = { rows: undefined, files: 10, bytes: 4096, tables: 2 } as const;
/** So far the clocks of machines and of a store may be apart, and time zones be mistaken: milliseconds. */
const CLOCKS_MS = 24 * 60 * 60 * 1000;

/** When the store says that a snapshot's document was written, by its id. */
type WrittenAt = ReadonlyMap<string, Date>;

/**
 * The snapshots that a plan would remove although all newer ones that it keeps of the same sources are implausible: they hold
 * less than half of the rows or tables, or where rows are not counted of the files or bytes; or they were written earlier, and say that
 * they were taken a day or more later than that. And the one that was written last of all, where its date is an old one.
 *
 * @returns the newest first
 */
export function endangeredBy<S extends Ruled>(
  { keep, remove }: RetentionPlan<S>,
  writtenAt: WrittenAt,
  now: Date,
): Endangered[] {
  const snapshots = (list: readonly { readonly snapshot: S }[]) => list.map(({ snapshot }) => snapshot);
  const isPast = ({ createdAt }: S) => !liesInFuture(createdAt.getTime(), now.getTime());
  const kept = Map.groupBy(snapshots(keep).filter(isPast), sourcesOf);
  const removed = Map.groupBy(snapshots(remove), sourcesOf);
  const amountsOf = remembered();
  const found: Endangered[] = [];
  for (const [sources, group] of removed) {
    const stays = kept.get(sources) ?? [];
    const behind = behindOthers(group, stays, writtenAt);
    for (const snapshot of group) {
      const reason =
        snapshot === behind?.snapshot ? behind.reason : whyNotReplaced(snapshot, stays, writtenAt, amountsOf);
      if (reason !== undefined) found.push({ snapshot: snapshot.id, reason });
    }
  }
  return found.sort((a, b) => (a.snapshot < b.snapshot ? 1 : -1));
}

/** Undefined where one that stays is newer and to be believed. */
function whyNotReplaced<S extends Ruled>(
  snapshot: S,
  stays: readonly S[],
  writtenAt: WrittenAt,
  amountsOf: (part: StoredPart) => Amounts,
): string | undefined {
  let why: string | undefined;
  for (const newer of stays) {
    if (newestFirst(newer, snapshot) > 0) continue;
    const reason = whyAhead(newer, snapshot, writtenAt) ?? whyLess(newer, snapshot, amountsOf);
    if (reason === undefined) return undefined;
    why ??= reason;
  }
  return why;
}

function whyAhead(newer: Ruled, snapshot: Ruled, writtenAt: WrittenAt): string | undefined {
  const [written, before] = [writtenAt.get(newer.id), writtenAt.get(snapshot.id)];
  if (!written || !before || written >= before) return undefined;
  if (newer.createdAt.getTime() - written.getTime() <= CLOCKS_MS) return undefined;
  return `it was written later than ${newer.id}, which would stay, and is dated earlier: that one says ${newer.createdAt.toISOString()}, and was written ${written.toISOString()}, so that a clock was ahead`;
}

/**
 * Copies are written later than they were taken, too: so it counts for the last one alone, where all that stay are dated later, and the
 * newest of these was written when it says.
 */
function behindOthers<S extends Ruled>(
  group: readonly S[],
  stays: readonly S[],
  writtenAt: WrittenAt,
): { readonly snapshot: S; readonly reason: string } | undefined {
  const timeOf = ({ id }: S) => writtenAt.get(id)?.getTime() ?? Number.NEGATIVE_INFINITY;
  const snapshot = group.reduce((last, other) => (timeOf(other) > timeOf(last) ? other : last));
  const written = timeOf(snapshot);
  if (written - snapshot.createdAt.getTime() <= CLOCKS_MS || !Number.isFinite(written)) return undefined;
  if (!stays.every((other) => timeOf(other) < written && other.createdAt > snapshot.createdAt))
    return undefined;
  const [newest] = stays.toSorted(newestFirst);
  if (!newest || timeOf(newest) - newest.createdAt.getTime() > CLOCKS_MS) return undefined;
  const [at, taken] = [new Date(written).toISOString(), snapshot.createdAt.toISOString()];
  return { snapshot, reason: `it was written last of all, ${at}, and says ${taken}: a clock was behind` };
}

function whyLess(
  newer: Ruled,
  snapshot: Ruled,
  amountsOf: (part: StoredPart) => Amounts,
): string | undefined {
  for (const part of snapshot.parts) {
    const { type, id, uri } = part.source;
    const other = newer.parts.find(({ source }) => source.type === type && source.id === id);
    const less = other && lessOf(amountsOf(part), amountsOf(other));
    if (less === undefined) continue;
    return `it has ${less} in ${newer.id}, which would stay, of ${uri}`;
  }
  return undefined;
}

/** What a part holds, as far as its kind counts it. */
interface Amounts {
  readonly holdings: Holdings;
  readonly files: number;
  readonly bytes: number;
}

function remembered(): (part: StoredPart) => Amounts {
  const known = new Map<StoredPart, Amounts>();
  return (part) => {
    const amounts = known.get(part) ?? {
      holdings: holdingsOfParts([part]),
      files: part.files,
      bytes: part.bytes,
    };
    known.set(part, amounts);
    return amounts;
  };
}

/** `10,000 rows, and 12`, of the tables that both tell of; undefined where it is not far less. */
function lessOf(before: Amounts, after: Amounts): string | undefined {
  const told = [...before.holdings.rows].filter(([table]) => tellsOf(after.holdings, table));
  if (before.holdings.rows.size > 0) {
    const rows = told.reduce((sum, [, count]) => sum + count, 0);
    const rowsAfter = [...after.holdings.rows.values()].reduce((sum, count) => sum + count, 0);
    return inWords("rows", rows, rowsAfter) ?? inWords("tables", told.length, after.holdings.rows.size);
  }
  // Versions come and go with the files of a database whose rows are counted; of all else files are what there is.
  return inWords("files", before.files, after.files) ?? inWords("bytes", before.bytes, after.bytes);
}

function inWords(what: keyof typeof LEAST, before: number, after: number): string | undefined {
  if (!isFarLess(before, after, LEAST[what])) return undefined;
  return `${before.toLocaleString("en")} ${what}, and there are ${after.toLocaleString("en")}`;
}

const MOST_SHOWN = 3;

/** The first ones in words, and how many more there are. */
export function endangeredInWords(all: readonly Endangered[]): string {
  const shown = all.slice(0, MOST_SHOWN).map(({ snapshot, reason }) => `${snapshot}: ${reason}`);
  return `${shown.join("; ")}${all.length > MOST_SHOWN ? `; and ${all.length - MOST_SHOWN} more` : ""}`;
}
