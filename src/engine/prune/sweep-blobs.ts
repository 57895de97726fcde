import { forEachParallel } from "../../util/parallel.ts";
import { blobName } from "../format/names.ts";
import type { Lease } from "../lease/lease.ts";
import { documentsIn } from "./document-names.ts";
import { findMarks, type Mark } from "./mark.ts";
import type { PrunePlace, PrunePlan } from "./plan-prune.ts";

/** The lease is looked after once for so many blobs. */
const BATCH = 256;
const PARALLEL_REMOVALS = 32;

/**
 * Removes the blobs that the plan frees, that no snapshot names by now, and that others have not marked meanwhile.
 * Answers with those removed.
 *
 * @param due marks by which they are freed, this run's own among them.
 * @param lease exclusive, so that no backup is under way that counts on one of them.
 * @throws CorruptError where a snapshot cannot be read. @throws LockedError where the lease was lost.
 */
export async function sweepBlobs(
  place: PrunePlace,
  plan: PrunePlan,
  due: readonly Mark[],
  lease: Lease,
  signal?: AbortSignal,
): Promise<string[]> {
  const { storage, logger } = place;
  const { references, waiting } = plan;
  const { ids, copies } = await documentsIn(storage, signal);
  if (place.documents?.mayBeReplaced) references.readAgain();
  await references.add(ids, signal);
  await references.addCopies(copies, signal);
  const known = new Set([...due, ...waiting].map((mark) => mark.name));
  const since = (await findMarks(storage, logger, signal)).marks.filter((mark) => !known.has(mark.name));
  const restarted = new Set(since.flatMap((mark) => mark.blobs));
  const free = plan.toFree.filter((sha256) => !references.has(sha256) && !restarted.has(sha256));
  for (let start = 0; start < free.length; start += BATCH) {
    await lease.assertHeld();
    await forEachParallel(free.slice(start, start + BATCH), PARALLEL_REMOVALS, async (sha256) => {
      signal?.throwIfAborted();
      if (!lease.isHeld) await lease.assertHeld();
      await storage.remove(blobName(sha256));
    });
  }
  return free;
}
