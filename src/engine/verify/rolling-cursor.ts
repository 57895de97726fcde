import { Fields, isDigest } from "../../fs/fields.ts";
import { decodeRecord, encodeRecord } from "../../fs/record.ts";
import { lowestOf } from "../../util/extremes.ts";
import type { DocumentKind } from "../documents.ts";
import { FORMAT, ROLLING, VERIFY } from "../format/names.ts";

/** The last name that a blob can have. */
export const LAST_NAME = "f".repeat(64);
/** More are not kept: what would be more does not count as read. */
export const MOST_DAMAGED = 10_000;
/** Stretches that were read within so small a part of the whole time are told as one. */
const MERGED_PART = 100;

/** Blobs of neighbouring names: behind those of the stretch before, up to and with `to`. */
export interface Stretch {
  readonly to: string;
  /** When they were read last, milliseconds since 1970; null: not since reading by turns began. */
  readonly readAt: number | null;
}

/** What of the blobs was read when (docs/formats.md, "Rolling verification"). */
export interface RollingCursor {
  /** When reading by turns began. */
  readonly startedAt: number;
  /** When the newest run began that came to its end; undefined: none did yet. */
  readonly at?: number | undefined;
  /** Ascending; the last one ends with the last name of all. */
  readonly stretches: readonly Stretch[];
  /** Blobs that were damaged or could not be read: they are read in every run, until they are whole or gone. */
  readonly damaged: readonly string[];
}

export function newCursor(now: number): RollingCursor {
  return { startedAt: now, stretches: [{ to: LAST_NAME, readAt: null }], damaged: [] };
}

/** There is one at most. */
export const CURSOR = "verify-rolling";
export const CURSOR_DOCUMENT: DocumentKind<typeof CURSOR, RollingCursor> = {
  prefix: VERIFY,
  nameOf: () => ROLLING,
  keyOf: (name) => (name === ROLLING ? CURSOR : undefined),
  sealedAs: () => CURSOR,
  encode: encodeCursor,
  decode: decodeCursor,
};

function decodeCursor(bytes: Buffer, _key: unknown, place: string): RollingCursor {
  const body = decodeRecord(bytes, place, FORMAT);
  const fields = new Fields(body, place, "body");
  const stretches = fields.objects("stretches").map((stretch) => ({
    to: stretch.digest("to"),
    readAt: stretch.optionalText("readAt") === undefined ? null : stretch.date("readAt").getTime(),
  }));
  const isAscending = stretches.every(({ to }, index) => to > (stretches[index - 1]?.to ?? ""));
  const damaged = fields.texts("damaged").filter(isDigest);
  const startedAt = fields.date("startedAt").getTime();
  const at = fields.optionalText("at") === undefined ? undefined : fields.date("at").getTime();
  // Of what is not in order nothing is believed.
  if (!isAscending || stretches.at(-1)?.to !== LAST_NAME) return { ...newCursor(startedAt), at, damaged };
  return { startedAt, at, stretches, damaged };
}

function encodeCursor({ startedAt, at, stretches, damaged }: RollingCursor): Buffer {
  const time = (ms: number) => new Date(ms).toISOString();
  const body = {
    startedAt: time(startedAt),
    ...(at !== undefined && { at: time(at) }),
    stretches: stretches.map(({ to, readAt }) => ({ to, ...(readAt !== null && { readAt: time(readAt) }) })),
    damaged: damaged.slice(0, MOST_DAMAGED),
  };
  return encodeRecord(body, FORMAT);
}

/** The stretch that a blob is in. */
export function stretchOf({ stretches }: RollingCursor, name: string): Stretch {
  let [low, high] = [0, stretches.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (name <= (stretches[middle]?.to ?? LAST_NAME)) high = middle;
    else low = middle + 1;
  }
  return stretches[low] ?? { to: LAST_NAME, readAt: null };
}

/** Behind which name the blobs begin whose turn it is: those of the stretch that was read longest ago. */
export function startOf({ stretches }: RollingCursor): string {
  const ages = stretches.map(({ readAt }) => readAt ?? Number.NEGATIVE_INFINITY);
  const oldest = ages.indexOf(lowestOf(Number.POSITIVE_INFINITY, ages));
  return stretches[oldest - 1]?.to ?? "";
}

/**
 * The same when the blobs behind one name, up to and with another one, were read.
 *
 * @param withinMs in which time all are to be read: so fine the times are told.
 */
export function markRead(
  cursor: RollingCursor,
  behind: string,
  to: string,
  readAt: number,
  withinMs: number,
): RollingCursor {
  const cut: Stretch[] = [];
  let before = "";
  for (const stretch of cursor.stretches) {
    if (before < behind) cut.push({ ...stretch, to: stretch.to < behind ? stretch.to : behind });
    if (before < to && stretch.to >= to) cut.push({ to, readAt });
    if (stretch.to > to) cut.push(stretch);
    before = stretch.to;
  }
  const stretches: Stretch[] = [];
  for (const stretch of cut) {
    const last = stretches.at(-1);
    const isSame = last && (last.readAt === stretch.readAt || isClose(last.readAt, stretch.readAt, withinMs));
    if (!isSame) stretches.push(stretch);
    else stretches[stretches.length - 1] = { to: stretch.to, readAt: olderOf(last.readAt, stretch.readAt) };
  }
  return { ...cursor, stretches };
}

function isClose(a: number | null, b: number | null, withinMs: number): boolean {
  return a !== null && b !== null && Math.abs(a - b) < withinMs / MERGED_PART;
}

function olderOf(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : Math.min(a, b);
}
