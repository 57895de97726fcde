import { hostname } from "node:os";
import { ShrunkError } from "../errors.ts";
import { reasonOf } from "../fs/io.ts";
import { type NoticeKind, SEVERITY_OF, type Severity } from "./notice-kinds.ts";
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
  const message = `Policy ${settings.name} is overdue no more: it has a snapshot of ${lastSuccess.toISOString()}.`;
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
