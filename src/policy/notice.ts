import { createHash } from "node:crypto";
import { hostname } from "node:os";
import { ShrunkError } from "../errors.ts";
import { reasonOf } from "../fs/io.ts";
import { NOTICE_KINDS, type NoticeKind, SEVERITIES, SEVERITY_OF, type Severity } from "./notice-kinds.ts";
import type { PolicySettings } from "./policy-set.ts";
import { FULL_TAG, type RunReport } from "./run-policy.ts";

/** What a notice says; a webhook's `data`. It holds no secret. */
export interface Notice {
  readonly kind: NoticeKind;
  readonly severity: Severity;
  readonly policy: string;
  /** In a sentence. Names of tables, paths and what a server has said stand in it as they are. */
  readonly message: string;
  readonly repository: string;
  /** The machine that tells. */
  readonly host: string;
  /** When the run began; of one that is overdue there is none. */
  readonly startedAt?: string | undefined;
  readonly durationMs?: number | undefined;
  readonly snapshot?: string | undefined;
  readonly full?: boolean | undefined;
  /** How many runs have failed in a row, with this one. */
  readonly failures: number;
  readonly lastSuccess?: string | undefined;
}

/** Several notices in one; a webhook's `data`. */
export interface NoticeDigest {
  readonly kind: "digest";
  /** Of the worst. */
  readonly severity: Severity;
  /** `197 policies failed, 3 work again.` */
  readonly message: string;
  /** The machine that tells. */
  readonly host: string;
  /** How many policies each kind is about. */
  readonly policies: Readonly<Partial<Record<NoticeKind, number>>>;
  /** The worst first, and of as bad ones the oldest; so many at most. */
  readonly notices: readonly (Notice & { readonly id: string })[];
  /** How many more there are. */
  readonly more: number;
}

/** What is sent to a receiver. */
export type Told = Notice | NoticeDigest;

/** So many notices a digest names. */
const MOST_NAMED = 200;

/** @param given in the order of time. */
export function digestOf(given: readonly { readonly id: string; readonly notice: Notice }[]): NoticeDigest {
  const worseFirst = given
    .map(({ id, notice }) => ({ id, ...notice }))
    .toSorted((a, b) => SEVERITIES.indexOf(b.severity) - SEVERITIES.indexOf(a.severity));
  const policies: Partial<Record<NoticeKind, number>> = {};
  for (const kind of new Set(worseFirst.map((notice) => notice.kind))) {
    const own = worseFirst.filter((notice) => notice.kind === kind);
    policies[kind] = new Set(own.map(({ policy }) => policy)).size;
  }
  return {
    ...{ kind: "digest", severity: worseFirst[0]?.severity ?? "info", host: hostname(), policies },
    message: `${countsShown(policies, "policy", "policies")}.`,
    ...{ notices: worseFirst.slice(0, MOST_NAMED), more: Math.max(0, given.length - MOST_NAMED) },
  };
}

const OF_ONE: Readonly<Record<NoticeKind, string>> = {
  failure: "failed",
  recovery: "works again",
  overdue: "is overdue",
  damage: "has a damaged snapshot",
  shrink: "has shrunk",
  success: "went well",
};

const OF_MANY: Readonly<Record<NoticeKind, string>> = {
  ...OF_ONE,
  recovery: "work again",
  overdue: "are overdue",
  damage: "have a damaged snapshot",
  shrink: "have shrunk",
};

/** What one policy is told to have done. */
export const saidOf = (kind: NoticeKind): string => OF_ONE[kind];

/** `197 policies failed, 3 work again`. */
function countsShown(policies: NoticeDigest["policies"], one: string, many: string): string {
  const counts = NOTICE_KINDS.flatMap((kind) => {
    const count = policies[kind];
    return count === undefined ? [] : [{ count, said: count === 1 ? OF_ONE[kind] : OF_MANY[kind] }];
  });
  return counts
    .map(({ count, said }, index) => `${count}${index > 0 ? "" : ` ${count === 1 ? one : many}`} ${said}`)
    .join(", ");
}

