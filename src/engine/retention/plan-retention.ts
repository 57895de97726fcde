import { liesInFuture } from "../../util/clock.ts";
import { newestFirst } from "../catalog/filter.ts";
import type { Pin, StoredSnapshot } from "../snapshot.ts";
import { calendar, type Periods } from "./calendar.ts";
import { fallsBetween, reasonsAfterFalls, reasonsBeforeFalls, type Telling, tellingOf } from "./falls.ts";
import { assertPolicy, KEEP_RULES, type KeepRule, type RetentionPolicy } from "./retention-policy.ts";

/** What the rules look at. */
export type Ruled = Pick<StoredSnapshot, "id" | "name" | "createdAt" | "tags" | "pinned" | "parts">;

export interface KeptSnapshot<S = StoredSnapshot> {
  readonly snapshot: S;
  /** Why, in words, the rule first: `keepDaily 2026-11-21`. */
  readonly reasons: readonly string[];
}

export interface RemovedSnapshot<S = StoredSnapshot> {
  readonly snapshot: S;
  readonly reason: string;
}

/** Both lists the newest first. */
export interface RetentionPlan<S = StoredSnapshot> {
  readonly keep: readonly KeptSnapshot<S>[];
  readonly remove: readonly RemovedSnapshot<S>[];
}

const DAY_MS = 86_400_000;

/**
 * What a policy keeps and removes of these snapshots, as `RetentionPolicy` says. Touches nothing.
 *
 * @throws ValidationError, TypeError for a bad policy.
 */
export function planRetention<S extends Ruled>(
  snapshots: readonly S[],
  policy: RetentionPolicy,
  now: Date,
): RetentionPlan<S> {
  assertPolicy(policy);
  const plan = { keep: [] as KeptSnapshot<S>[], remove: [] as RemovedSnapshot<S>[] };
  const periodsOf = calendar(policy.timeZone);
  const { ruled = [], others = [] } = Object.groupBy(snapshots, ({ name }) =>
    policy.name === undefined || policy.name === name ? "ruled" : "others",
  );
  for (const snapshot of others) plan.keep.push({ snapshot, reasons: ["it has another name"] });
  for (const group of Map.groupBy(ruled.sort(newestFirst), sourcesOf).values()) {
    const part = planGroup(group, policy, now, periodsOf);
    for (const kept of part.keep) plan.keep.push(kept);
    for (const removed of part.remove) plan.remove.push(removed);
  }
  plan.keep.sort((a, b) => newestFirst(a.snapshot, b.snapshot));
  plan.remove.sort((a, b) => newestFirst(a.snapshot, b.snapshot));
  return plan;
}

/** Equal texts: of the same sources. */
export function sourcesOf({ parts }: Pick<Ruled, "parts">): string {
  return JSON.stringify(parts.map(({ source: { type, id } }) => JSON.stringify([type, id])).sort());
}

/** @param group of the same sources, the newest first. */
function planGroup<S extends Ruled>(
  group: readonly S[],
  policy: RetentionPolicy,
  now: Date,
  periodsOf: (moment: Date) => Periods,
): RetentionPlan<S> {
  const past = group.filter((snapshot) => !isAhead(snapshot, now));
  const byRule = reasonsByRule(past, policy, periodsOf);
  const told = new Map<S & Telling, S>(past.toReversed().map((snapshot) => [tellingOf(snapshot), snapshot]));
  const falls = fallsBetween([...told.keys()]);
  const beforeFalls = new Map(
    [...reasonsBeforeFalls(falls)].map(([telling, reason]) => [told.get(telling), reason]),
  );
  const keep: KeptSnapshot<S>[] = [];
  const remove: RemovedSnapshot<S>[] = [];
  let counted = 0;
  for (const snapshot of group) {
    const beforeFall = beforeFalls.get(snapshot);
    const always = reasonsForAlways(snapshot, past[0], policy, now);
    if (beforeFall !== undefined) always.push(beforeFall);
    const reasons = byRule.get(snapshot) ?? [];
    const isTagged = snapshot.pinned !== undefined || tagsKept(snapshot, policy).length > 0;
    const limit = limitOf(snapshot, policy, now, counted);
    const isKept = always.length > 0 || (reasons.length > 0 && limit === undefined);
    const fillsPlace = snapshot === past[0] || (reasons.length > 0 && limit === undefined);
    if (fillsPlace && !isTagged && !isAhead(snapshot, now)) counted++;
    if (isKept) keep.push({ snapshot, reasons: [...(limit ? [] : reasons), ...always] });
    else remove.push({ snapshot, reason: limit && reasons.length > 0 ? limit : "no rule keeps it" });
  }
  const kept = new Set(keep.map(({ snapshot }) => snapshot));
  const keptTelling = new Set(
    [...told].filter(([, snapshot]) => kept.has(snapshot)).map(([telling]) => telling),
  );
  const back = new Set<S>();
  for (const [telling, reason] of reasonsAfterFalls(falls, [...told.keys()], keptTelling)) {
    const snapshot = told.get(telling);
    if (!snapshot || kept.has(snapshot)) continue;
    back.add(snapshot);
    keep.push({ snapshot, reasons: [reason] });
  }
  return { keep, remove: remove.filter(({ snapshot }) => !back.has(snapshot)) };
}

function reasonsByRule<S extends Ruled>(
  past: readonly S[],
  policy: RetentionPolicy,
  periodsOf: (moment: Date) => Periods,
): Map<S, string[]> {
  const reasons = new Map<S, string[]>(past.map((snapshot) => [snapshot, []]));
  const rules = KEEP_RULES.filter((rule) => policy[rule] !== undefined);
  if (rules.length === 0) for (const list of reasons.values()) list.push("no rule removes it");
  for (const rule of rules) keepNewest(rule, policy[rule] ?? 0, past, reasons, periodsOf);
  return reasons;
}

/** Gives a reason to the newest snapshot of each period, until there are enough. */
function keepNewest<S extends Ruled>(
  rule: KeepRule,
  count: number,
  past: readonly S[],
  reasons: ReadonlyMap<S, string[]>,
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
  snapshot: Ruled,
  newest: Ruled | undefined,
  policy: RetentionPolicy,
  now: Date,
): string[] {
  const reasons = tagsKept(snapshot, policy).map((tag) => `keepTags ${tag}`);
  if (snapshot.pinned) reasons.push(reasonOfPin(snapshot.pinned));
  if (snapshot === newest) reasons.push("the newest of its source");
  if (isAhead(snapshot, now)) reasons.push("its time lies in the future");
  return reasons;
}

export function reasonOfPin({ reason }: Pin): string {
  return reason === undefined ? "pinned" : `pinned: ${reason}`;
}

function isAhead({ createdAt }: Ruled, now: Date): boolean {
  return liesInFuture(createdAt.getTime(), now.getTime());
}

function tagsKept(snapshot: Ruled, policy: RetentionPolicy): string[] {
  return (policy.keepTags ?? []).filter((tag) => snapshot.tags.includes(tag));
}

/** @param counted how many newer ones are kept that count. */
function limitOf(snapshot: Ruled, policy: RetentionPolicy, now: Date, counted: number): string | undefined {
  const { maxAgeDays, maxBackups } = policy;
  const ageMs = now.getTime() - snapshot.createdAt.getTime();
  if (maxAgeDays !== undefined && ageMs > maxAgeDays * DAY_MS) return `maxAgeDays ${maxAgeDays}: it is older`;
  if (maxBackups !== undefined && counted >= maxBackups) {
    return `maxBackups ${maxBackups}: enough newer ones are kept`;
  }
  return undefined;
}
