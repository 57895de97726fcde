import type { Logger } from "../../logger.ts";
import type { Storage } from "../../storage/storage.ts";
import { Catalog } from "../catalog/catalog.ts";
import type { DocumentCodec } from "../codec/document-codec.ts";
import { BLOBS, parseBlobName } from "../format/names.ts";
import { timeZoneOf } from "../retention/calendar.ts";
import { type Endangered, endangeredBy } from "../retention/implausible.ts";
import { planRetention, type RetentionPlan } from "../retention/plan-retention.ts";
import type { RetentionPolicy } from "../retention/retention-policy.ts";
import { documentsIn } from "./document-names.ts";
import { keepLockedSnapshots, lockedBlobs } from "./locked.ts";
import { findMarks, type Mark } from "./mark.ts";
import { nothingRemoved, References } from "./references.ts";

/** The repository that is pruned. */
export interface PrunePlace {
  readonly storage: Storage;
  readonly logger: Logger;
  /** How its documents are read. Default: they are as they are. */
  readonly documents?: DocumentCodec | undefined;
}

/** What a prune will do. */
export interface PrunePlan {
  readonly retention: RetentionPlan;
  /** Whose calendar counted for it. */
  readonly timeZone: string;
  /** Snapshots that it removes although what stays in their place is not to be believed. */
  readonly endangered: readonly Endangered[];
  /** What the snapshots that stay name. */
  readonly references: References;
  /** Bytes of every blob that none of them names, by its digest. */
  readonly unneeded: ReadonlyMap<string, number>;
  /** Those of them that were not known to be: on no mark, or named by a snapshot that goes now. */
  readonly toMark: readonly string[];
  /** Those of them that may be removed now: on marks, and on none that is younger than the grace period. */
  readonly toFree: readonly string[];
  /** Those that could be removed, had the storage not locked them. */
  readonly locked: readonly string[];
  /** Marks whose grace period is over; they go with the blobs. */
  readonly due: readonly Mark[];
  readonly waiting: readonly Mark[];
  /** Names of marks that say nothing: damaged, or of a time that is still to come. Their blobs are marked anew. */
  readonly void: readonly string[];
}

/**
 * Looks at everything and changes nothing.
 *
 * @throws CorruptError or UnsupportedError where any snapshot's document cannot be read.
 */
export async function planPrune(
  place: PrunePlace,
  policy: RetentionPolicy,
  time: { readonly now: Date; readonly graceMs: number },
  signal?: AbortSignal,
): Promise<PrunePlan> {
  const { storage, logger, documents } = place;
  const { copies, writtenAt } = await documentsIn(storage, signal);
  const { snapshots, damaged } = await new Catalog(place).survey(signal);
  for (const { id, error } of damaged) throw nothingRemoved(error, id, storage.location);
  const wanted = planRetention(snapshots, policy, time.now);
  const retention = await keepLockedSnapshots(storage, wanted, signal);
  const references = new References(storage, documents);
  await references.add(idsOf(retention.keep), signal);
  await references.addCopies(copies, signal);
  for (const { name, id } of copies) {
    logger.warn(
      "a copy of a snapshot's document keeps the blobs that it names; move it away if it is not needed",
      {
        snapshot: id,
        path: `${storage.location}/${name}`,
      },
    );
  }
  const leaving = new References(storage, documents);
  await leaving.add(idsOf(retention.remove), signal);
  const { marks, damaged: unreadable } = await findMarks(storage, logger, signal);
  const unneeded = await unneededBlobs(storage, references, signal);
  const { due = [], waiting = [], future = [] } = Object.groupBy(marks, (mark) => stateOf(mark, time));
  // A damaged mark may have said of any blob that its time begins anew.
  const marked = unreadable.length > 0 ? new Set<string>() : blobsOn([...due, ...waiting]);
  const restarted = blobsOn(future);
  const isNew = (sha256: string) => !marked.has(sha256) || restarted.has(sha256) || leaving.has(sha256);
  const toMark = [...unneeded.keys()].filter(isNew).sort();
  const young = blobsOn([...waiting, { blobs: toMark }]);
  const old = [...blobsOn(due)].filter((sha256) => unneeded.has(sha256) && !young.has(sha256));
  const toFree = time.graceMs === 0 ? [...unneeded.keys()] : old;
  const locked = await lockedBlobs(storage, toFree, signal);
  return {
    retention,
    timeZone: timeZoneOf(policy),
    endangered: endangeredBy(retention, writtenAt, time.now),
    references,
    unneeded,
    toMark,
    toFree: toFree.filter((blob) => !locked.has(blob)),
    locked: [...locked],
    due,
    waiting,
    void: [...unreadable, ...future.map((mark) => mark.name)],
  };
}

function stateOf(
  mark: Mark,
  time: { readonly now: Date; readonly graceMs: number },
): "due" | "waiting" | "future" {
  const ageMs = time.now.getTime() - mark.createdAt.getTime();
  if (ageMs < 0) return "future";
  return ageMs >= time.graceMs ? "due" : "waiting";
}

async function unneededBlobs(
  storage: Storage,
  references: References,
  signal: AbortSignal | undefined,
): Promise<Map<string, number>> {
  const unneeded = new Map<string, number>();
  for await (const { name, size } of storage.list(BLOBS)) {
    signal?.throwIfAborted();
    const sha256 = parseBlobName(name);
    if (sha256 !== undefined && !references.has(sha256)) unneeded.set(sha256, size);
  }
  return unneeded;
}

function blobsOn(marks: readonly Pick<Mark, "blobs">[]): Set<string> {
  return new Set(marks.flatMap((mark) => mark.blobs));
}

function idsOf(list: RetentionPlan["keep"] | RetentionPlan["remove"]): string[] {
  return list.map(({ snapshot }) => snapshot.id);
}
