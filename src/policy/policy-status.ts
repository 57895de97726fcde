import type { Snapshot } from "../repository/index.ts";
import { liesInFuture } from "../util/clock.ts";
import { jitterOf, nextDue } from "./due-times.ts";
import type { PolicySettings } from "./policy-set.ts";
import { hasSourcesOf, type SnapshotsFor } from "./policy-sources.ts";
import { FULL_TAG } from "./run-policy.ts";

/** How a policy stands. */
export interface PolicyStatus {
  readonly policy: string;
  readonly enabled: boolean;
  readonly location: string;
  /** When its newest snapshot was taken; undefined: never. */
  readonly lastSuccess?: Date | undefined;
  /** The newest for which every byte was read. */
  readonly lastFull?: Date | undefined;
  /** Its newest snapshot's id. */
  readonly snapshot?: string | undefined;
  /** Of the newest snapshot. */
  readonly bytes?: number | undefined;
  /** How many snapshots of it there are. */
  readonly snapshots: number;
  /** Undefined where it does not run by itself. In the past: as soon as it can be. */
  readonly nextRun?: Date | undefined;
  readonly overdue: boolean;
  /** Why it is overdue, or cannot be told. */
  readonly reason?: string | undefined;
  /** Whether it runs now; known to the service that runs it alone. */
  readonly running?: boolean | undefined;
  /** Known on the machine that runs it, also after a restart, and on others by the repository's audit log, as are the next two. */
  readonly consecutiveFailures?: number | undefined;
  readonly lastError?: string | undefined;
  readonly lastVerify?: { readonly at: Date; readonly ok: boolean } | undefined;
}

/** What a repository has of a policy. */
export interface PolicyHistory {
  readonly newest?: Snapshot | undefined;
  readonly newestFull?: Snapshot | undefined;
  readonly oldest?: Snapshot | undefined;
  readonly count: number;
}

/** What a repository has of policies: of each, the snapshots with its name and its sources. */
export class Histories {
  readonly #named: ReadonlyMap<string, readonly Snapshot[]>;

  /** @param snapshots the newest first. */
  constructor(snapshots: readonly Snapshot[]) {
    this.#named = Map.groupBy(snapshots, ({ name }) => name ?? "");
  }

  /** Leaves out what is dated into the future: until then it would pass for the newest, and nothing would be due. */
  of({ name, sources }: PolicySettings, why: SnapshotsFor, now: number): PolicyHistory {
    const named = this.#named.get(name);
    if (!named) return { count: 0 };
    const isOwn = hasSourcesOf(sources, why);
    const own = named.filter(
      (snapshot) => isOwn(snapshot) && !liesInFuture(snapshot.createdAt.getTime(), now),
    );
    return {
      newest: own[0],
      newestFull: own.find(({ tags }) => tags.includes(FULL_TAG)),
      oldest: own.at(-1),
      count: own.length,
    };
  }
}

/**
 * How a policy stands by what its repository has.
 *
 * @param maxAgeMs from which age of the newest snapshot on it is overdue. Default: the policy's own, or where a run and the
 * time in which it is tried again are over.
 */
export function statusOf(
  settings: PolicySettings,
  history: PolicyHistory,
  now: number,
  maxAgeMs = settings.schedule.maxAgeMs,
): PolicyStatus {
  const { name: policy, enabled, schedule } = settings;
  const [last, lastFull] = [history.newest?.createdAt, history.newestFull?.createdAt];
  const next = enabled
    ? nextRunOf(settings, { any: last?.getTime(), full: lastFull?.getTime() }, now)
    : undefined;
  const reason = enabled ? whyOverdue(settings, last, now, next, maxAgeMs) : undefined;
  return {
    ...{ policy, enabled, location: settings.storage.location, lastSuccess: last, lastFull },
    ...{ snapshot: history.newest?.id, bytes: history.newest?.bytes, snapshots: history.count },
    nextRun: next === undefined ? undefined : new Date(next + jitterOf(policy, next, schedule.jitterMs)),
    overdue: reason !== undefined,
    ...(reason !== undefined && { reason }),
  };
}

/** When a backup is due next, without its jitter; undefined where none ever is. A full one is an incremental one too. */
export function nextRunOf(
  { schedule: { full, incremental } }: PolicySettings,
  last: { readonly any: number | undefined; readonly full: number | undefined },
  now: number,
): number | undefined {
  const due = [
    ...(full ? [nextDue(full, last.full, now)] : []),
    ...(incremental ? [nextDue(incremental, last.any, now)] : []),
  ];
  return due.length === 0 ? undefined : Math.min(...due);
}

/**
 * From when on a policy is overdue; undefined: never.
 *
 * @param since when it was to run first, where it never has.
 */
export function overdueFrom(
  settings: PolicySettings,
  { newest, newestFull }: PolicyHistory,
  since: number,
  now: number,
): number | undefined {
  const { enabled, schedule } = settings;
  const { jitterMs, retryWindowMs, maxAgeMs } = schedule;
  if (!enabled) return undefined;
  const last = newest?.createdAt.getTime();
  if (maxAgeMs !== undefined) return (last ?? since) + maxAgeMs;
  const next = nextRunOf(settings, { any: last, full: newestFull?.createdAt.getTime() }, now);
  if (next === undefined) return undefined;
  return (last === undefined ? since : next) + jitterMs + retryWindowMs;
}

function whyOverdue(
  { schedule: { jitterMs, retryWindowMs } }: PolicySettings,
  last: Date | undefined,
  now: number,
  next: number | undefined,
  maxAgeMs: number | undefined,
): string | undefined {
  if (last === undefined) {
    return next === undefined && maxAgeMs === undefined ? undefined : "there is no snapshot of it";
  }
  if (maxAgeMs !== undefined) {
    return now - last.getTime() > maxAgeMs ? `its newest snapshot is of ${last.toISOString()}` : undefined;
  }
  if (next === undefined || now <= next + jitterMs + retryWindowMs) return undefined;
  return `a run was due ${new Date(next).toISOString()}`;
}
