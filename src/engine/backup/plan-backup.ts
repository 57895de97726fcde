import { NumberTable } from "../../util/number-table.ts";
import { type PartContent, type Piece, piecesOfEntry, type StoredEntry } from "../snapshot.ts";
import type { Entry } from "../source-contract.ts";

/** What a backup will do: entries whose content is known from the snapshot before, and entries to be read. */
export interface BackupPlan {
  /** Blobs that known entries need, with the bytes of their plain content. */
  readonly known: ReadonlyMap<string, number>;
  readonly toRead: readonly Entry[];
  /** Of those to be read, where their size is known. */
  readonly bytesToRead: number;
  /** What the snapshot before says of a known entry. */
  before(entry: Entry): StoredEntry | undefined;
  /** Pieces of a content that the snapshot before has, which may be used again. */
  piecesOf(sha256: string, size: number): readonly Piece[] | undefined;
}

/**
 * An entry is known where the snapshot before, of the same source, has its path with the same stamp, and the size that it says. Reads
 * nothing. Of a bundle of which less than half would be used nothing is known, so that it falls with older snapshots.
 *
 * @param options.distrusted names of blobs that are not to be counted on: they have turned out to be missing.
 * @param options.rereads whether no stamp is trusted: every entry is read, and its content may be known then.
 */
export function planBackup(
  entries: readonly Entry[],
  previous: PartContent | undefined,
  {
    distrusted = new Set(),
    rereads = false,
  }: { readonly distrusted?: ReadonlySet<string>; readonly rereads?: boolean | undefined } = {},
): BackupPlan {
  const own = entries.filter(({ sameAs }) => sameAs === undefined).sort((a, b) => (a.path < b.path ? -1 : 1));
  const old = previous?.entries ?? [];
  const same = sameAsBefore(own, old);
  const blobs: ReadonlyMap<string, number> = previous?.blobs ?? new Map();
  const wasted = wastedBundles(inOrder(own, same, old), blobs);
  const isUsable = (entry: StoredEntry) =>
    piecesOfEntry(entry).every(({ blob }) => !distrusted.has(blob) && !wasted.has(blob));
  const known = new Map<string, number>();
  const toRead: Entry[] = [];
  let bytesToRead = 0;
  for (const entry of own) {
    const index = same.get(entry);
    const before = index === undefined || rereads ? undefined : old[index];
    if (before && isUsable(before)) {
      for (const { blob } of piecesOfEntry(before)) known.set(blob, blobs.get(blob) ?? before.size);
    } else {
      same.delete(entry);
      toRead.push(entry);
      bytesToRead += entry.size ?? 0;
    }
  }
  let byContent: NumberTable | undefined;
  return {
    known,
    toRead,
    bytesToRead,
    before: (entry) => {
      const index = same.get(entry);
      return index === undefined ? undefined : old[index];
    },
    piecesOf: (sha256, size) => {
      byContent ??= contentsOf(old, isUsable);
      const index = byContent.get(partOfDigest(sha256));
      const found = index === undefined ? undefined : old[index];
      const isIt = found?.sha256 === sha256 && found.size === size;
      return isIt ? piecesOfEntry(found) : undefined;
    },
  };
}

/** Of entries, in the order of their paths, whose path, stamp and, if known, size are those of one of the snapshot before, which one that is. */
function sameAsBefore(sorted: readonly Entry[], before: readonly StoredEntry[]): Map<Entry, number> {
  const same = new Map<Entry, number>();
  let [index, at] = [0, 0];
  // Both are in the order of their paths: so neither has to be looked up in the other.
  for (const { path, size, stamp } of before) {
    let entry = sorted[at];
    while (entry && entry.path < path) entry = sorted[++at];
    const isSame = entry?.path === path && entry.stamp !== undefined && entry.stamp === stamp;
    if (entry && isSame && (entry.size ?? size) === size) same.set(entry, index);
    index++;
  }
  return same;
}

function* inOrder(
  entries: readonly Entry[],
  same: ReadonlyMap<Entry, number>,
  before: readonly StoredEntry[],
): Generator<StoredEntry> {
  for (const entry of entries) {
    const index = same.get(entry);
    const old = index === undefined ? undefined : before[index];
    if (old) yield old;
  }
}

/** The number of an entry of each content, by a part of its digest. The same content may lie in a blob that is usable, and in one that is not. */
function contentsOf(entries: readonly StoredEntry[], isUsable: (entry: StoredEntry) => boolean): NumberTable {
  const numbers = new NumberTable();
  let index = 0;
  for (const entry of entries) {
    if (isUsable(entry)) numbers.add(partOfDigest(entry.sha256), index);
    index++;
  }
  return numbers;
}

/** The first 52 bits. */
function partOfDigest(sha256: string): number {
  return Number.parseInt(sha256.slice(0, 13), 16);
}

/** Blobs of which these entries need less than half. */
export function wastedBundles(
  entries: Iterable<Pick<StoredEntry, "pieces">>,
  blobs: ReadonlyMap<string, number>,
): ReadonlySet<string> {
  const used = new Map<string, number>();
  for (const { pieces = [] } of entries) {
    for (const { blob, bytes } of pieces) used.set(blob, (used.get(blob) ?? 0) + bytes);
  }
  return new Set(
    [...used].filter(([name, bytes]) => bytes * 2 < (blobs.get(name) ?? 0)).map(([name]) => name),
  );
}
