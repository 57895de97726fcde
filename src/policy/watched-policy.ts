import type { Snapshot } from "../repository/index.ts";
import { believedLast, jitterOf, nextDue } from "./due-times.ts";
import type { Overdue } from "./notice.ts";
import type { PolicySettings } from "./policy-set.ts";
import { overdueFrom, type PolicyHistory, statusOf } from "./policy-status.ts";
import { FULL_TAG, type RunReport, type RunRequest, removesSnapshots } from "./run-policy.ts";
import type { Schedule } from "./run-schedule.ts";

/** How long what was missed has at most before somebody is told that it is overdue. */
const GRACE_MS = 600_000;

interface Learned {
  /** Then what is verified or removed is due by the newest snapshot, where the state does not say. */
  readonly isRunByHand: boolean;
  readonly now: number;
  readonly state: () => {
    readonly lastPrune?: number | undefined;
    readonly lastVerify?: { readonly at: number } | undefined;
  };
}

/**
 * A policy, and what is known of its runs: when each kind of its work was begun last, and so when it is due. Moments are
 * milliseconds since 1970.
 */
export class WatchedPolicy {
  readonly settings: PolicySettings;
  /** The run under way or waiting, and those behind it. */
  running: Promise<unknown> | undefined;
  /** When there is something to do; undefined: not known yet. */
  next: number | undefined;
  /** Whether another process ran it when it was due last: that is looked at again. */
  runsElsewhere = false;
  /** When it is to be looked at again whether it is overdue. */
  overdueLook = 0;
  /** What its repository had when that was looked at, with what was made since. */
  #history: PolicyHistory = { count: 0 };
  #since: number;
  /** From when on it is overdue. */
  #overdueFrom: number | undefined;
  /** A backup of either kind; undefined: not known, or never. */
  #any: number | undefined;
  #full: number | undefined;
  #pruned: number;
  #verified: number;
  #isLearned = false;

  /** What has never been verified or pruned by this service waits for its schedule from now on. */
  constructor(settings: PolicySettings, now: number) {
    this.settings = settings;
    this.#pruned = now;
    this.#verified = now;
    this.#since = now;
    this.#beginAnew(now);
  }

  get isKnown(): boolean {
    return this.#any !== undefined;
  }

  /**
   * Takes up what the repository has of it: others may have run it. When it was verified or pruned last the state says.
   */
  learn(history: PolicyHistory, { isRunByHand, now, state }: Learned): void {
    const { newest, newestFull } = history;
    const last = newest?.createdAt.getTime();
    this.#any = later(this.#any, newest, this.#history.newest);
    this.#full = later(this.#full, newestFull, this.#history.newestFull);
    this.#history = history;
    this.#overdueFrom = overdueFrom(this.settings, history, this.#since, now);
    if (this.#isLearned) return;
    this.#isLearned = true;
    const { retention, verification } = this.settings;
    const { lastPrune, lastVerify } = retention.schedule || verification.schedule ? state() : {};
    const fallback = isRunByHand ? last : undefined;
    this.#pruned = Math.min(this.#pruned, lastPrune ?? fallback ?? this.#pruned);
    this.#verified = Math.min(this.#verified, lastVerify?.at ?? fallback ?? this.#verified);
  }

  /** Finds out when there is something to do next. */
  plan(now: number): void {
    const times = Object.values(this.#times(now)).filter((time) => time !== undefined);
    this.next = Math.min(...times);
  }

  /** The same after the clock was set, or the machine has slept. */
  replan(now: number): void {
    this.#beginAnew(now);
    const { schedule, retention, verification } = this.settings;
    const { full, incremental } = schedule;
    if (incremental && this.#any) this.#any = believedLast(incremental, this.#any, now);
    if (full && this.#full) this.#full = believedLast(full, this.#full, now);
    if (retention.schedule) this.#pruned = believedLast(retention.schedule, this.#pruned, now);
    if (verification.schedule) this.#verified = believedLast(verification.schedule, this.#verified, now);
    this.plan(now);
  }

  /** When a backup is to begin next; undefined where that is not known, and where none ever is. */
  nextBackup(now: number): Date | undefined {
    if (!this.isKnown || !this.settings.enabled) return undefined;
    const { full, incremental } = this.#times(now);
    const times = [full, incremental].filter((time) => time !== undefined);
    return times.length === 0 ? undefined : new Date(Math.min(...times));
  }

  /** What is due: a full backup in place of an incremental one. */
  due(now: number): RunRequest {
    const times = this.#times(now);
    const isDue = (time: number | undefined) => time !== undefined && time <= now;
    const type = isDue(times.full) ? "full" : isDue(times.incremental) ? "incremental" : undefined;
    const prune = isDue(times.prune) || (type !== undefined && this.prunesAfterBackup);
    return { type, prune, verify: isDue(times.verify) };
  }

  get prunesAfterBackup(): boolean {
    return this.settings.retention.schedule === undefined && removesSnapshots(this.settings);
  }

  /** A run of this begins. */
  begin(request: RunRequest, now: number): void {
    if (request.type !== undefined) this.#any = now;
    if (request.type === "full") this.#full = now;
    if (request.prune) this.#pruned = now;
    if (request.verify) this.#verified = now;
  }

  /** A run has ended. */
  end({ snapshot }: RunReport, now: number): void {
    if (!snapshot) return;
    const { newestFull, count } = this.#history;
    const full = snapshot.tags.includes(FULL_TAG) ? snapshot : newestFull;
    this.#history = { newest: snapshot, newestFull: full, count: count + 1 };
    this.#overdueFrom = overdueFrom(this.settings, this.#history, this.#since, now);
  }

  /** Whether it is overdue by what is known. */
  isOverdue(now: number): boolean {
    return this.#overdueFrom !== undefined && now > this.#overdueFrom;
  }

  /** How it is overdue. */
  overdue(now: number): Overdue | undefined {
    if (!this.isOverdue(now)) return undefined;
    const { reason, lastSuccess, snapshot } = statusOf(this.settings, this.#history, now);
    return { reason: reason ?? "there is no snapshot of it", lastSuccess, snapshot };
  }

  /** After a start, and when the machine has slept, what was missed is made up: it is overdue where that takes too long. */
  #beginAnew(now: number): void {
    const { jitterMs, retryWindowMs } = this.settings.schedule;
    this.overdueLook = now + Math.min(jitterMs + retryWindowMs, GRACE_MS);
    this.#since = Math.min(this.#since, now);
    this.#overdueFrom = overdueFrom(this.settings, this.#history, this.#since, now);
  }

  /** When each kind of work is to begin, by its schedule and jitter. */
  #times(now: number) {
    const { name, schedule, retention, verification } = this.settings;
    const time = (of: Schedule | undefined, last: number | undefined) => {
      if (!of) return undefined;
      const due = nextDue(of, last, now);
      return due + (last === undefined ? 0 : jitterOf(name, due, schedule.jitterMs));
    };
    return {
      full: time(schedule.full, this.#full),
      incremental: time(schedule.incremental, this.#any),
      prune: time(retention.schedule, this.#pruned),
      verify: time(verification.schedule, this.#verified),
    };
  }
}

/** When a kind of backup was begun last, where there is a snapshot that was not known. */
function later(
  begun: number | undefined,
  newest: Snapshot | undefined,
  known: Snapshot | undefined,
): number | undefined {
  if (!newest || newest.id === known?.id) return begun;
  return Math.max(begun ?? Number.NEGATIVE_INFINITY, newest.createdAt.getTime());
}
