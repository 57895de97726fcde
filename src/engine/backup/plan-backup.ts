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
 * An entry is known where the snapshot before, of the same source, has its path with the same size and stamp. Reads
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
  const before = new Map(previous?.entries.map((entry) => [entry.path, entry]));
  const same = new Map<Entry, StoredEntry>();
  const own = entries.filter(({ sameAs }) => sameAs === undefined);
  for (const entry of own) {
    const old = before.get(entry.path);
    const isSame = old !== undefined && entry.stamp !== undefined && old.stamp === entry.stamp;
    if (isSame && old.size === entry.size) same.set(entry, old);
  }
  const wasted = wastedBundles(same.values(), previous?.blobs ?? new Map());
  const isUsable = (old: StoredEntry) =>
    piecesOfEntry(old).every(({ blob }) => !distrusted.has(blob) && !wasted.has(blob));
  const known = new Map<string, number>();
  const toRead: Entry[] = [];
  let bytesToRead = 0;
  for (const entry of own) {
    const old = same.get(entry);
    if (old && !rereads && isUsable(old)) {
      for (const { blob } of piecesOfEntry(old)) known.set(blob, previous?.blobs.get(blob) ?? old.size);
    } else {
      same.delete(entry);
      toRead.push(entry);
      bytesToRead += entry.size ?? 0;
    }
  }
  const byContent = new Map(
    previous?.entries.filter(isUsable).map((old) => [`${old.sha256} ${old.size}`, piecesOfEntry(old)]),
  );
  return {
    known,
    toRead,
    bytesToRead,
    before: (entry) => same.get(entry),
    piecesOf: (sha256, size) => byContent.get(`${sha256} ${size}`),
  };
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
