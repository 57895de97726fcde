import type { PartContent, SnapshotSource, StoredContent, StoredEntry } from "./snapshot.ts";

export interface FileChanges {
  /** Files of the later snapshot that the earlier does not have under the same path with the same content. */
  readonly added: number;
  readonly addedBytes: number;
  readonly removed: number;
  readonly removedBytes: number;
}

/** A part of the two snapshots. */
export interface PartDiff {
  /** Of the later one, where both have it. */
  readonly source: SnapshotSource;
  readonly change: "added" | "removed" | "changed" | "unchanged";
  readonly files: FileChanges;
}

type Compared = Pick<StoredEntry, "path" | "size" | "sha256">;

/** What lies between the parts of two snapshots, source by source; from their documents alone. */
export function diffParts(older: StoredContent, newer: StoredContent): PartDiff[] {
  const before = new Map(older.parts.map((part) => [keyOf(part), part]));
  const after = new Map(newer.parts.map((part) => [keyOf(part), part]));
  return [...new Set([...after.keys(), ...before.keys()])].map((key) =>
    diffPart(before.get(key), after.get(key)),
  );
}

function keyOf({ source: { type, id } }: PartContent): string {
  return JSON.stringify([type, id]);
}

function diffPart(before: PartContent | undefined, after: PartContent | undefined): PartDiff {
  const { source } = (after ?? before) as PartContent;
  const files = changesBetween(before?.entries ?? [], after?.entries ?? []);
  const same = files.added + files.removed === 0;
  return { source, change: !before ? "added" : !after ? "removed" : same ? "unchanged" : "changed", files };
}

export function changesBetween(had: readonly Compared[], has: readonly Compared[]): FileChanges {
  const [added, removed] = [without(has, had), without(had, has)];
  return {
    added: added.length,
    addedBytes: bytesOf(added),
    removed: removed.length,
    removedBytes: bytesOf(removed),
  };
}

/** Files that the others do not have under the same path with the same content. */
export function without<F extends Compared>(files: readonly F[], others: readonly Compared[]): F[] {
  const known = new Map(others.map(({ path, sha256 }) => [path, sha256]));
  return files.filter(({ path, sha256 }) => known.get(path) !== sha256);
}

function bytesOf(files: readonly Compared[]): number {
  return files.reduce((total, { size }) => total + size, 0);
}
