import { isDeepStrictEqual } from "node:util";
import { BackupNotFoundError, CorruptError, UnsupportedError, ValidationError } from "../../errors.ts";
import { forEachParallel } from "../../util/parallel.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { SnapshotFilter } from "../catalog/filter.ts";
import { snapshotName } from "../format/names.ts";
import type { PartContent, StoredContent, StoredSnapshot } from "../snapshot.ts";
import type { FailedCopy } from "./copy-report.ts";

/** One of the two repositories of a copy. */
export interface CopyPlace {
  readonly blobs: BlobStore;
  readonly catalog: Catalog;
}

export interface CopyPlan {
  /** Those that the target does not have, in the order of their times: each can share with the one before it. */
  readonly wanted: readonly StoredSnapshot[];
  /** Ids of those that it has. */
  readonly present: readonly string[];
  /** Those that cannot be read, here or there. */
  readonly failed: readonly FailedCopy[];
}

const PARALLEL_COMPARISONS = 4;

/**
 * Looks which snapshots are to be copied. Changes nothing. Of damaged ones it cannot be told whether they fit a filter:
 * with one they are warned of, as in a listing.
 *
 * @throws ValidationError for a bad filter, or where an id is taken in the target by another snapshot, naming both.
 */
export async function planCopy(
  from: CopyPlace,
  to: CopyPlace,
  filter: SnapshotFilter,
  signal?: AbortSignal,
): Promise<CopyPlan> {
  const found = await from.catalog.select(filter, signal);
  const there = new Set(await to.catalog.ids(signal));
  const isFiltered = Object.values(filter).some((value) => value !== undefined);
  const failed: FailedCopy[] = isFiltered
    ? []
    : found.damaged.map(({ id, error }) => ({ snapshot: id, error }));
  if (isFiltered) from.catalog.warnOf(found.damaged);
  const wanted: StoredSnapshot[] = [];
  const present: string[] = [];
  await forEachParallel(found.snapshots, PARALLEL_COMPARISONS, async (snapshot) => {
    const { id } = snapshot;
    try {
      if (there.has(id) && (await isCopied(from, to, id, signal))) present.push(id);
      else wanted.push(snapshot);
    } catch (error) {
      if (!(error instanceof CorruptError || error instanceof UnsupportedError)) throw error;
      failed.push({ snapshot: id, error });
    }
  });
  return { wanted: wanted.sort(oldestFirst), present: present.sort(), failed: failed.sort(byId) };
}

/**
 * Whether the target has the snapshot.
 *
 * @throws ValidationError where it has another one of that id. @throws CorruptError, UnsupportedError
 */
export async function isCopied(
  from: CopyPlace,
  to: CopyPlace,
  id: string,
  signal?: AbortSignal,
): Promise<boolean> {
  const [mine, theirs] = await Promise.all([readDocument(from, id, signal), readDocument(to, id, signal)]);
  if (!mine || !theirs) return false;
  if (mine.snapshot.checksum === theirs.snapshot.checksum || isSame(mine, theirs)) return true;
  const places = [from, to].map(({ blobs }) => `${blobs.storage.location}/${snapshotName(id)}`);
  throw new ValidationError(
    `Two different snapshots have the id ${id}, ${places.join(" and ")}: neither was overwritten. Delete one of them, or name the snapshots to copy.`,
  );
}

/** Undefined where it is gone by now. */
async function readDocument(
  { catalog }: CopyPlace,
  id: string,
  signal?: AbortSignal,
): Promise<StoredContent | undefined> {
  try {
    return await catalog.content(id, signal, { isListed: true });
  } catch (error) {
    if (error instanceof BackupNotFoundError) return undefined;
    throw error;
  }
}

/** The same but for where the bytes are, and how many of them were new. */
function isSame(a: StoredContent, b: StoredContent): boolean {
  return isDeepStrictEqual(identityOf(a), identityOf(b));
}

function identityOf({ snapshot, parts }: StoredContent): unknown {
  const { id, name, description, tags, createdAt, durationMs, files, bytes } = snapshot;
  return { id, name, description, tags, createdAt, durationMs, files, bytes, parts: parts.map(partIdentity) };
}

function partIdentity({ source, about, details, entries }: PartContent): unknown {
  const list = entries.map(({ path, size, sha256, stamp, attributes }) => [
    path,
    size,
    sha256,
    stamp,
    attributes,
  ]);
  return { source, about, details, entries: list };
}

function oldestFirst(a: StoredSnapshot, b: StoredSnapshot): number {
  return a.createdAt.getTime() - b.createdAt.getTime() || (a.id < b.id ? -1 : 1);
}

function byId(a: FailedCopy, b: FailedCopy): number {
  return a.snapshot < b.snapshot ? -1 : 1;
}
