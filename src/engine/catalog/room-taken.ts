import type { Storage } from "../../storage/storage.ts";
import { BLOBS, parseBlobName } from "../format/names.ts";
import type { BlobCount } from "../prune/prune-report.ts";
import { blobsOfContent, type SnapshotSource } from "../snapshot.ts";
import type { Catalog } from "./catalog.ts";

/** What one source takes. A blob that several sources need counts for each. */
export interface SourceRoom {
  /** As its newest snapshot names it. */
  readonly source: SnapshotSource;
  readonly snapshots: number;
  readonly oldest: Date;
  readonly newest: Date;
  /** What any of its snapshots needs. */
  readonly all: BlobCount;
  /** Of that, what its newest snapshot needs. */
  readonly current: BlobCount;
  /** Of that, what no other source needs: so much would be free without it. */
  readonly own: BlobCount;
}

/** What takes the room of a repository: objects below `blobs/`, by the bytes that are stored. */
export interface RoomTaken {
  readonly snapshots: number;
  readonly all: BlobCount;
  /** What the newest snapshot of some source needs. */
  readonly newest: BlobCount;
  /** What older snapshots alone need. */
  readonly history: BlobCount;
  /** What no snapshot needs: prunes give it back. */
  readonly orphans: BlobCount;
  /** By source, the one that takes the most first. */
  readonly sources: readonly SourceRoom[];
  /** Ids of snapshots that cannot be read: what they need counts as an orphan, though no prune removes it. */
  readonly unreadable: readonly string[];
}

interface Gathered {
  source: SnapshotSource;
  snapshots: number;
  oldest: Date;
  newest: Date;
  readonly all: Set<string>;
  readonly current: Set<string>;
}

/** Reads every document, and lists the blobs; reads none of these. @throws IoError */
export async function roomTaken(
  catalog: Catalog,
  storage: Storage,
  signal: AbortSignal | undefined,
): Promise<RoomTaken> {
  const { snapshots, damaged } = await catalog.survey(signal);
  const unreadable = damaged.map(({ id }) => id);
  const sources = new Map<string, Gathered>();
  let count = 0;
  for (const { id, createdAt } of snapshots) {
    signal?.throwIfAborted();
    const content = await catalog.readable(id, signal, { isListed: true });
    if (!content) {
      unreadable.push(id);
      continue;
    }
    count++;
    for (const part of content.parts) {
      const key = JSON.stringify([part.source.type, part.source.id]);
      const blobs = [...blobsOfContent({ parts: [part] }).keys()];
      const known = sources.get(key);
      if (known) {
        known.snapshots++;
        known.oldest = createdAt; // the newest come first
        for (const blob of blobs) known.all.add(blob);
      } else {
        const times = { oldest: createdAt, newest: createdAt };
        const sets = { all: new Set(blobs), current: new Set(blobs) };
        sources.set(key, { source: part.source, snapshots: 1, ...times, ...sets });
      }
    }
  }
  const sizes = new Map<string, number>();
  for await (const { name, size } of storage.list(BLOBS, { signal })) {
    const blob = parseBlobName(name);
    if (blob !== undefined) sizes.set(blob, size);
  }
  return { snapshots: count, ...summed([...sources.values()], sizes), unreadable };
}

function summed(
  sources: readonly Gathered[],
  sizes: ReadonlyMap<string, number>,
): Pick<RoomTaken, "all" | "newest" | "history" | "orphans" | "sources"> {
  const [newest, named, users] = [new Set<string>(), new Set<string>(), new Map<string, number>()];
  for (const { all, current } of sources) {
    for (const blob of all) {
      named.add(blob);
      users.set(blob, (users.get(blob) ?? 0) + 1);
    }
    for (const blob of current) newest.add(blob);
  }
  const count = (wanted: (blob: string) => boolean, among: Iterable<string> = sizes.keys()): BlobCount => {
    let [blobs, bytes] = [0, 0];
    for (const blob of among) {
      const size = sizes.get(blob);
      if (size === undefined || !wanted(blob)) continue;
      blobs++;
      bytes += size;
    }
    return { blobs, bytes };
  };
  return {
    all: count(() => true),
    newest: count((blob) => newest.has(blob)),
    history: count((blob) => named.has(blob) && !newest.has(blob)),
    orphans: count((blob) => !named.has(blob)),
    sources: sources
      .map(({ all, current, ...of }) => ({
        ...of,
        all: count(() => true, all),
        current: count(() => true, current),
        own: count((blob) => users.get(blob) === 1, all),
      }))
      .sort((a, b) => b.all.bytes - a.all.bytes || (a.source.uri < b.source.uri ? -1 : 1)),
  };
}
