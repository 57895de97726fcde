import type { Endangered } from "../retention/implausible.ts";
import type { KeptSnapshot, RemovedSnapshot } from "../retention/plan-retention.ts";
import type { StoredSnapshot } from "../snapshot.ts";
import type { Mark } from "./mark.ts";
import type { PrunePlan } from "./plan-prune.ts";

export interface BlobCount {
  readonly blobs: number;
  readonly bytes: number;
}

/** What a prune did; of a dry run, what it would do now. */
export interface PruneReport<S = StoredSnapshot> {
  readonly dryRun: boolean;
  readonly kept: readonly KeptSnapshot<S>[];
  readonly removed: readonly RemovedSnapshot<S>[];
  /** Snapshots that are removed although what stays in their place is not to be believed: only `force` does that. Absent where there are none. */
  readonly endangered?: readonly Endangered[] | undefined;
  /** Whose calendar counted for the rules, by its IANA name. */
  readonly timeZone: string;
  /** Blobs that were found unneeded for the first time. */
  readonly marked: BlobCount;
  /** Blobs that were removed, and the bytes that are free now. */
  readonly freed: BlobCount;
  /** Blobs that are unneeded and wait; a prune removes them from `until` on. */
  readonly waiting: readonly (BlobCount & { readonly until: Date })[];
  /** Blobs that are unneeded and due, and that the store keeps locked: a later prune removes them. Absent where there are none. */
  readonly locked?: BlobCount | undefined;
  /** Where blobs were due and could not be removed: why, and by whom the repository is in use. */
  readonly postponed?: string | undefined;
  /** How many half-written files and runs of processes that died were removed. */
  readonly unfinished: number;
  /** How many entries of the audit log were removed, where `keepAuditDays` asks for it. */
  readonly auditEntriesRemoved?: number | undefined;
  /** How many leases of processes that died were removed. */
  readonly deadLeases: number;
}

/** @param pinned since the plan was made: they were not removed. */
export function snapshotsOf(plan: PrunePlan, pinned: readonly KeptSnapshot[] = []) {
  const { retention, timeZone, locked, endangered } = plan;
  const stays = new Set(pinned.map(({ snapshot }) => snapshot.id));
  return {
    kept: [...retention.keep, ...pinned],
    removed: retention.remove.filter(({ snapshot }) => !stays.has(snapshot.id)),
    timeZone,
    ...(endangered.length > 0 && { endangered }),
    ...(locked.length > 0 && { locked: countOf(locked, plan) }),
  };
}

/** How many of these blobs are there and unneeded, and their bytes. */
export function countOf(blobs: Iterable<string>, { unneeded }: PrunePlan): BlobCount {
  const sizes = Array.from(new Set(blobs), (sha256) => unneeded.get(sha256)).filter(
    (size) => size !== undefined,
  );
  return { blobs: sizes.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
}

/** What waits, by the youngest mark that it is on; the soonest first. */
export function waitingOf(
  graceMs: number,
  plan: PrunePlan,
  marks: readonly Pick<Mark, "blobs" | "createdAt">[],
  freed: readonly string[],
): PruneReport["waiting"] {
  const seen = new Set(freed);
  return marks
    .toSorted((a, b) => b.createdAt.getTime() - a.createdAt.getTime())
    .map(({ blobs, createdAt }) => {
      const count = countOf(
        blobs.filter((sha256) => !seen.has(sha256)),
        plan,
      );
      for (const sha256 of blobs) seen.add(sha256);
      return { ...count, until: new Date(createdAt.getTime() + graceMs) };
    })
    .filter(({ blobs }) => blobs > 0)
    .reverse();
}
