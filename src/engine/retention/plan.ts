import { liesInFuture } from "../../fs/clock-tolerance.ts";
import { newestFirst } from "../catalog/filter.ts";
import type { Snapshot } from "../snapshot.ts";
import { calendar, type Periods } from "./calendar.ts";
import { fallsBetween, reasonsAfterFalls, reasonsBeforeFalls } from "./falls.ts";
import { assertPolicy, KEEP_RULES, type KeepRule, type RetentionPolicy } from "./policy.ts";

export interface KeptSnapshot {
  readonly snapshot: Snapshot;
  /** Why, in words, the rule first: `keepDaily 2026-11-21`. */
  readonly reasons: readonly string[];
}

export interface RemovedSnapshot {
  readonly snapshot: Snapshot;
  readonly reason: string;
}

/** Both lists the newest first. */
export interface RetentionPlan {
  readonly keep: readonly KeptSnapshot[];
  readonly remove: readonly RemovedSnapshot[];
}

const DAY_MS = 86_400_000;

/**
 * What a policy keeps and removes of these snapshots, as `RetentionPolicy` says. Touches nothing.
 *
 * @throws ValidationError, TypeError for a bad policy.
 */
export function planRetention(
  snapshots: readonly Snapshot[],
  policy: RetentionPolicy,
  now: Date,
): RetentionPlan {
  assertPolicy(policy);
  const plan = { keep: [] as KeptSnapshot[], remove: [] as RemovedSnapshot[] };
  const periodsOf = calendar(policy.timeZone);
  for (const group of Map.groupBy([...snapshots].sort(newestFirst), sourceOf).values()) {
    const part = planGroup(group, policy, now, periodsOf);
    plan.keep.push(...part.keep);
    plan.remove.push(...part.remove);
  }
  plan.keep.sort((a, b) => newestFirst(a.snapshot, b.snapshot));
  plan.remove.sort((a, b) => newestFirst(a.snapshot, b.snapshot));
  return plan;
}

function sourceOf({ source: { type, id } }: Snapshot): string {
  return JSON.stringify([type, id]);
}

/** @param group of one source, the newest first. */
function planGroup(
  group: readonly Snapshot[],
  policy: RetentionPolicy,
  now: Date,
  periodsOf: (moment: Date) => Periods,
): RetentionPlan {
  const past = group.filter((snapshot) => !isAhead(snapshot, now));
  const byRule = reasonsByRule(past, policy, periodsOf);
  const falls = fallsBetween(past.toReversed());
  const beforeFalls = reasonsBeforeFalls(falls);
  const keep: KeptSnapshot[] = [];
  const remove: RemovedSnapshot[] = [];
  let counted = 0;
  for (const snapshot of group) {
    const beforeFall = beforeFalls.get(snapshot);
    const always = reasonsForAlways(snapshot, past[0], policy, now);
    if (beforeFall !== undefined) always.push(beforeFall);
    const reasons = byRule.get(snapshot) ?? [];
    const isTagged = tagsKept(snapshot, policy).length > 0;
    const limit = limitOf(snapshot, policy, now, counted);
    const isKept = always.length > 0 || (reasons.length > 0 && limit === undefined);
    const fillsPlace = snapshot === past[0] || (reasons.length > 0 && limit === undefined);
    if (fillsPlace && !isTagged && !isAhead(snapshot, now)) counted++;
    if (isKept) keep.push({ snapshot, reasons: [...(limit ? [] : reasons), ...always] });
    else remove.push({ snapshot, reason: limit && reasons.length > 0 ? limit : "no rule keeps it" });
  }
  const kept = new Set(keep.map(({ snapshot }) => snapshot));
  const afterFalls = reasonsAfterFalls(falls, past.toReversed(), kept);
  for (const [snapshot, reason] of afterFalls)
    if (!kept.has(snapshot)) keep.push({ snapshot, reasons: [reason] });
  return { keep, remove: remove.filter(({ snapshot }) => !afterFalls.has(snapshot)) };
}

function reasonsByRule(
  past: readonly Snapshot[],
  policy: RetentionPolicy,
  periodsOf: (moment: Date) => Periods,
): Map<Snapshot, string[]> {
  const reasons = new Map<Snapshot, string[]>(past.map((snapshot) => [snapshot, []]));
  const rules = KEEP_RULES.filter((rule) => policy[rule] !== undefined);
  if (rules.length === 0) for (const list of reasons.values()) list.push("no rule removes it");
  for (const rule of rules) keepNewest(rule, policy[rule] ?? 0, past, reasons, periodsOf);
  return reasons;
}

/** Gives a reason to the newest snapshot of each period, until there are enough. */
function keepNewest(
  rule: KeepRule,
  count: number,
  past: readonly Snapshot[],
  reasons: ReadonlyMap<Snapshot, string[]>,
  periodsOf: (moment: Date) => Periods,
): void {
  // Days need not lie in a row: some zones set the clock back just after midnight.
  const kept = new Set<string>();
  for (const snapshot of past) {
    if (kept.size === count) return;
    const period = rule === "keepLast" ? String(kept.size + 1) : periodsOf(snapshot.createdAt)[rule];
    if (kept.has(period)) continue;
    kept.add(period);
    reasons.get(snapshot)?.push(`${rule} ${period}`);
  }
}

/** What no rule and no limit can remove. */
function reasonsForAlways(
  snapshot: Snapshot,
  newest: Snapshot | undefined,
  policy: RetentionPolicy,
  now: Date,
): string[] {
  const reasons = tagsKept(snapshot, policy).map((tag) => `keepTags ${tag}`);
  if (snapshot === newest) reasons.push("the newest of its source");
  if (isAhead(snapshot, now)) reasons.push("its time lies in the future");
  return reasons;
}

function isAhead({ createdAt }: Snapshot, now: Date): boolean {
  return liesInFuture(createdAt.getTime(), now.getTime());
}

function tagsKept(snapshot: Snapshot, policy: RetentionPolicy): string[] {
  return (policy.keepTags ?? []).filter((tag) => snapshot.tags.includes(tag));
}

/** @param counted how many newer ones are kept that count. */
function limitOf(
  snapshot: Snapshot,
  policy: RetentionPolicy,
  now: Date,
  counted: number,
): string | undefined {
  const { maxAgeDays, maxBackups } = policy;
  const ageMs = now.getTime() - snapshot.createdAt.getTime();
  if (maxAgeDays !== undefined && ageMs > maxAgeDays * DAY_MS) return `maxAgeDays ${maxAgeDays}: it is older`;
  if (maxBackups !== undefined && counted >= maxBackups) {
    return `maxBackups ${maxBackups}: so many newer ones are kept`;
  }
  return undefined;
}
