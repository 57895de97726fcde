import { sealFile } from "../../fs/durable.ts";
import { forEachParallel } from "../../util/parallel.ts";
import { wastedBundles } from "../backup/plan-backup.ts";
import { storePieces } from "../backup/store-pieces.ts";
import { blobName } from "../format/names.ts";
import {
  type PartContent,
  type Piece,
  piecesOfEntry,
  type StoredContent,
  type StoredEntry,
  type StoredSnapshot,
} from "../snapshot.ts";
import type { Entry } from "../source-contract.ts";
import type { CopyWork } from "./copy-objects.ts";
import { SourceReader } from "./source-reader.ts";

const PARALLEL_WRITES = 4;
/** Blobs in memory where one entry is read after the other. */
const FEW_BLOBS = 2;

/** What of a snapshot is in the target now, and where. */
export interface StoredContents {
  readonly parts: readonly PartContent[];
  /** Contents that the target did not have. */
  readonly newFiles: number;
  readonly newBytes: number;
  /** Of the objects that were written for them. */
  readonly storedBytes: number;
}

/** Entries of one content: of each, one is read. */
type Contents = ReadonlyMap<string, StoredEntry>;

/**
 * Reads what the target does not have of a snapshot, and stores it as that repository keeps it.
 *
 * @param before snapshots of the target that have much of it.
 * @throws SourceFailure where an entry is not what its SHA-256 says. @throws IoError
 */
export function storeContents(work: CopyWork, before: readonly StoredContent[]): Promise<StoredContents> {
  const contents = new Map<string, StoredEntry>();
  for (const { entries } of work.content.parts) {
    for (const entry of entries) if (!contents.has(keyOf(entry))) contents.set(keyOf(entry), entry);
  }
  return work.target.blobs.local ? storeWhole(work, contents) : storeInPieces(work, contents, before);
}

/** The snapshot as the target has it: the same but for where the bytes are. */
export function asStored(
  { checksum: _checksum, ...snapshot }: StoredContent["snapshot"],
  { newFiles, newBytes, storedBytes }: Omit<StoredContents, "parts">,
): StoredSnapshot {
  return { ...snapshot, newFiles, newBytes, storedBytes };
}

/** Each content becomes one blob, a plain file. */
async function storeWhole(work: CopyWork, contents: Contents): Promise<StoredContents> {
  const { from, target, content, signal, onStored } = work;
  const bySha256 = new Map([...contents.values()].map((entry) => [entry.sha256, entry]));
  const sizes = new Map([...bySha256].map(([sha256, { size }]) => [sha256, size]));
  const missing = (await target.missing(sizes, signal)).flatMap((name) => bySha256.get(name) ?? []);
  const reader = new SourceReader(from, content, PARALLEL_WRITES);
  // Those of one bundle one after the other, so that it is read once.
  const groups = Map.groupBy(missing, (entry) => {
    const [first, ...others] = piecesOfEntry(entry);
    return first && others.length === 0 ? first.blob : entry.sha256;
  });
  await forEachParallel(groups.values(), PARALLEL_WRITES, async (entries) => {
    for (const entry of entries) {
      signal?.throwIfAborted();
      const name = entry.sha256;
      await target.blobs.storage.write(blobName(name), reader.read(entry, signal), { signal, lock: true });
      const file = target.blobs.fileOf({ sha256: name });
      if (file !== undefined) await sealFile(file);
      target.saw([name]);
      onStored(entry.size);
    }
  });
  const newBytes = missing.reduce((sum, { size }) => sum + size, 0);
  const parts = content.parts.map((part) => withPieces(part, () => undefined, new Map()));
  return { parts, newFiles: missing.length, newBytes, storedBytes: newBytes };
}

/** Large contents are cut, small ones share blobs, and what the snapshots before have is not read. */
async function storeInPieces(
  work: CopyWork,
  contents: Contents,
  before: readonly StoredContent[],
): Promise<StoredContents> {
  const { from, target, content, signal, onStored } = work;
  const known = await knownContents(work, contents, before);
  const reader = new SourceReader(from, content, FEW_BLOBS);
  const files = new Map<Entry, string>();
  for (const [key, entry] of contents) {
    if (known.entries.has(key)) continue;
    const { path, size } = entry;
    files.set({ path, size, open: (options) => reader.read(entry, options?.signal) }, key);
  }
  const stored = await storePieces(target.blobs, {
    files: [...files.keys()],
    maybeThere: () => true,
    piecesOf: () => undefined,
    signal,
    onStored: (_entry, bytes) => onStored(bytes),
  });
  const places = new Map<string, Pick<StoredEntry, "pieces">>(known.entries);
  let [newFiles, newBytes] = [0, 0];
  for (const [entry, file] of stored.files) {
    places.set(files.get(entry) ?? "", file);
    target.saw(piecesOfEntry(file).map(({ blob }) => blob));
    if (!file.isNew) continue;
    newFiles++;
    newBytes += file.size;
  }
  const sizes = new Map([...known.sizes, ...stored.sizes]);
  const parts = content.parts.map((part) =>
    withPieces(part, (entry) => places.get(keyOf(entry))?.pieces, sizes),
  );
  return { parts, newFiles, newBytes, storedBytes: stored.storedBytes };
}

interface Known {
  /** By their keys: entries of the target's snapshots with the same content. */
  readonly entries: ReadonlyMap<string, StoredEntry>;
  /** Bytes of the blobs in which they have pieces. */
  readonly sizes: ReadonlyMap<string, number>;
}

/**
 * Contents that the target has by the word of its snapshots, and whose blobs are there. Of a bundle of which less than
 * half would be used nothing is known, so that it falls with the snapshots that have it.
 */
async function knownContents(
  { target, signal }: CopyWork,
  contents: Contents,
  before: readonly StoredContent[],
): Promise<Known> {
  const parts = before.flatMap((snapshot) => snapshot.parts);
  const sizes = new Map(parts.flatMap(({ blobs }) => [...blobs]));
  const same = new Map<string, StoredEntry>();
  for (const entry of parts.flatMap(({ entries }) => entries)) {
    if (contents.has(keyOf(entry))) same.set(keyOf(entry), entry);
  }
  const unusable = new Set(wastedBundles(same.values(), sizes));
  const isUsable = (entry: StoredEntry) => piecesOfEntry(entry).every(({ blob }) => !unusable.has(blob));
  const needed = [...same.values()].filter(isUsable).flatMap(piecesOfEntry);
  const blobs = new Map(needed.map(({ blob, bytes }) => [blob, sizes.get(blob) ?? bytes]));
  for (const gone of await target.missing(blobs, signal)) unusable.add(gone);
  return { entries: new Map([...same].filter(([, entry]) => isUsable(entry))), sizes };
}

function withPieces(
  part: PartContent,
  piecesOf: (entry: StoredEntry) => readonly Piece[] | undefined,
  sizes: ReadonlyMap<string, number>,
): PartContent {
  const entries = part.entries.map(({ pieces: _pieces, ...entry }) => {
    const pieces = piecesOf(entry);
    return pieces ? { ...entry, pieces } : entry;
  });
  const blobs = new Map<string, number>();
  for (const { blob, bytes } of entries.flatMap((entry) => ("pieces" in entry ? (entry.pieces ?? []) : []))) {
    blobs.set(blob, sizes.get(blob) ?? bytes);
  }
  return { ...part, entries, blobs };
}

function keyOf({ sha256, size }: Pick<StoredEntry, "sha256" | "size">): string {
  return `${sha256} ${size}`;
}