/** What was going wrong before a run. */
export interface TroubleBefore {
  /** How many runs had failed in a row. */
  readonly failures: number;
  /** Whether the run ends that. */
  readonly isOver: boolean;
  /** Whether somebody was told that the policy is overdue. */
  readonly isOverdue: boolean;
}

/** What is to be told of a run. */
export function noticesOf(settings: PolicySettings, report: RunReport, before: TroubleBefore): Notice[] {
  const { name: policy } = settings;
  const { outcome, snapshot, verification = [], error, type } = report;
  const base = {
    ...{ startedAt: report.startedAt.toISOString(), durationMs: report.durationMs },
    ...(snapshot && { snapshot: snapshot.id, full: snapshot.tags.includes(FULL_TAG) }),
    failures: outcome === "failure" ? before.failures + 1 : before.isOver ? 0 : before.failures,
  };
  const notices: Notice[] = [];
  const tell = (kind: NoticeKind, message: string) =>
    void notices.push(newNotice(settings, kind, message, base));
  const damage = verification.filter(({ ok }) => !ok);
  if (damage.length > 0) {
    const found = damage.map(({ details }) => details).join(" ");
    tell("damage", `Policy ${policy}: its snapshot is damaged. ${found}`);
  } else if (outcome === "failure") {
    tell("failure", `Policy ${policy} failed: ${reasonOf(error)}`);
    if (error instanceof ShrunkError) tell("shrink", `Policy ${policy} failed: ${reasonOf(error)}`);
  }
  for (const { table, rowsBefore, rows, isGone } of snapshot?.shrunk ?? []) {
    const now = isGone ? "is gone" : `has ${rows}`;
    tell("shrink", `Policy ${policy}: table ${table} had ${rowsBefore} rows, and ${now}.`);
  }
  if (outcome === "success") {
    const what = `Policy ${policy} went well (${type ?? "no backup was due"}).`;
    tell("success", what);
    if (before.failures > 0 && before.isOver)
      tell("recovery", `${what} Before, it had failed ${times(before.failures)}.`);
    else if (before.isOverdue && snapshot) tell("recovery", `${what} Before, it was overdue.`);
  }
  return notices;
}

/** How a policy is overdue. */
export interface Overdue {
  /** As `statusOf` says it. */
  readonly reason: string;
  readonly lastSuccess?: Date | undefined;
  readonly snapshot?: string | undefined;
  /** Since when a run of it is under way. */
  readonly runningSince?: Date | undefined;
}

export function overdueNotice(settings: PolicySettings, overdue: Overdue, failures: number): Notice {
  const { reason, lastSuccess, snapshot, runningSince } = overdue;
  const runs = runningSince ? ` A run has been under way since ${runningSince.toISOString()}.` : "";
  return newNotice(settings, "overdue", `Policy ${settings.name} is overdue: ${reason}.${runs}`, {
    failures,
    ...(lastSuccess && { lastSuccess: lastSuccess.toISOString() }),
    ...(snapshot !== undefined && { snapshot }),
  });
}

/** What was overdue is no more, and the run that made it so is not known here. */
export function otherRunNotice(settings: PolicySettings, lastSuccess: Date): Notice {
  const message = `Policy ${settings.name} is no longer overdue: it has a snapshot of ${lastSuccess.toISOString()}.`;
  return newNotice(settings, "recovery", message, { failures: 0, lastSuccess: lastSuccess.toISOString() });
}

function newNotice(
  { name: policy, storage }: PolicySettings,
  kind: NoticeKind,
  message: string,
  rest: Pick<Notice, "failures"> & Partial<Notice>,
): Notice {
  const severity = SEVERITY_OF[kind];
  return { kind, severity, policy, message, repository: storage.location, host: hostname(), ...rest };
}

const times = (count: number) => (count === 1 ? "once" : `${count} times in a row`);

/** The same for the same notices, however often they are sent together. */
export function digestIdOf(waiting: readonly { readonly id: string }[]): string {
  const ids = waiting.map(({ id }) => id).join();
  return `msg_${createHash("sha256").update(ids).digest("hex").slice(0, 32)}`;
}
