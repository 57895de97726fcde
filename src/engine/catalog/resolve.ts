import { type BackupError, BackupNotFoundError, ValidationError } from "../../errors.ts";
import { liesInFuture } from "../../util/clock.ts";
import type { StoredSnapshot } from "../snapshot.ts";
import { type IdentifyPlace, mustBeOfSource, ofOneSource } from "./of-source.ts";

const SHOWN = 10;
/** `20261105T123456Z` of an id. */
const SECOND_LETTERS = 16;

/** The second of a snapshot's time, as its id tells it. */
export function secondOf(id: string): string {
  return id.slice(0, SECOND_LETTERS);
}

/** The same in milliseconds since 1970. */
export function timeOf(id: string): number {
  return Date.parse(secondOf(id).replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));
}

/** Of which database a snapshot is meant. */
export interface SourceWanted {
  /** The database's id, or its directory. */
  readonly source?: string | undefined;
  /** @internal The id of the database that is meant where a reference fits snapshots of several. */
  readonly preferredSource?: string | undefined;
}

export interface Found {
  /** The newest first. */
  readonly snapshots: readonly StoredSnapshot[];
  readonly damaged: readonly DamagedSnapshot[];
}

/** A reference that fits several snapshots, of which one is to be chosen; or one id. */
export type Meant =
  | { readonly id: string }
  | {
      /** Of one database, the newest first; never empty. */
      readonly among: readonly StoredSnapshot[];
      /** Newer than all of them, and unreadable: which may have the same name. */
      readonly unread: readonly DamagedSnapshot[];
    };

/**
 * What `latest`, a name, the beginning of an id, or of its digits behind the time stands for.
 *
 * @throws BackupNotFoundError. @throws ValidationError where several ids begin so, or several databases have such a
 * snapshot; the damaged snapshot's error where it may be the latest.
 */
export function whatIsMeant(
  reference: string,
  found: Found,
  wanted: SourceWanted & { readonly identify: IdentifyPlace },
  nowMs: number,
): Meant {
  const { source, preferredSource, identify } = wanted;
  const { damaged } = found;
  const snapshots =
    source === undefined ? found.snapshots : mustBeOfSource(found.snapshots, source, reference, identify);
  /** Those that cannot be read, and may be as new as the newest of them or newer. */
  const unreadSince = (among: readonly StoredSnapshot[]) => {
    const [newest] = among.filter(({ createdAt }) => !liesInFuture(createdAt.getTime(), nowMs));
    return damaged.filter(
      ({ id }) => !newest || (!liesInFuture(timeOf(id), nowMs) && secondOf(id) >= secondOf(newest.id)),
    );
  };
  if (reference === "latest") {
    const among = ofOneSource(snapshots, reference, preferredSource);
    // An older one in its place would be a silent loss of what is newer.
    const [unread] = unreadSince(among);
    if (unread) throw unread.error;
    if (among.length === 0)
      throw new BackupNotFoundError(reference, "There is no snapshot in the repository.");
    return { among, unread: [] };
  }
  const named = snapshots.filter((snapshot) => snapshot.name === reference);
  if (named.length > 0) {
    const among = ofOneSource(named, reference, preferredSource);
    return { among, unread: unreadSince(among) };
  }
  const all = source === undefined ? [...snapshots, ...damaged] : snapshots;
  const ids = idsMeant(
    all.map(({ id }) => id),
    reference,
  );
  const [only, ...others] = ids;
  if (only === undefined) {
    const of = source === undefined ? "" : ` of ${source}`;
    throw new BackupNotFoundError(reference, `No snapshot${of} has the id or the name "${reference}".`);
  }
  if (others.length > 0) {
    const shown = ids.slice(0, SHOWN).join(", ") + (ids.length > SHOWN ? ", …" : "");
    throw new ValidationError(`"${reference}" is short for the ids of ${ids.length} snapshots: ${shown}.`);
  }
  return { id: only };
}

/** Ids that begin so; else those whose digits behind the time do, as listings on narrow terminals show them. */
function idsMeant(ids: readonly string[], reference: string): string[] {
  if (reference === "") return [];
  const begin = ids.filter((id) => id.startsWith(reference));
  const meant = begin.length > 0 ? begin : ids.filter((id) => digitsOf(id).startsWith(reference));
  return meant.sort();
}

/** The digits behind an id's time: of its source, and random ones. */
export function digitsOf(id: string): string {
  return id.slice(SECOND_LETTERS + 1);
}

/**
 * The newest of snapshots that does not lie in the future: the clock was wrong when those that do were taken. Where all
 * do, the clock is wrong now, and it is the newest of all.
 */
export function newestNow(
  among: readonly StoredSnapshot[],
  nowMs: number,
): { readonly newest: StoredSnapshot | undefined; readonly ahead: readonly StoredSnapshot[] } {
  const ahead = among.filter(({ createdAt }) => liesInFuture(createdAt.getTime(), nowMs));
  const newest = among.find((snapshot) => !ahead.includes(snapshot)) ?? among[0];
  return { newest, ahead };
}

/** A snapshot's document that cannot be read, and why. */
export interface DamagedSnapshot {
  readonly id: string;
  readonly error: BackupError;
}
