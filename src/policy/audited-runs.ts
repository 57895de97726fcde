import type { AuditEntry, Repository, Snapshot } from "../repository/index.ts";
import type { PolicySettings } from "./policy-set.ts";
import type { PolicyStatus } from "./policy-status.ts";

/** What a repository's audit log tells of the runs of policies: whatever machine made them. */
export interface AuditedRuns {
  /** Backups that failed and verifications, the newest first. */
  readonly entries: readonly AuditEntry[];
  /** Whose snapshots those are that there are, by their ids. */
  readonly names: ReadonlyMap<string, string>;
}

/** In a store each is a request. */
const MOST_ENTRIES = 100;

/** @throws as `Repository.audit` */
export async function readAuditedRuns(repository: Repository): Promise<AuditedRuns> {
  const snapshots: readonly Snapshot[] = await repository.list();
  const entries = await repository.audit({ operations: ["backup", "verify"], limit: MOST_ENTRIES });
  const names = snapshots.flatMap(({ id, name }) => (name === undefined ? [] : [[id, name] as const]));
  return { entries, names: new Map(names) };
}

/**
 * How many runs of a policy failed since its newest snapshot, with the last one's error code, and how its last verification went.
 * Attempts within the time in which a run is tried again are one run.
 *
 * @param lastSuccess when its newest snapshot was taken.
 */
export function auditedStatus(
  { name, schedule }: PolicySettings,
  { entries, names }: AuditedRuns,
  lastSuccess: Date | undefined,
): Pick<PolicyStatus, "consecutiveFailures" | "lastError" | "lastVerify"> {
  const since = lastSuccess?.getTime() ?? 0;
  const failed = entries.filter(({ operation, outcome, details, at }) => {
    return (
      operation === "backup" && outcome === "failure" && details["name"] === name && at.getTime() > since
    );
  });
  const verified = entries.find(({ operation, outcome, details }) => {
    const { snapshot } = details;
    const isOwn = typeof snapshot === "string" && names.get(snapshot) === name;
    return operation === "verify" && isOwn && outcome !== "aborted";
  });
  const [last] = failed;
  const code = last?.details["error"];
  return {
    consecutiveFailures: countRuns(failed, schedule.retryWindowMs),
    ...(last && { lastError: typeof code === "string" ? code : "it failed" }),
    ...(verified && {
      lastVerify: {
        at: verified.at,
        ok: verified.outcome === "success" && verified.details["failed"] === 0,
      },
    }),
  };
}

/** @param failed the newest first */
function countRuns(failed: readonly AuditEntry[], windowMs: number): number {
  let [runs, begun] = [0, Number.NEGATIVE_INFINITY];
  for (const { at, durationMs } of failed.toReversed()) {
    if (at.getTime() - durationMs <= begun + windowMs) continue;
    runs++;
    begun = at.getTime() - durationMs;
  }
  return runs;
}
