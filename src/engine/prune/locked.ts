import type { Storage } from "../../storage/storage.ts";
import { forEachParallel } from "../../util/parallel.ts";
import { blobName, snapshotName } from "../format/names.ts";
import type { KeptSnapshot, RemovedSnapshot, RetentionPlan } from "../retention/plan-retention.ts";

const PARALLEL_LOOKS = 32;

/** Keeps what a storage does not let go of: snapshots whose documents it has locked. One request each. */
export async function keepLockedSnapshots(
  storage: Storage,
  { keep, remove }: RetentionPlan,
  signal: AbortSignal | undefined,
): Promise<RetentionPlan> {
  const { lock } = storage;
  if (!lock) return { keep, remove };
  const until = new Map<RemovedSnapshot, Date>();
  await forEachParallel(remove, PARALLEL_LOOKS, async (removed) => {
    const locked = await lock.until(snapshotName(removed.snapshot.id), { signal });
    if (locked) until.set(removed, locked);
  });
  const kept: KeptSnapshot[] = [...until].map(([{ snapshot }, date]) => ({
    snapshot,
    reasons: [`locked until ${date.toISOString()}`],
  }));
  return { keep: [...keep, ...kept], remove: remove.filter((removed) => !until.has(removed)) };
}

/** Those that a storage has locked. One request each. */
export async function lockedBlobs(
  { lock }: Storage,
  blobs: readonly string[],
  signal: AbortSignal | undefined,
): Promise<ReadonlySet<string>> {
  const locked = new Set<string>();
  if (!lock) return locked;
  await forEachParallel(blobs, PARALLEL_LOOKS, async (blob) => {
    if (await lock.until(blobName(blob), { signal })) locked.add(blob);
  });
  return locked;
}
